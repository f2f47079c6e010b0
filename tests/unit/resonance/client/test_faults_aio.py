# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from math import nan
from random import Random
from time import monotonic
from typing import Any

import pytest

import resonance
from resonance.client import _aio, _aio_flight, _base, _run, _wheel
from resonance.errors import (
    ClientClosedError,
    DeadlineExceededError,
    NoReplicaError,
    OverloadedError,
    PolicyError,
)
from resonance.policies import (
    BudgetPolicy,
    Failure,
    HedgePolicy,
    Policy,
    Reason,
    RetryPolicy,
    TaskHint,
)

PATIENCE = 60.0
HOUR = 3600.0
IDEMPOTENT = TaskHint(idempotent=True)
RICH = BudgetPolicy(ratio=1.0, cap=10_000.0, initial=10_000.0)
HEDGE = HedgePolicy(delay=0.001, max_inflight_pct=10_000.0, saturation_guard=False)
RETRY = RetryPolicy(base_delay=0.0, max_delay=0.0)
HEDGED = Policy(hedge=HEDGE, budget=RICH)
RETRIED = Policy(retry=RETRY, budget=RICH)
BOTH = Policy(hedge=HEDGE, retry=RETRY, budget=RICH)
PLAIN = Policy()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a clock that stands still, but for what is added to it by hand."""
    now = [monotonic()]

    def advance(seconds: float) -> None:
        now[0] += seconds

    for module in (_base, _aio, _aio_flight, _run, _wheel):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return advance


@contextlib.asynccontextmanager
async def nothing_left(client: resonance.AsyncClient) -> AsyncIterator[None]:
    """No task, timer or complaint outlives what is done with a client inside, and its end."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    async with asyncio.timeout(PATIENCE):
        yield
        await client.close()
        await until(lambda: asyncio.all_tasks() <= before and not client._tasks)
    assert client._wheel is None or client._wheel._timer is None
    gc.collect()
    assert complaints == []
    loop.set_exception_handler(None)


