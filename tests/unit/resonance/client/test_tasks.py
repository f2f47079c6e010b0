# SPDX-License-Identifier: MIT
from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest

from fakes.submitting import FakeNode, FreshThreads, HandWorked, NoWorkers, stuck
from resonance.client._line import Pool
from resonance.client._submissions import Submissions
from resonance.client._tasks import Task
from resonance.client._workers import Workers
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


def submissions(
    node: FakeNode | None = None, pool: Pool | None = None, **policy: Any
) -> Submissions:
    return Submissions(
        pool or FreshThreads(),
        policy=BatchPolicy(**({"max_latency": NEVER} | policy)),
        **(node or FakeNode()).sources,
    )


def raises(error: BaseException) -> Callable[[], NoReturn]:
    def fn() -> NoReturn:
        raise error

    return fn


def timers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "resonance-client"]


def eventually(is_true: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < until
        time.sleep(SOON)


@pytest.fixture(autouse=True)
def _no_timer_is_left() -> Any:
    yield
    gc.collect()
    eventually(lambda: not timers())


def test_a_function_without_a_hint_runs_at_once_in_a_worker() -> None:
    task = submissions().submit(threading.current_thread)
    assert task.result(PATIENCE).name == "fresh"
    assert task.reasons == (Reason.RAN_AT_ONCE,)
    assert not timers()


def test_a_task_tells_its_outcome_and_what_its_hint_calls_it() -> None:
    node, pool = FakeNode(), HandWorked()
    task = submissions(node, pool).submit(lambda: 7, TaskHint(id="seven"))
    assert (task.done(), task.outcome, task.id) == (False, None, "seven")
    node.now += 2.0
    pool.work()
    outcome = task.outcome
    assert outcome is not None
    assert (outcome.result, outcome.elapsed_seconds) == (7, 2.0)
    assert outcome.reasons == (Reason.RAN_AT_ONCE,)
    assert "seven" in repr(task)


def test_what_a_function_raises_is_raised_to_who_asks() -> None:
    task = submissions().submit(raises(KeyError("a")))
    with pytest.raises(KeyError, match="a"):
        task.result(PATIENCE)
    assert isinstance(task.exception(), KeyError)
    assert (task.outcome, task.done(), task.cancelled()) == (None, True, False)


def test_a_task_that_failed_is_freed_without_the_garbage_collector() -> None:
    submitted = submissions()
    gc.collect()
    gc.disable()
    try:
        task = submitted.submit(raises(KeyError("a")))
        with pytest.raises(KeyError):
            task.result(PATIENCE)
        freed = weakref.ref(task)
        del task
        eventually(lambda: freed() is None)
    finally:
        gc.enable()


def test_waiting_ends_after_the_timeout_and_the_task_goes_on() -> None:
    fn = stuck()
    task = submissions().submit(fn)
    for timeout in (0.01, 0.0, -1.0, -NEVER):
        with pytest.raises(TimeoutError, match="goes on"):
            task.result(timeout)
        with pytest.raises(TimeoutError):
            task.exception(timeout)
    fn.let_go.set()
    assert task.result(PATIENCE) == ["late"]


def test_many_threads_may_wait_for_one_task() -> None:
    fn = stuck()
    task = submissions().submit(fn)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(task.result())) for _ in range(20)]
    for each in threads:
        each.start()
    fn.let_go.set()
    for each in threads:
        each.join(PATIENCE)
    assert found == [["late"]] * 20


def test_tasks_of_one_class_run_together_in_order_in_one_worker() -> None:
    pool, order = HandWorked(), list[int]()
    submitted = submissions(pool=pool, max_size=3)
    tasks = [submitted.submit(lambda each=each: order.append(each), BATCHED) for each in range(6)]
    assert len(pool.jobs) == 2
    pool.jobs.pop(0)()
    assert order[:3] == [0, 1, 2]
    pool.work()
    assert order == list(range(6))
    assert {task.reasons for task in tasks} == {(Reason.BATCH_FULL,)}


def test_tasks_of_different_classes_do_not_share_a_batch() -> None:
    pool = HandWorked()
    submitted = submissions(pool=pool, max_size=2)
    tasks = [
        submitted.submit(int, BATCHED.replace(task_class=each))
        for each in ("interactive", "batchable", "background")
    ]
    assert not pool.jobs
    submitted.close()
    assert len(pool.jobs) == 3
    pool.work()
    assert [task.result() for task in tasks] == [0, 0, 0]


@pytest.mark.parametrize("error", [KeyError("a"), KeyboardInterrupt(), SystemExit(3)])
def test_what_one_member_raises_does_not_touch_the_others(error: BaseException) -> None:
    submitted = submissions(max_size=3)
    tasks = [submitted.submit(fn, BATCHED) for fn in (int, raises(error), str)]
    assert (tasks[0].result(PATIENCE), tasks[2].result(PATIENCE)) == (0, "")
    with pytest.raises(type(error)):
        tasks[1].result(PATIENCE)


