# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import pytest

from fakes.submitting import FakeNode
from resonance.client._aio_submissions import AsyncSubmissions
from resonance.client._aio_tasks import AsyncTask
from resonance.deadlines import deadline
from resonance.errors import ClientClosedError
from resonance.policies._reasons import Reason
from resonance.policies._records import BatchPolicy, TaskHint

PATIENCE = 60.0
SOON = 0.001
"""What a timer waits for here, since the clocks of these tests stand still."""
NEVER = 3600.0

BATCHED = TaskHint(can_batch=True, max_batch_latency=NEVER, task_class="batchable")
HELD = TaskHint(max_deferral=NEVER, task_class="background")


def submissions(node: FakeNode | None = None, **policy: Any) -> AsyncSubmissions:
    return AsyncSubmissions(
        policy=BatchPolicy(**({"max_latency": NEVER} | policy)), **(node or FakeNode()).sources
    )


def gives(value: object = 0) -> Callable[[], Awaitable[Any]]:
    async def fn() -> Any:
        await asyncio.sleep(0)
        return value

    return fn


def raises(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def fn() -> Any:
        await asyncio.sleep(0)
        raise error

    return fn


class Awaited(NamedTuple):
    """What a given iterator makes of an ``await``."""

    steps: Generator[Any, None, Any]

    def __await__(self) -> Generator[Any, None, Any]:
        return self.steps


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def until_idle() -> None:
    """Let the loop turn until what is under way has gone as far as it goes."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_function_without_a_hint_runs_at_once() -> None:
    task = submissions().submit(gives(7))
    assert not task.done()
    assert await task == 7
    assert task.reasons == (Reason.RAN_AT_ONCE,)
    assert await task == 7, "again"


async def test_a_task_tells_its_outcome_and_what_its_hint_calls_it() -> None:
    node = FakeNode()
    task = submissions(node).submit(gives(7), TaskHint(id="seven"))
    assert (task.outcome, task.id) == (None, "seven")
    node.now += 2.0
    await task
    outcome = task.outcome
    assert outcome is not None
    assert (outcome.result, outcome.elapsed_seconds) == (7, 2.0)
    assert outcome.reasons == (Reason.RAN_AT_ONCE,)
    assert "seven" in repr(task)


async def test_what_a_function_raises_is_raised_to_who_asks() -> None:
    task = submissions().submit(raises(KeyError("a")))
    with pytest.raises(KeyError, match="a"):
        await task
    with pytest.raises(KeyError):
        await task.result()
    assert isinstance(await task.exception(), KeyError)
    assert (task.outcome, task.done(), task.cancelled()) == (None, True, False)


async def test_a_function_that_does_not_return_an_awaitable_fails_alone() -> None:
    task = submissions().submit(lambda: 7)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="await"):
        await task


@pytest.mark.parametrize("asks", [AsyncTask.__await__, lambda task: task.result().__await__()])
@pytest.mark.parametrize("hint", [TaskHint(), BATCHED])
async def test_a_task_that_failed_is_freed_without_the_garbage_collector(
    hint: TaskHint, asks: Callable[[AsyncTask[Any]], Any]
) -> None:
    submitted = submissions(max_size=1)
    gc.collect()
    gc.disable()
    try:
        task = submitted.submit(raises(KeyError("a")), hint)
        with pytest.raises(KeyError):
            await Awaited(asks(task))
        freed = weakref.ref(task)
        del task
        await until_idle()
        assert freed() is None
    finally:
        gc.enable()


async def test_waiting_ends_after_the_timeout_and_the_task_goes_on() -> None:
    go = asyncio.Event()
    task = submissions().submit(go.wait)
    for timeout in (0.01, 0.0, -1.0):
        with pytest.raises(TimeoutError, match="goes on"):
            await task.result(timeout)
        with pytest.raises(TimeoutError):
            await task.exception(timeout)
    go.set()
    assert await task.result(PATIENCE) is True


async def test_who_is_cancelled_while_it_asks_for_the_result_leaves_the_task_alone() -> None:
    go = asyncio.Event()
    task = submissions().submit(go.wait)
    asking = asyncio.create_task(task.result())
    await until_idle()
    asking.cancel()
    await asyncio.wait([asking])
    go.set()
    assert await task is True


async def test_who_is_cancelled_while_awaiting_a_task_cancels_it() -> None:
    ended = list[str]()

    async def fn() -> None:
        try:
            await forever()
        finally:
            ended.append("fn")

    task = submissions().submit(fn)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.01)
    await until_idle()
    assert (ended, task.cancelled()) == (["fn"], True)


async def test_tasks_of_one_class_run_one_after_another_in_one_asyncio_task() -> None:
    order = list[tuple[int, str]]()

    async def fn(each: int) -> asyncio.Task[Any] | None:
        order.append((each, "begins"))
        await asyncio.sleep(0)
        order.append((each, "ends"))
        return asyncio.current_task()

    submitted = submissions(max_size=3)
    tasks = [submitted.submit(lambda each=each: fn(each), BATCHED) for each in range(3)]
    assert len({await task for task in tasks}) == 1
    assert order == [(each, what) for each in range(3) for what in ("begins", "ends")]
    assert {task.reasons for task in tasks} == {(Reason.BATCH_FULL,)}


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), StopAsyncIteration(), asyncio.CancelledError(), pytest.fail.Exception()],
)
async def test_what_one_member_raises_does_not_touch_the_others(error: BaseException) -> None:
    submitted = submissions(max_size=3)
    tasks = [submitted.submit(fn, BATCHED) for fn in (gives(1), raises(error), gives(3))]
    assert (await tasks[0], await tasks[2]) == (1, 3)
    with pytest.raises(type(error)):
        await tasks[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_a_program_ends_the_loop_and_the_other_members_still_run(
    error: BaseException,
) -> None:
    async def main() -> list[AsyncTask[Any]]:
        submitted = submissions(max_size=3)
        functions = gives(1), raises(error), gives(3)
        return [submitted.submit(fn, BATCHED) for fn in functions]

    async def results(tasks: list[AsyncTask[Any]]) -> list[Any]:
        return [await tasks[0], await tasks[1].exception(), await tasks[2]]

    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(main())
    with pytest.raises(type(error)):
        loop.run_until_complete(loop.create_future())
    assert loop.run_until_complete(results(tasks)) == [1, error, 3]
    loop.close()


async def test_a_batch_goes_when_its_time_has_come_though_the_clock_stands_still() -> None:
    task = submissions().submit(gives(), BATCHED.replace(max_batch_latency=SOON))
    assert await task.result(PATIENCE) == 0
    assert task.reasons == (Reason.BATCH_LATENCY,)


async def test_a_later_task_that_may_wait_less_takes_the_batch_with_it() -> None:
    submitted = submissions()
    patient = submitted.submit(gives(), BATCHED)
    await until_idle()
    submitted.submit(gives(), BATCHED.replace(soft_deadline=SOON))
    assert await patient.result(PATIENCE) == 0
    assert patient.reasons == (Reason.BATCH_LATENCY,)


async def test_a_batch_goes_when_the_pressure_clears() -> None:
    node = FakeNode(pressure=0.9)
    task = submissions(node).submit(gives(), BATCHED)
    await until_idle()
    assert not task.done()
    node.pressure = 0.1
    assert await task.result(PATIENCE) == 0
    assert task.reasons == (Reason.BATCH_PRESSURE_CLEARED,)


async def test_a_batch_goes_in_a_valley() -> None:
    task = submissions(FakeNode(valley_seconds=SOON)).submit(gives(), BATCHED)
    assert await task.result(PATIENCE) == 0
    assert task.reasons == (Reason.BATCH_VALLEY,)


async def test_a_task_is_held_while_others_wait_for_a_cpu() -> None:
    node = FakeNode(pressure=0.9)
    task = submissions(node).submit(gives(), HELD)
    await until_idle()
    assert not task.done()
    node.pressure = 0.5
    assert await task.result(PATIENCE) == 0
    assert task.reasons == (Reason.DEFERRED_FOR_PRESSURE,)


async def test_a_busy_node_holds_a_task_no_longer_than_it_may_be() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    hints = (
        HELD.replace(max_deferral=SOON),
        HELD.replace(soft_deadline=SOON),
        HELD.replace(task_class="batchable"),  # 7 ms
    )
    for task in [submitted.submit(gives(), hint) for hint in hints]:
        assert await task.result(PATIENCE) == 0
        assert task.reasons == (Reason.DEFERRED_FOR_PRESSURE,)


@pytest.mark.parametrize("pressure", [None, 0.0, 0.5])
async def test_nothing_is_held_unless_others_are_known_to_wait(pressure: float | None) -> None:
    task = submissions(FakeNode(pressure)).submit(gives(), HELD)
    assert await task.result(PATIENCE) == 0
    assert task.reasons == (Reason.RAN_AT_ONCE,)


@pytest.mark.parametrize(
    "hint",
    [
        HELD.replace(must_run_now=True),
        HELD.replace(importance="critical"),
        BATCHED.replace(must_run_now=True),
        BATCHED.replace(max_batch_latency=0.0),
    ],
)
async def test_what_may_not_wait_runs_at_once_on_a_busy_node(hint: TaskHint) -> None:
    task = submissions(FakeNode(pressure=1.0)).submit(gives(), hint)
    assert await task.result(PATIENCE) == 0
    assert task.reasons == (Reason.RAN_AT_ONCE,)


@pytest.mark.parametrize("hint", [BATCHED, HELD])
async def test_a_task_that_is_cancelled_while_it_waits_never_runs(hint: TaskHint) -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    task = submitted.submit(raises(AssertionError()), hint)
    assert task.cancel()
    assert task.cancel(), "still"
    assert (task.done(), task.cancelled(), task.outcome) == (True, True, None)
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(asyncio.CancelledError):
        await task.result()
    await until_idle()
    assert len(asyncio.all_tasks()) <= 2, "the test, and what runs it"
    assert await submitted.close()


async def test_a_cancelled_task_takes_no_place_in_its_batch() -> None:
    submitted = submissions(max_size=2)
    submitted.submit(gives(), BATCHED).cancel()
    task = submitted.submit(gives(), BATCHED)
    await until_idle()
    assert not task.done()
    submitted.submit(gives(), BATCHED)
    assert await task == 0


@pytest.mark.parametrize("hint", [TaskHint(), BATCHED])
async def test_a_function_that_runs_is_cancelled_where_it_awaits_and_alone(hint: TaskHint) -> None:
    submitted = submissions(max_size=2)
    task = submitted.submit(forever, hint)
    other = submitted.submit(gives(2), hint)
    await until_idle()
    assert task.cancel()
    assert task.cancel(), "asked twice, cancelled once"
    assert await other == 2
    await until_idle()
    assert task.cancelled()


async def test_a_function_may_refuse_to_be_cancelled_and_the_next_is_not_touched() -> None:
    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "no"
        return "never"

    submitted = submissions(max_size=2)
    task, other = [submitted.submit(fn, BATCHED) for fn in (stubborn, gives(2))]
    await until_idle()
    assert task.cancel()
    assert (await task, await other) == ("no", 2)


async def test_a_function_that_cancels_itself_and_returns_does_not_cancel_the_next() -> None:
    tasks: list[AsyncTask[Any]] = []

    async def rash() -> bool:
        return tasks[0].cancel()

    submitted = submissions(max_size=2)
    tasks += [submitted.submit(fn, BATCHED) for fn in (rash, gives(2))]
    assert (await tasks[0], await tasks[1]) == (True, 2)


async def test_a_member_that_has_gone_but_not_begun_can_be_cancelled() -> None:
    go = asyncio.Event()
    submitted = submissions(max_size=2)
    first, second = [submitted.submit(fn, BATCHED) for fn in (go.wait, gives())]
    await until_idle()
    assert second.cancel()
    go.set()
    assert await first is True
    assert second.cancelled()
    assert not first.cancel()


@pytest.mark.parametrize("hint", [TaskHint(), BATCHED, HELD])
async def test_no_asyncio_task_is_left_when_nothing_waits(hint: TaskHint) -> None:
    before = asyncio.all_tasks()
    submitted = submissions(FakeNode(pressure=1.0), max_size=2)
    tasks = [submitted.submit(gives(), hint) for _ in range(2)]
    await until_idle()
    submitted.flush()
    assert [await task for task in tasks] == [0, 0]
    await until_idle()
    assert asyncio.all_tasks() == before


async def test_flush_sends_what_waits() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    tasks = [submitted.submit(gives(), hint) for hint in (BATCHED, HELD)]
    submitted.flush()
    assert [await task for task in tasks] == [0, 0]
    assert [task.reasons for task in tasks] == [
        (Reason.BATCH_FLUSHED,),
        (Reason.DEFERRED_FOR_PRESSURE,),
    ]
    submitted.flush()


async def test_close_sends_what_waits_waits_for_it_and_takes_nothing_more() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    tasks = [submitted.submit(gives(), hint) for hint in (TaskHint(), BATCHED, HELD)]
    assert await submitted.close()
    assert all(task.done() for task in tasks)
    assert await submitted.close()
    for hint in (TaskHint(), BATCHED, HELD):
        with pytest.raises(ClientClosedError, match="client is closed"):
            submitted.submit(gives(), hint)


async def test_close_waits_no_longer_than_it_may() -> None:
    submitted = submissions()
    task = submitted.submit(forever)
    assert not await submitted.close(0.01)
    task.cancel()
    assert await submitted.close()


async def test_each_task_runs_in_the_context_of_who_submitted_it() -> None:
    who: ContextVar[str] = ContextVar("who")

    async def fn() -> tuple[str, str]:
        before = who.get()
        await asyncio.sleep(0)
        who.set("changed")
        return before, who.get()

    submitted, tasks = submissions(max_size=2), list[AsyncTask[Any]]()
    for each in ("ann", "bob"):
        who.set(each)
        tasks.append(submitted.submit(fn, BATCHED))
    assert [await task for task in tasks] == [("ann", "changed"), ("bob", "changed")]
    assert who.get() == "bob"


async def test_timeouts_inside_a_batch_strike_their_own_member() -> None:
    async def slow() -> None:
        async with asyncio.timeout(SOON):
            await forever()

    submitted = submissions(max_size=2)
    task, other = [submitted.submit(fn, BATCHED) for fn in (slow, gives(2))]
    with pytest.raises(TimeoutError):
        await task
    assert await other == 2


@pytest.mark.parametrize("hint", [BATCHED, HELD])
@pytest.mark.parametrize("seconds", [SOON, 0.0])
async def test_nothing_waits_beyond_the_deadline_it_was_submitted_in(
    hint: TaskHint, seconds: float
) -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    with deadline(seconds):
        task = submitted.submit(gives(), hint)
    assert await task.result(PATIENCE) == 0


async def test_other_modes_run_everything_at_once_and_advise_says_what_should_be() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    observed = submitted.submit(gives(), HELD, mode="observe")
    advised = submitted.submit(gives(), HELD, mode="advise")
    assert (await observed, await advised) == (0, 0)
    assert observed.reasons == (Reason.OBSERVED,)
    assert advised.reasons == (Reason.ADVISED, Reason.DEFERRED_FOR_PRESSURE)


@pytest.mark.parametrize("hint", [TaskHint(), BATCHED, HELD])
async def test_ten_thousand_tasks_run_once_each(hint: TaskHint) -> None:
    ran = list[int]()

    async def fn(each: int) -> None:
        ran.append(each)

    submitted = submissions(FakeNode(pressure=1.0))
    for each in range(10_000):
        submitted.submit(lambda each=each: fn(each), hint)
    assert await submitted.close()
    assert sorted(ran) == list(range(10_000))


@pytest.mark.parametrize("hint", [TaskHint(), BATCHED, HELD])
@pytest.mark.parametrize("turns", [0, 5])
def test_a_loop_that_ends_cancels_what_waits_and_what_runs(hint: TaskHint, turns: int) -> None:
    submitted = submissions(FakeNode(pressure=1.0))

    async def main() -> list[AsyncTask[Any]]:
        tasks = [submitted.submit(forever, hint) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        return tasks

    assert [task.cancelled() for task in asyncio.run(main())] == [True] * 3
    assert [task.cancelled() for task in asyncio.run(main())] == [True] * 3, "in another loop"


def test_a_batch_that_runs_when_its_loop_ends_is_cancelled_with_all_its_members() -> None:
    async def main() -> list[AsyncTask[Any]]:
        submitted = submissions(max_size=3)
        tasks = [submitted.submit(fn, BATCHED) for fn in (gives(1), forever, gives(3))]
        assert await tasks[0] == 1
        await asyncio.sleep(0)
        return tasks

    assert [task.cancelled() for task in asyncio.run(main())] == [False, True, True]


@pytest.fixture
def abandoned_loop(caplog: pytest.LogCaptureFixture) -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    gc.collect()
    caplog.clear()


def test_a_loop_that_is_closed_without_a_word_leaves_a_clear_error_and_a_client_that_works(
    abandoned_loop: asyncio.AbstractEventLoop,
) -> None:
    submitted = submissions()

    async def begin() -> AsyncTask[Any]:
        task = submitted.submit(gives(), BATCHED)
        await asyncio.sleep(0)
        return task

    async def go_on(task: AsyncTask[Any]) -> Any:
        with pytest.raises(ClientClosedError, match="loop"):
            await task
        with pytest.raises(ClientClosedError, match="loop"):
            await task.result()
        other = submitted.submit(gives(2), BATCHED)
        assert task.cancelled()
        await submitted.close()
        return await other

    task = abandoned_loop.run_until_complete(begin())
    abandoned_loop.close()
    assert asyncio.run(go_on(task)) == 2


def test_tasks_of_two_loops_at_a_time_do_not_wait_together(
    abandoned_loop: asyncio.AbstractEventLoop,
) -> None:
    submitted = submissions()

    async def begin() -> AsyncTask[Any]:
        task = submitted.submit(gives(), BATCHED)
        await asyncio.sleep(0)
        return task

    task = abandoned_loop.run_until_complete(begin())
    with pytest.raises(RuntimeError, match="in use in another event loop"):
        asyncio.run(begin())
    assert abandoned_loop.run_until_complete(submitted.close())
    assert task.done()
    abandoned_loop.close()


def test_without_a_loop_nothing_can_be_submitted() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        submissions().submit(gives())


async def test_a_forked_child_begins_empty_and_leaves_the_parents_tasks_alone() -> None:
    submitted = submissions()
    done, running = submitted.submit(gives("done")), submitted.submit(forever)
    waiting = submitted.submit(gives("parent's"), BATCHED)
    await done
    child = os.fork()
    if not child:
        os._exit(asyncio.run(_in_child(submitted, done, (running, waiting))))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    running.cancel()
    assert await submitted.close()
    assert await waiting == "parent's"


async def _in_child(
    submitted: AsyncSubmissions, done: AsyncTask[str], parents: tuple[AsyncTask[Any], ...]
) -> int:
    """Return how many things were wrong; a child of a test may neither raise nor return."""
    wrong = 0 if await done == "done" else 1
    for task in parents:
        for ask in (task, task.result(PATIENCE), task.exception()):
            try:
                await ask
                wrong += 1
            except ClientClosedError as error:
                wrong += "forked" not in str(error)
        wrong += task.cancel()
    own = submitted.submit(gives("own"), BATCHED)
    wrong += not await submitted.close()
    wrong += await own != "own"
    gc.collect()
    wrong += any(task.done() for task in parents)
    return wrong