async def until(is_so: Callable[[], object]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - of what nobody tells
            await asyncio.sleep(0)


def attempt() -> Any:
    return resonance.current_attempt()


def services(client: resonance.AsyncClient) -> Any:
    return client._services.values()


def check_accounts(client: resonance.AsyncClient, calls: int) -> None:
    """Nothing is under way, and everything that was begun is counted once."""
    reports = client.report()
    assert sum(each.calls for each in reports) == calls
    assert client._wheel is None or not sum(map(len, client._wheel._slots.values()))
    for each in reports:
        assert (each.inflight, each.calls_inflight) == (0, 0)
        assert each.successes + each.failures == each.calls
        assert each.attempts == each.calls + each.hedges + each.retries
        assert 0.0 <= each.budget_tokens <= RICH.cap


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def first_hangs(target: str) -> str:
    if attempt().number == 1:
        await forever()
    return target


async def hangs(_: str) -> None:
    await forever()


async def echo(target: str) -> str:
    return target


async def resets(_: str) -> None:
    raise ConnectionResetError


# ---- replicas and numbers ----


async def test_a_call_without_replicas_is_refused_by_name() -> None:
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        with pytest.raises(NoReplicaError, match="orders has no replicas"):
            await client.call([], echo, service="orders")
        check_accounts(client, 0)


async def test_one_replica_gets_no_copy_and_the_reason_says_so() -> None:
    async def fn(target: str) -> str:
        await until(lambda: next(iter(services(client))).counts.refused)
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        outcome = await client.call(["a"], fn, hint=IDEMPOTENT)
        assert (outcome.attempts, outcome.hedge_fired) == (1, False)
        assert Reason.NO_OTHER_REPLICA in outcome.reasons
        check_accounts(client, 1)


@pytest.mark.parametrize("change", ["emptied", "replaced", "grown"])
async def test_the_list_of_replicas_may_change_during_a_call(change: str) -> None:
    targets = ["a", "b"]
    changes: dict[str, Callable[[], object]] = {
        "emptied": targets.clear,
        "replaced": lambda: targets.__setitem__(slice(None), ["c", "d"]),
        "grown": lambda: targets.append("c"),
    }

    async def fn(target: str) -> str:
        if attempt().number == 1:
            changes[change]()
            raise ConnectionResetError
        return target

    client = resonance.AsyncClient(RETRIED)
    async with nothing_left(client):
        outcome = await client.call(targets, fn, hint=IDEMPOTENT, timeout=HOUR)
        assert outcome.attempts == 2
        assert outcome.result in (targets or ["a", "b"])
        check_accounts(client, 1)


async def test_a_deadline_is_kept_though_the_list_has_become_nonsense_when_a_copy_is_due() -> None:
    targets: list[Any] = ["a", "b"]

    async def fn(_: str) -> None:
        targets[:] = [["not hashable"]]
        await forever()

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    policy = HEDGED.replace(hedge=HEDGE.replace(delay=0.020))
    async with resonance.AsyncClient(policy) as client, asyncio.timeout(PATIENCE):
        with pytest.raises(DeadlineExceededError):
            await client.call(targets, fn, hint=IDEMPOTENT, timeout=0.1)
        check_accounts(client, 1)
    assert [type(each["exception"]) for each in complaints] == [TypeError]


@pytest.mark.parametrize("timeout", [0, -1.0, nan])
async def test_a_timeout_that_is_no_time_is_refused_before_anything_is_sent(
    timeout: float,  # noqa: ASYNC109 - of the call
) -> None:
    client = resonance.AsyncClient(PLAIN)
    async with nothing_left(client):
        with pytest.raises(PolicyError, match="timeout: must be seconds, above 0"):
            await client.call(["a"], echo, timeout=timeout)
        check_accounts(client, 0)


async def test_a_pushback_that_is_no_time_ends_the_call_and_says_so() -> None:
    client = resonance.AsyncClient(RETRIED)
    async with nothing_left(client):
        with pytest.raises(PolicyError, match=r"Failure.pushback"):
            await client.call(
                ["a", "b"], echo, hint=IDEMPOTENT, classify=lambda _: Failure(pushback=nan)
            )
        check_accounts(client, 1)


async def test_a_budget_of_nothing_allows_neither_copy_nor_retry() -> None:
    async def fn(_: str) -> None:
        refused = next(iter(services(client))).counts.refused
        await until(lambda: Reason.BUDGET_EMPTY in refused)
        raise ConnectionResetError

    client = resonance.AsyncClient(BOTH.replace(budget=BudgetPolicy(ratio=0.0, initial=0.0)))
    async with nothing_left(client):
        with pytest.raises(ConnectionResetError) as caught:
            await client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert caught.value.__notes__ == ["resonance: failed after 1 attempt (budget_empty)"]
        check_accounts(client, 1)


@pytest.mark.parametrize(
    ("hint", "hedge"),
    [
        (TaskHint(), HEDGE),
        (TaskHint(idempotent=False), HEDGE),
        (TaskHint(idempotent=False), HEDGE.replace(idempotent_only=False)),
    ],
)
async def test_what_is_not_idempotent_runs_once_and_the_reason_says_why(
    hint: TaskHint, hedge: HedgePolicy, frozen: Callable[[float], None]
) -> None:
    runs: list[str] = []

    async def fn(target: str) -> str:
        runs.append(target)
        frozen(1.0)  # far longer than the delay
        return target

    client = resonance.AsyncClient(HEDGED.replace(hedge=hedge))
    async with nothing_left(client):
        outcome = await client.call(["a", "b"], fn, hint=hint)
        assert runs == [outcome.result]
        assert (outcome.attempts, outcome.hedge_fired) == (1, False)
        assert Reason.NOT_IDEMPOTENT in outcome.reasons
        check_accounts(client, 1)


# ---- callables ----


@pytest.mark.parametrize("policy", [PLAIN, HEDGED])
async def test_what_cannot_be_awaited_is_a_clear_error(policy: Policy) -> None:
    client = resonance.AsyncClient(policy)
    async with nothing_left(client):
        with pytest.raises(TypeError, match="int can't be used in 'await' expression"):
            await client.call(["a", "b"], lambda _: 7, hint=IDEMPOTENT)  # type: ignore[arg-type, return-value]
        check_accounts(client, 1)


async def test_a_copy_that_cannot_be_awaited_fails_alone() -> None:
    def fn(target: str) -> Any:
        if attempt().number == 2:
            return 7
        return waits(target)

    async def waits(target: str) -> str:
        await until(lambda: next(iter(services(client))).counts.ends)
        return target

    client = resonance.AsyncClient(HEDGED.replace(retry=RETRY))
    async with nothing_left(client):
        outcome = await client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert (outcome.attempts, outcome.hedge_won) == (2, False)
        check_accounts(client, 1)


@pytest.mark.parametrize("garbage", [True, "retriable"])
async def test_a_classification_that_is_none_is_a_clear_error(garbage: Any) -> None:
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        with pytest.raises(TypeError, match="classify must return a Failure or None"):
            await client.call(["a", "b"], echo, hint=IDEMPOTENT, classify=lambda _: garbage)
        check_accounts(client, 1)


async def test_a_first_attempt_that_swallows_its_cancellation_still_loses() -> None:
    async def fn(target: str) -> str:
        if attempt().number == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await forever()
            await asyncio.sleep(0)
            return "too late"
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        outcome = await client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert (outcome.result, outcome.hedge_won) == (outcome.target, True)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        check_accounts(client, 1)


async def test_a_first_attempt_that_answers_its_cancellation_with_an_error_still_loses() -> None:
    async def fn(target: str) -> str:
        if attempt().number == 1:
            try:
                await forever()
            except asyncio.CancelledError:
                raise ZeroDivisionError from None
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        assert (await client.call(["a", "b"], fn, hint=IDEMPOTENT)).hedge_won
        check_accounts(client, 1)


async def test_a_copy_that_swallows_its_cancellation_holds_up_nobody_but_the_close() -> None:
    leave = asyncio.Event()

    async def fn(target: str) -> str:
        if attempt().number == 1:
            await begun.wait()
        else:
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await forever()
            await leave.wait()
        return target

    begun = asyncio.Event()
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        outcome = await client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert (outcome.attempts, outcome.hedge_won) == (2, False)
        (service,) = services(client)
        assert (service.inflight, service.cancelled_inflight, service.calls_inflight) == (1, 1, 0)
        leave.set()
        await until(lambda: not service.inflight)
        check_accounts(client, 1)


async def test_a_deadline_of_who_swallows_its_cancellation_comes_when_it_ends() -> None:
    async def fn(target: str) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        return target

    client = resonance.AsyncClient(PLAIN)
    async with nothing_left(client):
        with pytest.raises(DeadlineExceededError):
            await client.call(["a", "b"], fn, timeout=0.010)
        check_accounts(client, 1)


async def test_what_a_cancel_callback_raises_is_told_and_all_others_are_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    cancelled: list[int] = []

    async def fn(target: str) -> str:
        mine = attempt().number

        def on_cancel() -> None:
            cancelled.append(mine)
            raise RuntimeError(mine)

        if mine < 3:
            attempt().on_cancel(on_cancel)
            await forever()
        return target

    client = resonance.AsyncClient(HEDGED.replace(hedge=HEDGE.replace(max_hedges=2)))
    hint = TaskHint(idempotent=True, importance="critical")
    async with nothing_left(client):
        assert (await client.call(["a", "b", "c"], fn, hint=hint)).attempts == 3
        await until(lambda: not next(iter(services(client))).inflight)
        assert cancelled == [1, 2]
        assert [str(each) for each in told] == ["1", "2"]
        check_accounts(client, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_obeyed_though_a_copy_has_won(error: type[BaseException]) -> None:
    async def fn(target: str) -> str:
        if attempt().number == 1:
            try:
                await forever()
            except asyncio.CancelledError:
                raise error from None
        return target

    async def main() -> None:
        await client.call(["a", "b"], fn, hint=IDEMPOTENT)

    client = resonance.AsyncClient(HEDGED)
    with pytest.raises(error):
        asyncio.run(main())
    check_accounts(client, 1)
    asyncio.run(client.close())


# ---- cancelled by others ----


async def cancel_when(is_so: Callable[[], object], task: asyncio.Task[Any]) -> None:
    await until(is_so)
    task.cancel()


@pytest.mark.parametrize("policy", [PLAIN, HEDGED, BOTH])
async def test_who_is_cancelled_while_copies_are_under_way_is_and_leaves_none(
    policy: Policy,
) -> None:
    client = resonance.AsyncClient(policy)
    async with nothing_left(client):
        call = client.call(["a", "b"], hangs, hint=IDEMPOTENT, timeout=HOUR)
        task = asyncio.create_task(call)
        attempts = 1 if policy is PLAIN else 2
        await cancel_when(lambda: sum(each.inflight for each in services(client)) == attempts, task)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        await until(lambda: not sum(each.inflight for each in services(client)))
        check_accounts(client, 1)


async def test_who_is_cancelled_between_retries_is() -> None:
    policy = RETRIED.replace(
        retry=RetryPolicy(strategy="fixed", base_delay=HOUR, max_delay=HOUR, brake=False)
    )
    client = resonance.AsyncClient(policy)
    async with nothing_left(client):
        task = asyncio.create_task(client.call(["a", "b"], resets, hint=IDEMPOTENT))
        await cancel_when(lambda: any(each.counts.ends for each in services(client)), task)
        with pytest.raises(asyncio.CancelledError):
            await task
        check_accounts(client, 1)


async def test_who_is_cancelled_together_with_a_copy_that_wins_is_cancelled() -> None:
    async def fn(target: str) -> str:
        if attempt().number == 1:
            await forever()
        await asyncio.sleep(0)
        task.cancel()  # just before the copy answers
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        task = asyncio.create_task(client.call(["a", "b"], fn, hint=IDEMPOTENT))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        check_accounts(client, 1)


async def test_a_timeout_around_a_call_is_its_own() -> None:
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.010):
                await client.call(["a", "b"], hangs, hint=IDEMPOTENT)
        assert not isinstance(caught.value, DeadlineExceededError)
        await until(lambda: not next(iter(services(client))).inflight)
        check_accounts(client, 1)


async def test_a_timeout_around_a_call_does_not_hear_of_our_cancellations() -> None:
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        async with asyncio.timeout(PATIENCE) as around:
            for _ in range(10):
                assert (await client.call(["a", "b"], first_hangs, hint=IDEMPOTENT)).hedge_won
        assert not around.expired()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await until(lambda: not next(iter(services(client))).inflight)
        check_accounts(client, 10)


async def test_a_timeout_inside_an_attempt_that_loses_is_silent() -> None:
    async def fn(target: str) -> str:
        if attempt().number == 1:
            async with asyncio.timeout(HOUR), asyncio.TaskGroup() as group:
                group.create_task(forever())
                await forever()
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        assert (await client.call(["a", "b"], fn, hint=IDEMPOTENT)).hedge_won
        check_accounts(client, 1)


async def test_calls_in_a_task_group_end_with_it() -> None:
    async def breaks() -> None:
        await until(lambda: next(iter(services(client))).counts.hedges >= 3)
        raise ZeroDivisionError

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        await client.call(["a"], echo, service="s")
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the group is the statement
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(client.call(["a", "b"], hangs, hint=IDEMPOTENT, service="s"))
                group.create_task(breaks())
                await client.call(["a", "b"], hangs, hint=IDEMPOTENT, service="s")
        assert [type(each) for each in caught.value.exceptions] == [ZeroDivisionError]
        await until(lambda: not next(iter(services(client))).inflight)
        check_accounts(client, 5)


async def test_a_call_inside_a_call_ends_with_the_attempt_it_is_in() -> None:
    async def outer(target: str) -> str:
        if attempt().number == 1:
            await client.call(["c", "d"], hangs, hint=IDEMPOTENT)
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        assert (await client.call(["a", "b"], outer, hint=IDEMPOTENT)).hedge_won
        await until(lambda: not sum(each.inflight for each in services(client)))
        check_accounts(client, 2)


# ---- loops ----


def test_a_loop_that_ends_in_the_middle_of_a_hedge_leaves_nothing_under_way() -> None:
    async def main() -> None:
        calls.append(asyncio.create_task(client.call(["a", "b"], hangs, hint=IDEMPOTENT)))
        await until(lambda: any(each.counts.hedges for each in services(client)))

    calls: list[asyncio.Task[Any]] = []
    client = resonance.AsyncClient(HEDGED)
    asyncio.run(main())
    assert calls[0].cancelled()
    check_accounts(client, 1)
    asyncio.run(client.close())


@pytest.mark.parametrize("caller_first", [True, False])
@pytest.mark.parametrize("fails_first", [True, False])
def test_a_loop_closed_in_the_middle_of_a_hedge_leaves_nothing_under_way(
    caller_first: bool, fails_first: bool
) -> None:
    async def fn(_: str) -> None:
        if attempt().number == 1 and fails_first:
            await until(lambda: next(iter(services(client))).counts.hedges)
            raise ConnectionResetError
        await forever()

    async def main() -> None:
        await until(lambda: any(each.counts.hedges for each in services(client)))
        await until(lambda: not fails_first or next(iter(services(client))).counts.ends)
        for _ in range(5):
            await asyncio.sleep(0)

    policy = BOTH
    client = resonance.AsyncClient(policy)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says that pending tasks were destroyed
    call = loop.create_task(client.call(["a", "b"], fn, hint=IDEMPOTENT))
    loop.run_until_complete(main())
    loop.close()
    coroutines: list[Any] = [each.get_coro() for each in client._tasks]
    coroutines.insert(0 if caller_first else 1, call.get_coro())
    for each in coroutines:
        each.close()
    del call, coroutines
    gc.collect()
    check_accounts(client, 1)
    asyncio.run(client.close())


def test_a_client_works_in_one_loop_after_another() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            calls = [client.call(["a", "b"], first_hangs, hint=IDEMPOTENT) for _ in range(5)]
            assert all(each.hedge_won for each in await asyncio.gather(*calls))
            assert await client.submit(partial(echo, "x")) == "x"

    client = resonance.AsyncClient(HEDGED)
    for n in range(1, 4):
        asyncio.run(main())
        check_accounts(client, 5 * n)
    asyncio.run(client.close())


def test_a_client_is_closed_in_another_loop_than_its_copies() -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    client = resonance.AsyncClient(HEDGED)
    call = loop.create_task(client.call(["a", "b"], hangs, hint=IDEMPOTENT))
    loop.run_until_complete(until(lambda: client._tasks))
    loop.close()
    asyncio.run(client.close())
    call.get_coro().close()
    for each in tuple(client._tasks):
        each.get_coro().close()
    check_accounts(client, 1)


# ---- the clock ----


async def test_a_copy_is_sent_and_wins_though_the_clock_stands_still(
    frozen: Callable[[float], None],
) -> None:
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        outcome = await client.call(["a", "b"], first_hangs, hint=IDEMPOTENT)
        assert (outcome.hedge_won, outcome.elapsed_seconds) == (True, 0.0)
        check_accounts(client, 1)


async def test_a_deadline_comes_though_the_clock_stands_still(
    frozen: Callable[[float], None],
) -> None:
    client = resonance.AsyncClient(PLAIN)
    async with nothing_left(client):
        with pytest.raises(DeadlineExceededError):
            await client.call(["a", "b"], hangs, timeout=0.010)
        check_accounts(client, 1)


async def test_a_retry_is_made_though_the_clock_stands_still(
    frozen: Callable[[float], None],
) -> None:
    async def fn(target: str) -> str:
        if attempt().number == 1:
            raise ConnectionResetError
        return target

    policy = RETRIED.replace(retry=RetryPolicy(strategy="fixed", base_delay=0.010))
    client = resonance.AsyncClient(policy)
    async with nothing_left(client):
        assert (await client.call(["a", "b"], fn, hint=IDEMPOTENT)).attempts == 2
        check_accounts(client, 1)


# ---- the end ----


async def test_a_closed_client_says_so_whatever_it_is_asked() -> None:
    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        await client.call(["a"], echo)
    await client.close()
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: client.call(["a"], echo),
        lambda: client.hedge(forever),
        lambda: client.retry(forever),
    ]
    for ask in asks:
        with pytest.raises(ClientClosedError, match="the client is closed"):
            await ask()
    with pytest.raises(ClientClosedError, match="the client is closed"):
        client.submit(forever)
    check_accounts(client, 1)