def test_a_batch_goes_when_its_time_has_come_though_the_clock_stands_still() -> None:
    submitted = submissions()
    task = submitted.submit(int, BATCHED.replace(max_batch_latency=SOON))
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.BATCH_LATENCY,)


def test_a_later_task_that_may_wait_less_takes_the_batch_with_it() -> None:
    submitted = submissions()
    patient = submitted.submit(int, BATCHED)
    eventually(timers)
    submitted.submit(int, BATCHED.replace(soft_deadline=SOON))
    assert patient.result(PATIENCE) == 0
    assert patient.reasons == (Reason.BATCH_LATENCY,)


def test_a_batch_goes_when_the_pressure_clears() -> None:
    node = FakeNode(pressure=0.9)
    task = submissions(node).submit(int, BATCHED)
    assert not task.done()
    node.pressure = 0.1
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.BATCH_PRESSURE_CLEARED,)


def test_a_batch_goes_in_a_valley() -> None:
    task = submissions(FakeNode(valley_seconds=SOON)).submit(int, BATCHED)
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.BATCH_VALLEY,)


def test_a_task_is_held_while_others_wait_for_a_cpu() -> None:
    node = FakeNode(pressure=0.9)
    task = submissions(node).submit(int, HELD)
    assert not task.done()
    node.pressure = 0.5
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.DEFERRED_FOR_PRESSURE,)


def test_a_busy_node_holds_a_task_no_longer_than_it_may_be() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    hints = (
        HELD.replace(max_deferral=SOON),
        HELD.replace(soft_deadline=SOON),
        HELD.replace(task_class="batchable"),  # 7 ms
    )
    for task in [submitted.submit(int, hint) for hint in hints]:
        assert task.result(PATIENCE) == 0
        assert task.reasons == (Reason.DEFERRED_FOR_PRESSURE,)


def test_a_task_is_held_for_a_valley() -> None:
    node = FakeNode(valley_seconds=SOON)
    task = submissions(node).submit(int, HELD.replace(phase_affinity="valley"))
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.DEFERRED_FOR_VALLEY,)


@pytest.mark.parametrize("pressure", [None, 0.0, 0.5, float("nan")])
def test_nothing_is_held_unless_others_are_known_to_wait(pressure: float | None) -> None:
    task = submissions(FakeNode(pressure)).submit(int, HELD)
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.RAN_AT_ONCE,)


@pytest.mark.parametrize(
    "hint",
    [
        HELD.replace(must_run_now=True),
        HELD.replace(importance="critical"),
        HELD.replace(task_class="interactive"),
        HELD.replace(max_deferral=0.0),
        BATCHED.replace(must_run_now=True),
        BATCHED.replace(max_batch_latency=0.0),
    ],
)
def test_what_may_not_wait_runs_at_once_on_a_busy_node(hint: TaskHint) -> None:
    task = submissions(FakeNode(pressure=1.0)).submit(int, hint)
    assert task.result(PATIENCE) == 0
    assert task.reasons == (Reason.RAN_AT_ONCE,)


@pytest.mark.parametrize("hint", [BATCHED, HELD])
def test_a_task_that_is_cancelled_while_it_waits_never_runs(hint: TaskHint) -> None:
    pool = HandWorked()
    submitted = submissions(FakeNode(pressure=1.0), pool)
    task = submitted.submit(raises(AssertionError()), hint)
    assert task.cancel()
    assert task.cancel(), "still"
    assert (task.done(), task.cancelled(), task.outcome) == (True, True, None)
    with pytest.raises(CancelledError):
        task.result()
    eventually(lambda: not timers())
    submitted.close()
    assert not pool.jobs


def test_a_cancelled_task_takes_no_place_in_its_batch() -> None:
    pool = HandWorked()
    submitted = submissions(pool=pool, max_size=2)
    submitted.submit(int, BATCHED).cancel()
    task = submitted.submit(int, BATCHED)
    assert not pool.jobs
    submitted.submit(int, BATCHED)
    pool.work()
    assert task.result() == 0


def test_a_task_can_be_cancelled_until_its_own_turn_in_a_batch_that_runs() -> None:
    submitted, fn = submissions(max_size=3), stuck()
    first, second, third = [submitted.submit(each, BATCHED) for each in (fn, int, str)]
    assert fn.has_begun.wait(PATIENCE)
    assert not first.cancel()
    assert second.cancel()
    fn.let_go.set()
    assert third.result(PATIENCE) == ""
    assert second.cancelled()
    assert not first.cancel(), "it has ended"


