# SPDX-License-Identifier: MIT
"""What a client for asyncio promises when something goes wrong."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from fakes.attempts import (
    PATIENCE_SECONDS,
    FakeHints,
    Script,
    begun,
    ended,
    hangs,
    raises,
    returns,
)
from resonance import AsyncClient, current_attempt, deadlines
from resonance.client import ServiceReport
from resonance.errors import DeadlineExceededError
from resonance.policies import HedgePolicy, Policy, Reason, RetryPolicy, TaskHint

SOON = 0.001
NEVER = 3600.0
TARGETS = ("a", "b")
IDEMPOTENT = TaskHint(idempotent=True)
HEDGE = Policy(hedge=HedgePolicy(delay=SOON))
RETRY = Policy(retry=RetryPolicy(base_delay=0.0, max_delay=0.0))
SLOW_RETRY = Policy(retry=RetryPolicy(strategy="fixed", base_delay=NEVER, max_delay=NEVER))


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(HEDGE | RETRY, hints=FakeHints()) as made:
        yield made


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def wait_until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 -- what is waited for tells nobody
            await asyncio.sleep(SOON)


async def at_rest(client: AsyncClient) -> ServiceReport:
    """Return the report of the one service, once nothing is in flight any more."""
    await wait_until(lambda: not client.report()[0].inflight and not client._tasks)
    (report,) = client.report()
    assert report.calls_inflight == 0
    assert client._wheel is None or not any(client._wheel._slots.values())
    return report


# ---- functions that do as they like ------------------------------------------------------------


async def test_a_function_that_cancels_itself_is_cancelled(client: AsyncClient) -> None:
    with pytest.raises(asyncio.CancelledError):
        await client.call(TARGETS, Script(raises(asyncio.CancelledError())).in_task)
    assert this_task().cancelling() == 0
    assert (await at_rest(client)).failures == 1


async def test_a_copy_that_cancels_itself_leaves_the_error_of_the_first(
    client: AsyncClient,
) -> None:
    script = Script(raises(OSError("first"), begun(2)), raises(asyncio.CancelledError(), ended(1)))
    with pytest.raises(OSError, match="first"):
        await client.call(TARGETS, script.in_task, HEDGE, hint=IDEMPOTENT)
    assert (await at_rest(client)).failures == 1


async def test_a_copy_that_cancels_itself_lets_the_first_be_tried_again(
    client: AsyncClient,
) -> None:
    script = Script(
        raises(OSError("first"), begun(2)),
        raises(asyncio.CancelledError(), ended(1)),
        returns("third"),
    )
    outcome = await client.call(TARGETS, script.in_task, hint=IDEMPOTENT)
    assert outcome.result == "third"
    assert (await at_rest(client)).retries == 1


async def test_a_copy_says_by_itself_how_it_is_left_and_is_cancelled_all_the_same(
    client: AsyncClient,
) -> None:
    called = list[str]()

    async def fn(_: str) -> str:
        attempt = current_attempt()
        assert attempt is not None
        if not attempt.is_hedge:
            await wait_until(lambda: called)
            return "first"
        attempt.on_cancel(lambda: called.append("left"))
        called.append("begun")
        await asyncio.sleep(NEVER)
        return "copy"

    assert (await client.call(TARGETS, fn, hint=IDEMPOTENT)).result == "first"
    await at_rest(client)
    assert called == ["begun", "left"]


async def test_a_copy_that_is_cancelled_before_it_begins_has_ended(client: AsyncClient) -> None:
    async def fn(_: str) -> str:
        attempt = current_attempt()
        assert attempt is not None
        assert not attempt.is_hedge, "it was cancelled before"
        wheel = client._wheel
        assert wheel is not None
        while not client._tasks:
            wheel._turn()  # as if the timer came in this very moment
        return "first"

    outcome = await client.call(TARGETS, fn, hint=IDEMPOTENT)
    assert (outcome.result, outcome.hedge_fired) == ("first", True)
    report = await at_rest(client)
    assert (report.hedges, report.cancelled) == (1, 1)


async def test_what_breaks_the_timer_of_one_call_leaves_the_others_theirs(
    client: AsyncClient,
) -> None:
    told = list[Any]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    targets: list[Any] = ["a", "b"]
    script = Script(
        returns("first", lambda _: bool(told), before=lambda: targets.append(["unhashable"]))
    )
    outcome = await client.call(targets, script.in_task, hint=IDEMPOTENT)
    assert outcome.result == "first"
    assert isinstance(told[0], TypeError)
    copied = Script(hangs(), returns("copy"))
    assert (await client.call(TARGETS, copied.in_task, hint=IDEMPOTENT)).result == "copy"
    loop.set_exception_handler(None)
    await at_rest(client)


# ---- cancellation from outside -----------------------------------------------------------------


async def test_a_task_that_waits_for_a_copy_alone_can_be_cancelled(client: AsyncClient) -> None:
    script = Script(raises(OSError(), begun(2)), hangs())
    task = asyncio.create_task(client.call(TARGETS, script.in_task, hint=IDEMPOTENT))
    await wait_until(lambda: ended(1)(script))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await at_rest(client)
    assert script.left == [2]


async def test_a_call_whose_time_is_over_leaves_its_task_uncancelled(client: AsyncClient) -> None:
    with pytest.raises(DeadlineExceededError):
        await client.call(TARGETS, Script(hangs(), hangs()).in_task, hint=IDEMPOTENT, timeout=0.05)
    assert this_task().cancelling() == 0
    await asyncio.sleep(0)
    await at_rest(client)


# ---- the end of a client -----------------------------------------------------------------------


async def test_a_call_that_waits_for_a_copy_ends_with_the_client(client: AsyncClient) -> None:
    error = OSError("first")
    script = Script(raises(error, begun(2)), hangs())
    task = asyncio.create_task(client.call(TARGETS, script.in_task, hint=IDEMPOTENT))
    await wait_until(lambda: ended(1)(script))
    await client.close()
    with pytest.raises(OSError) as caught:
        await task
    assert caught.value is error
    await at_rest(client)


async def test_a_call_that_fails_after_the_end_is_not_tried_again(client: AsyncClient) -> None:
    is_closed = list[bool]()
    script = Script(raises(OSError(), lambda _: bool(is_closed)), returns("second"))
    task = asyncio.create_task(client.retry(script.in_task))
    await wait_until(lambda: script.attempts)
    await client.close()
    is_closed.append(True)
    with pytest.raises(OSError):
        await task
    assert len(script.attempts) == 1
    await at_rest(client)


# ---- many --------------------------------------------------------------------------------------


async def test_nothing_of_a_call_is_left_in_the_context(client: AsyncClient) -> None:
    await client.call(
        TARGETS, Script(hangs(), returns("copy")).in_task, hint=IDEMPOTENT, timeout=NEVER
    )
    assert current_attempt() is None
    assert deadlines.remaining() is None
    await at_rest(client)


async def test_a_task_that_outlives_its_call_is_not_retried_above(client: AsyncClient) -> None:
    is_over = asyncio.Event()
    background = list[asyncio.Task[Any]]()

    async def later() -> object:
        await is_over.wait()
        return await client.retry(Script(raises(OSError()), returns("second")).in_task)

    async def fn() -> None:
        background.append(asyncio.create_task(later()))
        await asyncio.sleep(0)

    await client.retry(fn)
    is_over.set()
    outcome = await background[0]
    assert outcome.attempts == 2


async def test_a_call_that_is_never_awaited_is_not_counted(client: AsyncClient) -> None:
    call = client.call(TARGETS, Script().in_task)
    call.close()
    assert client.report()[0].calls == 0


async def test_a_call_that_is_thrown_away_half_way_is_accounted_for(client: AsyncClient) -> None:
    script = Script(hangs(), hangs())
    call = client.call(TARGETS, script.in_task, Policy())
    call.send(None)
    call.close()
    report = await at_rest(client)
    assert (report.calls, report.failures) == (1, 1)


async def test_a_blocked_loop_sends_no_copy_of_what_has_answered(client: AsyncClient) -> None:
    async def blocks(_: str) -> str:
        time.sleep(0.005)  # noqa: ASYNC251 -- as careless code does
        return "first"

    outcome = await client.call(TARGETS, blocks, hint=IDEMPOTENT)
    assert (outcome.result, outcome.attempts) == ("first", 1)
    assert Reason.HEDGED not in outcome.reasons


@pytest.fixture(autouse=True)
def nothing_is_collected_later() -> Iterator[None]:
    """Have what is never awaited complain in the test that it is of."""
    yield
    gc.collect()