async def test_closing_ends_copies_and_lets_first_attempts_go_on() -> None:
    leave = asyncio.Event()

    async def fn(target: str) -> str:
        await (leave.wait() if attempt().number == 1 else forever())
        return target

    client = resonance.AsyncClient(HEDGED)
    async with nothing_left(client):
        task = asyncio.create_task(client.call(["a", "b"], fn, hint=IDEMPOTENT, timeout=HOUR))
        await until(lambda: client._tasks)
        await client.close()
        assert not client._tasks
        leave.set()
        assert not (await task).hedge_won
        check_accounts(client, 1)


async def test_a_timer_for_an_hour_from_now_ends_with_its_client() -> None:
    client = resonance.AsyncClient(PLAIN)
    async with nothing_left(client):
        assert (await client.call(["a"], echo, timeout=HOUR)).result == "a"


async def test_a_deadline_is_kept_by_a_client_that_was_closed_meanwhile() -> None:
    client = resonance.AsyncClient(PLAIN)
    async with nothing_left(client):
        task = asyncio.create_task(client.call(["a"], hangs, timeout=0.050))
        await until(lambda: any(each.inflight for each in services(client)))
        await client.close()
        with pytest.raises(DeadlineExceededError):
            await task
        check_accounts(client, 1)


# ---- many at once ----


