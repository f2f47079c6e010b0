# SPDX-License-Identifier: MIT
from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest

from fakes.submitting import FakeNode, FreshThreads, HandWorked, stuck
from resonance.client._batcher import Batcher
from resonance.client._line import Pool
from resonance.client._tasks import Task
from resonance.client._workers import Workers
from resonance.deadlines import deadline
from resonance.errors import ClientClosedError, PolicyError
from resonance.policies._reasons import Reason
from resonance.policies._records import BatchPolicy, TaskHint

PATIENCE = 60.0
SOON = 0.001
"""What a timer waits for here, since the clocks of these tests stand still."""
NEVER = 3600.0


def batcher(
    fn: Callable[[list[Any]], Sequence[Any]] = list,
    node: FakeNode | None = None,
    pool: Pool | None = None,
    **policy: Any,
) -> Batcher[Any, Any]:
    return Batcher(
        fn,
        BatchPolicy(**({"max_latency": NEVER} | policy)),
        workers=pool or FreshThreads(),
        **(node or FakeNode()).sources,
    )


def raises(error: BaseException) -> Callable[..., NoReturn]:
    def fn(_: object) -> NoReturn:
        raise error

    return fn


def timers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "resonance-batcher"]


def eventually(is_true: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < until
        time.sleep(SOON)


@pytest.fixture(autouse=True)
def _no_timer_is_left() -> Any:
    yield
    eventually(lambda: not timers())


def test_items_are_gathered_into_one_call_and_each_gets_its_own_result() -> None:
    calls: list[list[int]] = []

    def double(items: list[int]) -> list[int]:
        calls.append(items)
        return [2 * item for item in items]

    with batcher(double, max_size=3) as doubled:
        tasks = [doubled.submit(item) for item in range(3)]
        assert [task.result(PATIENCE) for task in tasks] == [0, 2, 4]
    assert calls == [[0, 1, 2]]
    assert {task.reasons for task in tasks} == {(Reason.BATCH_FULL,)}


def test_calling_it_waits_for_the_result() -> None:
    with batcher(max_latency=SOON) as same:
        assert same("a") == "a"


def test_a_call_that_is_interrupted_takes_its_item_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(Task, "result", raises(KeyboardInterrupt()))
    with batcher(seen.append) as gathered, pytest.raises(KeyboardInterrupt):
        gathered("a")
    assert not seen


def test_leaving_the_context_sends_the_open_batch_and_waits_for_it() -> None:
    written: list[int] = []

    def write(items: list[int]) -> list[None]:
        written.extend(items)
        return [None] * len(items)

    with pytest.raises(KeyError), batcher(write) as writer:
        raise KeyError(writer.submit(1))
    assert written == [1]


def test_a_closed_batcher_takes_nothing_more() -> None:
    closed = batcher()
    assert closed.close()
    assert closed.close()
    with pytest.raises(ClientClosedError, match="batcher is closed"):
        closed.submit(1)
    assert closed.close(), "what was refused is not waited for"


def test_whoever_closes_does_not_wait_for_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered, is_closed = batcher(), list[bool]()
    closing = threading.Thread(target=lambda: is_closed.append(gathered.close()))

    def add_late(*_: object) -> NoReturn:
        closing.start()
        time.sleep(SOON)  # so that it may wait for the task by now; it need not
        raise ClientClosedError("the batcher is closed")

    monkeypatch.setattr(gathered._line, "add", add_late)
    with pytest.raises(ClientClosedError):
        gathered.submit(1)
    closing.join(PATIENCE)
    assert is_closed == [True]


def test_flush_sends_the_open_batch() -> None:
    gathered = batcher()
    gathered.flush()
    task = gathered.submit(1)
    gathered.flush()
    assert task.result(PATIENCE) == 1
    assert task.reasons == (Reason.BATCH_FLUSHED,)
    gathered.close()


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([1], "2, not 1"),
        ([1, 2, 3], "2, not 3"),
        ([], "2, not 0"),
        (None, "a sequence, not NoneType"),
        ({"a": 1, "b": 2}, "a sequence, not dict"),
        ({1, 2}, "a sequence, not set"),
        (iter([1, 2]), "a sequence, not list_iterator"),
    ],
)
def test_a_function_that_does_not_return_one_result_for_each_item_is_told_so(
    results: Any, said: str
) -> None:
    def write(_: list[int]) -> Any:
        return results

    with batcher(write, max_size=2) as gathered:
        tasks = [gathered.submit(item) for item in "ab"]
        for task in tasks:
            with pytest.raises(PolicyError, match=f"write: must return one result .*: {said}"):
                task.result(PATIENCE)


