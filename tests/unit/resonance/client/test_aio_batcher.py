# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest

from fakes.submitting import FakeNode
from resonance.client._aio_batcher import AsyncBatcher
from resonance.client._aio_tasks import AsyncTask
from resonance.deadlines import deadline
from resonance.errors import ClientClosedError, PolicyError
from resonance.policies._reasons import Reason
from resonance.policies._records import BatchPolicy, TaskHint

PATIENCE = 60.0
SOON = 0.001
"""What a timer waits for here, since the clocks of these tests stand still."""
NEVER = 3600.0


async def same(items: list[Any]) -> list[Any]:
    await asyncio.sleep(0)
    return items


async def forever(_: object) -> NoReturn:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def raises(error: BaseException) -> Callable[[object], Awaitable[NoReturn]]:
    async def fn(_: object) -> NoReturn:
        await asyncio.sleep(0)
        raise error

    return fn


def batcher(
    fn: Callable[[list[Any]], Awaitable[Any]] = same, node: FakeNode | None = None, **policy: Any
) -> AsyncBatcher[Any, Any]:
    policy = {"max_latency": NEVER} | policy
    return AsyncBatcher(fn, BatchPolicy(**policy), **(node or FakeNode()).sources)


async def until_idle() -> None:
    """Let the loop turn until what is under way has gone as far as it goes."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_items_are_gathered_into_one_call_and_each_gets_its_own_result() -> None:
    calls: list[list[int]] = []

    async def double(items: list[int]) -> list[int]:
        calls.append(items)
        await asyncio.sleep(0)
        return [2 * item for item in items]

    async with batcher(double, max_size=3) as doubled:
        tasks = [doubled.submit(item) for item in range(3)]
        assert [await task for task in tasks] == [0, 2, 4]
    assert calls == [[0, 1, 2]]
    assert {task.reasons for task in tasks} == {(Reason.BATCH_FULL,)}


async def test_calling_it_waits_for_the_result() -> None:
    async with batcher(max_latency=SOON) as gathered:
        assert await gathered("a") == "a"


async def test_a_call_that_is_cancelled_takes_its_item_back() -> None:
    async with batcher(raises(AssertionError())) as gathered:
        calling = asyncio.create_task(gathered("a"))
        await until_idle()
        calling.cancel()
        await asyncio.wait([calling])
        await until_idle()
        assert len(gathered._batch) == 0


async def test_leaving_the_context_sends_the_open_batch_and_waits_for_it() -> None:
    written: list[int] = []

    async def write(items: list[int]) -> list[None]:
        await asyncio.sleep(SOON)
        written.extend(items)
        return [None] * len(items)

    with pytest.raises(KeyError):
        async with batcher(write) as writer:
            raise KeyError(writer.submit(1))
    assert written == [1]


async def test_a_closed_batcher_takes_nothing_more() -> None:
    closed = batcher()
    assert await closed.close()
    assert await closed.close()
    with pytest.raises(ClientClosedError, match="batcher is closed"):
        closed.submit(1)


async def test_flush_sends_the_open_batch() -> None:
    gathered = batcher()
    gathered.flush()
    task = gathered.submit(1)
    gathered.flush()
    assert await task == 1
    assert task.reasons == (Reason.BATCH_FLUSHED,)


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([1], "2, not 1"),
        ([1, 2, 3], "2, not 3"),
        (None, "a sequence, not NoneType"),
        ({"a": 1, "b": 2}, "a sequence, not dict"),
    ],
)
async def test_a_function_that_does_not_return_one_result_for_each_item_is_told_so(
    results: Any, said: str
) -> None:
    async def write(_: list[int]) -> Any:
        await asyncio.sleep(0)
        return results

    gathered = batcher(write, max_size=2)
    for task in [gathered.submit(item) for item in "ab"]:
        with pytest.raises(PolicyError, match=f"write: must return one result .*: {said}"):
            await task


async def test_a_function_that_cannot_be_awaited_fails_its_batch() -> None:
    gathered = batcher(list, max_size=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="await"):
        await gathered(1)


@pytest.mark.parametrize("error", [KeyError("b"), StopIteration("b")])
async def test_a_result_that_is_an_exception_is_raised_to_its_own_member_only(
    error: Exception,
) -> None:
    async def fn(_: list[str]) -> list[int | Exception]:
        await asyncio.sleep(0)
        return [1, error, 3]

    gathered = batcher(fn, max_size=3)
    tasks = [gathered.submit(item) for item in "abc"]
    assert (await tasks[0], await tasks[2]) == (1, 3)
    with pytest.raises((KeyError, RuntimeError), match="b"):
        await tasks[1]


async def test_what_the_function_raises_is_raised_to_all_and_the_next_batch_runs() -> None:
    async def fn(items: list[int]) -> list[int]:
        await asyncio.sleep(0)
        if items == [0, 1]:
            raise KeyError("a")
        return items

    gathered = batcher(fn, max_size=2)
    tasks = [gathered.submit(item) for item in range(4)]
    for task in tasks[:2]:
        with pytest.raises(KeyError):
            await task
    assert [await task for task in tasks[2:]] == [2, 3]


def test_a_keyboard_interrupt_in_the_function_ends_the_loop_and_its_batch_only() -> None:
    gathered = batcher(raises(KeyboardInterrupt()), max_size=2)

    async def main() -> list[AsyncTask[Any]]:
        return [gathered.submit(item) for item in range(3)]

    async def results(tasks: list[AsyncTask[Any]]) -> list[Any]:
        assert not tasks[2].done()
        assert tasks[2].cancel()
        return [await task.exception() for task in tasks[:2]]

    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(loop.create_future())
    errors = loop.run_until_complete(results(tasks))
    assert [type(error) for error in errors] == [KeyboardInterrupt] * 2
    loop.close()


async def test_tasks_that_failed_are_freed_without_the_garbage_collector() -> None:
    gathered = batcher(raises(KeyError("a")), max_size=1)
    gc.collect()
    gc.disable()
    try:
        task = gathered.submit("b")
        with pytest.raises(KeyError):
            await task
        freed = weakref.ref(task)
        del task
        await until_idle()
        assert freed() is None
    finally:
        gc.enable()


async def test_waiting_for_a_function_that_never_returns_ends_after_the_timeout() -> None:
    before = asyncio.all_tasks()
    gathered = batcher(forever, max_size=1)
    task = gathered.submit(1)
    with pytest.raises(TimeoutError):
        await task.result(0.01)
    assert not await gathered.close(0.01)
    for running in asyncio.all_tasks() - before:
        running.cancel()
    assert await gathered.close()
    assert task.cancelled()


async def test_a_batcher_may_be_closed_by_its_own_function() -> None:
    async def fn(items: list[int]) -> list[bool]:
        return [await gathered.close() for _ in items]

    gathered = batcher(fn, max_size=1)
    assert await gathered(1) is True


async def test_cancelled_items_are_not_in_the_call_before_it_begins() -> None:
    calls: list[list[int]] = []

    async def fn(items: list[int]) -> list[int]:
        calls.append(items)
        await asyncio.sleep(0)
        return items

    gathered = batcher(fn, max_size=3)
    assert gathered.submit(0).cancel(), "while the batch is open"
    tasks = [gathered.submit(item) for item in (1, 2, 3)]
    assert tasks[1].cancel(), "when it has gone, but not begun"
    assert await gathered.close()
    assert calls == [[1, 3]]
    assert not tasks[0].cancel(), "when it has run"
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


async def test_a_batch_of_which_all_are_cancelled_calls_nobody() -> None:
    gathered = batcher(raises(AssertionError()), max_size=2)
    tasks = [gathered.submit(item) for item in range(2)]
    assert [task.cancel() for task in tasks] == [True, True]
    assert await gathered.close()


async def test_an_item_that_runs_cannot_be_cancelled_but_nobody_must_wait_for_it() -> None:
    go = asyncio.Event()

    async def fn(items: list[int]) -> list[int]:
        await go.wait()
        return items

    gathered = batcher(fn, max_size=2)
    first, second = gathered.submit(1), gathered.submit(2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first, 0.01)
    assert not second.cancel()
    go.set()
    assert await second == 2
    assert first.cancelled()


@pytest.mark.parametrize(
    "hint", [TaskHint(max_batch_latency=SOON), TaskHint(soft_deadline=SOON), TaskHint()]
)
async def test_a_hint_makes_the_wait_shorter(hint: TaskHint) -> None:
    task = batcher().submit(1, hint=hint)
    assert await task.result(PATIENCE) == 1
    assert task.reasons == (Reason.BATCH_LATENCY,)


async def test_without_a_hint_only_the_policy_bounds_the_wait() -> None:
    node = FakeNode()
    async with batcher(node=node) as gathered:
        gathered.submit(1)
        assert gathered._batch.due_at == node.now + NEVER


@pytest.mark.parametrize("seconds", [SOON, 0.0])
@pytest.mark.parametrize("hint", [None, TaskHint(soft_deadline=NEVER, max_batch_latency=NEVER)])
async def test_nothing_waits_beyond_the_deadline_it_was_submitted_in(
    seconds: float, hint: TaskHint | None
) -> None:
    gathered = batcher()
    with deadline(seconds):
        task = gathered.submit(1, hint=hint)
    assert await task.result(PATIENCE) == 1
    await gathered.close()


async def test_what_must_run_now_goes_alone() -> None:
    async with batcher() as gathered:
        waiting = gathered.submit(1)
        assert await gathered(2, hint=TaskHint(must_run_now=True)) == 2
        assert not waiting.done()


async def test_without_any_latency_each_item_goes_at_once() -> None:
    task = batcher(max_latency=0.0).submit(1)
    assert await task == 1
    assert task.reasons == (Reason.RAN_AT_ONCE,)


async def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(PolicyError, match="max_latency"):
        batcher(max_latency=-1.0)


async def test_the_function_runs_in_the_context_in_which_the_batcher_was_made() -> None:
    who: ContextVar[str] = ContextVar("who")
    who.set("maker")

    async def fn(items: list[int]) -> list[str]:
        await asyncio.sleep(0)
        return [who.get() for _ in items]

    gathered, tasks = batcher(fn), list[AsyncTask[Any]]()
    for caller in ("ann", "bob"):
        who.set(caller)
        tasks.append(gathered.submit(caller))
        await asyncio.sleep(0)
    gathered.flush()
    assert [await task for task in tasks] == ["maker", "maker"]


async def test_ten_thousand_items_get_their_results() -> None:
    async with batcher(max_size=64) as gathered:
        tasks = [gathered.submit(item) for item in range(10_000)]
    assert [await task for task in tasks] == list(range(10_000))


@pytest.mark.parametrize(("fn", "max_size"), [(same, 4), (forever, 3)])
@pytest.mark.parametrize("turns", [0, 5])
def test_a_loop_that_ends_cancels_the_open_batch_and_the_one_that_runs(
    fn: Callable[[object], Awaitable[Any]], max_size: int, turns: int
) -> None:
    gathered = batcher(fn, max_size=max_size)

    async def main() -> list[AsyncTask[Any]]:
        tasks = [gathered.submit(item) for item in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        return tasks

    for _ in range(2):  # the second in another loop
        assert [task.cancelled() for task in asyncio.run(main())] == [True] * 3


async def test_a_forked_child_begins_with_an_empty_batch() -> None:
    gathered, busy = batcher(max_size=2), batcher(forever, max_size=1)
    waiting, running = gathered.submit("parent's"), busy.submit(1)
    await until_idle()
    child = os.fork()
    if not child:
        os._exit(asyncio.run(_in_child(gathered, busy, (waiting, running))))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert await gathered.close()
    assert await waiting == "parent's"
    assert not running.done()


async def _in_child(
    gathered: AsyncBatcher[Any, Any], busy: AsyncBatcher[Any, Any], parents: tuple[Any, ...]
) -> int:
    """Return how many things were wrong; a child of a test may neither raise nor return."""
    wrong = 0
    for task in parents:
        try:
            await task
            wrong += 1
        except ClientClosedError:
            pass
    own = [gathered.submit(each) for each in ("a", "b")]
    wrong += [await task for task in own] != ["a", "b"]
    wrong += not await gathered.close(PATIENCE)
    wrong += not await busy.close(PATIENCE)
    return wrong