async def test_ten_thousand_calls_at_once_need_no_task_and_one_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    leave, timers = asyncio.Event(), 0
    call_at = loop.call_at

    def counting(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(*args, **kwargs)

    async def waits(target: str) -> str:
        await leave.wait()
        return target

    policy = HEDGED.replace(hedge=HEDGE.replace(delay=HOUR))
    client = resonance.AsyncClient(policy)
    async with nothing_left(client):
        before = len(asyncio.all_tasks())
        monkeypatch.setattr(loop, "call_at", counting)
        tasks = [
            asyncio.create_task(client.call(["a", "b", "c"], waits, hint=IDEMPOTENT))
            for _ in range(10_000)
        ]
        await until(lambda: sum(each.inflight for each in services(client)) == 10_000)
        assert len(asyncio.all_tasks()) == before + 10_000
        assert timers <= 2, "the first, and one before it where a slot of 64 ms has begun"
        leave.set()
        outcomes = await asyncio.gather(*tasks)
        assert {each.attempts for each in outcomes} == {1}
        check_accounts(client, 10_000)


async def hammered(seed: int, target: str) -> str:
    """Answer, fail, or take long, as chance has it."""
    chance = Random(f"{seed} {attempt().number} {target}").random()
    if chance < 0.3:
        raise ConnectionResetError
    if chance < 0.6:
        await asyncio.sleep(0.004)
    elif chance < 0.7:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.004)
    return target