def test_a_result_that_is_an_exception_is_raised_to_its_own_member_only() -> None:
    with batcher(lambda _: [1, KeyError("b"), 3], max_size=3) as gathered:
        tasks = [gathered.submit(item) for item in "abc"]
        assert (tasks[0].result(PATIENCE), tasks[2].result(PATIENCE)) == (1, 3)
        with pytest.raises(KeyError, match="b"):
            tasks[1].result(PATIENCE)


@pytest.mark.parametrize("error", [KeyError("a"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_function_raises_is_raised_to_all_and_the_next_batch_runs(
    error: BaseException,
) -> None:
    def fn(items: list[int]) -> list[int]:
        if items == [0, 1]:
            raise error
        return items

    with batcher(fn, max_size=2) as gathered:
        tasks = [gathered.submit(item) for item in range(4)]
        for task in tasks[:2]:
            with pytest.raises(type(error)):
                task.result(PATIENCE)
        assert [task.result(PATIENCE) for task in tasks[2:]] == [2, 3]


def test_tasks_that_failed_are_freed_without_the_garbage_collector() -> None:
    gathered = batcher(raises(KeyError("a")), max_size=1)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(KeyError):
            gathered("a")
        task = gathered.submit("b")
        with pytest.raises(KeyError):
            task.result(PATIENCE)
        freed = weakref.ref(task)
        del task
        eventually(lambda: freed() is None)
    finally:
        gc.enable()
    gathered.close()


def test_waiting_for_a_function_that_never_returns_ends_after_the_timeout() -> None:
    fn = stuck()
    gathered = batcher(fn, max_size=1)
    task = gathered.submit(1)
    with pytest.raises(TimeoutError):
        task.result(0.01)
    assert not gathered.close(0.01)
    assert not gathered.close(-1.0)
    fn.let_go.set()
    assert gathered.close(PATIENCE)
    assert task.result() == "late"


def test_a_batcher_may_be_closed_by_its_own_function() -> None:
    def fn(items: list[int]) -> list[bool]:
        return [gathered.close() for _ in items]

    gathered = batcher(fn, max_size=1)
    assert gathered.submit(1).result(PATIENCE) is False
    assert gathered.close()


def test_cancelled_items_are_not_in_the_call_before_it_begins() -> None:
    pool, calls = HandWorked(), list[list[int]]()

    def fn(items: list[int]) -> list[int]:
        calls.append(items)
        return items

    gathered = batcher(fn, pool=pool, max_size=3)
    assert gathered.submit(0).cancel(), "while the batch is open"
    tasks = [gathered.submit(item) for item in (1, 2, 3)]
    assert tasks[1].cancel(), "when it has gone, and waits for a worker"
    pool.work()
    assert calls == [[1, 3]]
    assert not tasks[0].cancel(), "when it has run"
    with pytest.raises(CancelledError):
        tasks[1].result()
    assert gathered.close()


def test_a_batch_of_which_all_are_cancelled_calls_nobody() -> None:
    pool = HandWorked()
    gathered = batcher(raises(AssertionError()), pool=pool, max_size=2)
    tasks = [gathered.submit(item) for item in range(2)]
    assert [task.cancel() for task in tasks] == [True, True]
    pool.work()
    assert gathered.close()


def test_an_item_that_runs_cannot_be_cancelled() -> None:
    fn = stuck()
    with batcher(fn, max_size=1) as gathered:
        task = gathered.submit(1)
        assert fn.has_begun.wait(PATIENCE)
        assert not task.cancel()
        fn.let_go.set()
        assert task.result(PATIENCE) == "late"


def test_without_a_hint_only_the_policy_bounds_the_wait() -> None:
    node = FakeNode()
    with batcher(node=node) as gathered:
        gathered.submit(1)
        assert gathered._batch.due_at == node.now + NEVER


@pytest.mark.parametrize(
    "hint", [TaskHint(max_batch_latency=SOON), TaskHint(soft_deadline=SOON), TaskHint()]
)
def test_a_hint_makes_the_wait_shorter(hint: TaskHint) -> None:
    with batcher() as gathered:
        task = gathered.submit(1, hint=hint)
        assert task.result(PATIENCE) == 1
        assert task.reasons == (Reason.BATCH_LATENCY,)


@pytest.mark.parametrize("seconds", [SOON, 0.0])
@pytest.mark.parametrize("hint", [None, TaskHint(soft_deadline=NEVER, max_batch_latency=NEVER)])
def test_nothing_waits_beyond_the_deadline_it_was_submitted_in(
    seconds: float, hint: TaskHint | None
) -> None:
    gathered = batcher()
    with deadline(seconds):
        task = gathered.submit(1, hint=hint)
    assert task.result(PATIENCE) == 1
    gathered.close()


def test_what_must_run_now_goes_alone() -> None:
    with batcher() as gathered:
        waiting = gathered.submit(1)
        assert gathered(2, hint=TaskHint(must_run_now=True)) == 2
        assert not waiting.done()


def test_without_any_latency_each_item_goes_at_once() -> None:
    with batcher(max_latency=0.0) as gathered:
        task = gathered.submit(1)
        assert task.result(PATIENCE) == 1
        assert task.reasons == (Reason.RAN_AT_ONCE,)


def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(PolicyError, match="max_latency"):
        batcher(max_latency=-1.0)


def test_the_function_runs_in_the_context_in_which_the_batcher_was_made() -> None:
    who: ContextVar[str] = ContextVar("who")
    who.set("maker")
    with batcher(lambda items: [who.get() for _ in items], max_size=2) as gathered:
        tasks = []
        for caller in ("ann", "bob"):
            who.set(caller)
            tasks.append(gathered.submit(caller))
        assert [task.result(PATIENCE) for task in tasks] == ["maker", "maker"]


def test_a_batcher_nobody_holds_any_more_still_sends_its_open_batch() -> None:
    gathered = batcher(max_latency=SOON)
    task = gathered.submit(1)
    del gathered
    gc.collect()
    assert task.result(PATIENCE) == 1


def test_a_timer_outlives_a_batch_that_was_full_by_a_moment_at_most() -> None:
    with batcher(max_size=2) as gathered:
        gathered.submit(1)
        eventually(timers)
        gathered.submit(2)
        eventually(lambda: not timers())


def test_ten_thousand_items_of_many_threads_get_their_results_whoever_closes_when() -> None:
    workers = Workers(most=4)
    gathered = batcher(pool=workers, max_size=64, max_latency=SOON)
    kept: list[Task[int]] = []
    refused: list[int] = []

    def submit(first: int) -> None:
        for item in range(first, first + 1_250):
            try:
                kept.append(gathered.submit(item))
            except ClientClosedError:
                refused.append(item)

    threads = [threading.Thread(target=submit, args=(1_250 * each,)) for each in range(8)]
    for each in threads:
        each.start()
    eventually(lambda: len(kept) > 2_000)
    assert gathered.close(PATIENCE)
    for each in threads:
        each.join(PATIENCE)
    assert gathered.close(PATIENCE)
    results = [task.result(0.0) for task in kept]
    assert sorted(results + refused) == list(range(10_000))
    workers.close()


def test_a_forked_child_begins_with_an_empty_batch() -> None:
    gathered, fn = batcher(max_size=2), stuck()
    busy = batcher(fn, max_size=1)
    waiting, running = gathered.submit("parent's"), busy.submit(1)
    assert fn.has_begun.wait(PATIENCE)
    child = os.fork()
    if not child:
        os._exit(_in_child(gathered, busy, (waiting, running)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    fn.let_go.set()
    assert (gathered.close(), busy.close()) == (True, True)
    assert (waiting.result(), running.result()) == ("parent's", "late")


def _in_child(
    gathered: Batcher[Any, Any], busy: Batcher[Any, Any], parents: tuple[Task[Any], ...]
) -> int:
    """Return how many things were wrong; a child of a test may neither raise nor return."""
    wrong = 0
    for task in parents:
        try:
            task.result(PATIENCE)
            wrong += 1
        except ClientClosedError:
            pass
    own = [gathered.submit(each) for each in ("a", "b")]
    wrong += [task.result(PATIENCE) for task in own] != ["a", "b"]
    wrong += not gathered.close(PATIENCE)
    wrong += not busy.close(PATIENCE)
    return wrong