def test_flush_sends_what_waits() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    tasks = [submitted.submit(int, hint) for hint in (BATCHED, HELD)]
    submitted.flush()
    assert [task.result(PATIENCE) for task in tasks] == [0, 0]
    assert [task.reasons for task in tasks] == [
        (Reason.BATCH_FLUSHED,),
        (Reason.DEFERRED_FOR_PRESSURE,),
    ]
    submitted.flush()


def test_close_sends_what_waits_and_takes_nothing_more() -> None:
    submitted = submissions()
    task = submitted.submit(int, BATCHED)
    submitted.close()
    submitted.close()
    assert task.result(PATIENCE) == 0
    for hint in (TaskHint(), BATCHED, HELD):
        with pytest.raises(ClientClosedError, match="client is closed"):
            submitted.submit(int, hint)


def test_each_task_runs_in_the_context_of_who_submitted_it() -> None:
    who: ContextVar[str] = ContextVar("who")
    submitted, tasks = submissions(max_size=2), list[Task[str]]()
    for each in ("ann", "bob"):
        who.set(each)
        tasks.append(submitted.submit(who.get, BATCHED))
    assert [task.result(PATIENCE) for task in tasks] == ["ann", "bob"]


@pytest.mark.parametrize("hint", [BATCHED, HELD])
@pytest.mark.parametrize("seconds", [SOON, 0.0])
def test_nothing_waits_beyond_the_deadline_it_was_submitted_in(
    hint: TaskHint, seconds: float
) -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    with deadline(seconds):
        task = submitted.submit(int, hint)
    assert task.result(PATIENCE) == 0


def test_other_modes_run_everything_at_once_and_advise_says_what_should_be() -> None:
    submitted = submissions(FakeNode(pressure=1.0))
    observed = submitted.submit(int, HELD, mode="observe")
    advised = [submitted.submit(int, hint, mode="advise") for hint in (HELD, BATCHED)]
    assert [task.result(PATIENCE) for task in (observed, *advised)] == [0, 0, 0]
    assert observed.reasons == (Reason.OBSERVED,)
    assert advised[0].reasons == (Reason.ADVISED, Reason.DEFERRED_FOR_PRESSURE)
    assert advised[1].reasons == (Reason.ADVISED,)


@pytest.mark.parametrize("hint", [TaskHint(), BATCHED, HELD])
def test_ten_thousand_tasks_run_once_each_with_few_workers(hint: TaskHint) -> None:
    workers, ran = Workers(most=2), list[int]()
    submitted = submissions(pool=workers)
    tasks = [submitted.submit(lambda each=each: ran.append(each), hint) for each in range(10_000)]
    submitted.close()
    for task in tasks:
        task.result(PATIENCE)
    assert sorted(ran) == list(range(10_000))
    workers.close()


def test_without_a_worker_a_thread_of_ours_runs_it() -> None:
    fn = stuck()
    submitted = submissions(pool=NoWorkers())
    first, second = submitted.submit(fn), submitted.submit(threading.current_thread)
    fn.let_go.set()
    assert first.result(PATIENCE) == ["late"]
    assert second.result(PATIENCE).name == "resonance-tasks"


def test_without_any_thread_a_task_runs_where_it_was_submitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    submitted = submissions(FakeNode(pressure=1.0), NoWorkers())
    for hint in (TaskHint(), BATCHED, HELD):
        assert submitted.submit(threading.current_thread, hint).result(0.0) is (
            threading.current_thread()
        )


def test_a_clock_that_goes_back_loses_nothing() -> None:
    node = FakeNode()
    submitted = submissions(node)
    tasks = [submitted.submit(int, BATCHED)]
    node.now -= 50.0
    tasks.append(submitted.submit(int, BATCHED.replace(max_batch_latency=SOON)))
    assert [task.result(PATIENCE) for task in tasks] == [0, 0]


def test_a_forked_child_begins_empty_and_leaves_the_parents_tasks_alone() -> None:
    submitted = submissions()
    done, waiting = submitted.submit(lambda: "done"), submitted.submit(int, BATCHED)
    done.result(PATIENCE)
    child = os.fork()
    if not child:
        os._exit(_in_child(submitted, done, waiting))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    submitted.close()
    assert waiting.result(PATIENCE) == 0


def _in_child(submitted: Submissions, done: Task[str], waiting: Task[int]) -> int:
    """Return how many things were wrong; a child of a test may neither raise nor return."""
    wrong = 0 if done.result(0.0) == "done" else 1
    for ask in (waiting.result, waiting.exception, waiting.wait):
        try:
            ask(PATIENCE)
            wrong += 1
        except ClientClosedError as error:
            wrong += "forked" not in str(error)
    wrong += waiting.cancel()
    own = submitted.submit(lambda: "own", BATCHED)
    submitted.close()
    wrong += own.result(PATIENCE) != "own"
    wrong += waiting.done()
    return wrong