async def test_many_calls_with_failures_hedges_retries_and_cancellations_leave_nothing_behind() -> (
    None
):
    client = resonance.AsyncClient(BOTH, seed=7)

    async def one(seed: int) -> object:
        seconds = 0.002 if seed % 7 == 0 else None
        fn = partial(hammered, seed)
        try:
            async with asyncio.timeout(0.003 if seed % 5 == 0 else None):
                return await client.call(["a", "b", "c"], fn, hint=IDEMPOTENT, timeout=seconds)
        except (ConnectionResetError, TimeoutError, OverloadedError) as error:
            return error

    async with nothing_left(client):
        ends = await asyncio.gather(*[one(seed) for seed in range(1_000)])
        assert len(ends) == 1_000
        await until(lambda: not next(iter(services(client))).inflight)
        check_accounts(client, 1_000)
        (report,) = client.report()
        assert report.hedges > 0
        assert report.retries > 0
        assert report.hedges + report.retries <= RICH.initial + RICH.ratio * report.successes


# ---- fork ----

FORKED = """
import asyncio, os, signal
import resonance
from resonance.policies import BudgetPolicy, HedgePolicy, Policy, TaskHint

signal.alarm(50)
policy = Policy(
    hedge=HedgePolicy(delay=0.001, saturation_guard=False, max_inflight_pct=10_000.0),
    budget=BudgetPolicy(ratio=1.0, initial=10.0),
)
client = resonance.AsyncClient(policy)
hint = TaskHint(idempotent=True)

async def first_hangs(target):
    if resonance.current_attempt().number == 1:
        await asyncio.get_running_loop().create_future()
    return target

async def works():
    for _ in range(3):
        assert (await client.call(["a", "b"], first_hangs, hint=hint)).hedge_won
    async def seven():
        return 7
    assert await client.submit(seven) == 7

def in_child():
    try:
        assert client.report() == (), "nothing of the parent is under way here"
        assert client._wheel is None and not client._tasks
        asyncio.run(works())
        assert client.report()[0].inflight == 0
        asyncio.run(client.close())
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)

async def main():
    leave = asyncio.Event()
    async def hangs(target):
        await leave.wait()
        return target
    calls = [asyncio.create_task(client.call(["a", "b"], hangs, hint=hint)) for _ in range(4)]
    while not client.report() or client.report()[0].inflight < 5:
        await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        in_child()
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    assert client.report()[0].calls_inflight == 4, "the parent's calls go on"
    leave.set()
    await asyncio.gather(*calls)
    await works()
    await client.close()
    assert sum(each.inflight for each in client.report()) == 0

asyncio.run(main())
print("done", flush=True)
"""


def test_a_forked_child_begins_anew_while_its_parent_goes_on() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
