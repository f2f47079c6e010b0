# SPDX-License-Identifier: MIT
"""How do many small pieces of work become few large ones, in a program with threads?

::

    with client.batcher(write_rows, BatchPolicy(max_size=100)) as write:
        task = write.submit(row)  # goes on
        write(row)  # waits until it is written
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any, Generic, Self, TypeVar

from resonance.client._line import Clock, Jobs, Line, Pool, restart_in_child
from resonance.client._task_base import TaskBase, within_deadline
from resonance.client._tasks import Task
from resonance.errors import ClientClosedError, PolicyError
from resonance.policies._batching import Departure, Gathering, NextValley, OwnPressure
from resonance.policies._records import BatchPolicy, TaskHint

__all__ = ["Batcher", "hand_out", "one_for_each"]

Item = TypeVar("Item")
R = TypeVar("R")


class Batcher(Generic[Item, R]):
    """Gathers items, and calls a function with many of them; a context manager.

    Batches run in workers, and may run at the same time. The function is called in the context
    in which the batcher was made: a batch has many callers.

    Parameters
    ----------
    fn : callable
        Takes a list of items, and returns one result for each, in the same order; a result
        that is an exception is raised to the one whose item it was.
    policy : BatchPolicy
        When a batch goes.
    workers : Pool
        Where the function runs.
    clock : callable
        Seconds, monotonic.
    own_pressure, next_valley : callable
        How busy the node is, and when it is least; see `resonance.policies`.
    """

    def __init__(
        self,
        fn: Callable[[list[Item]], Sequence[R | Exception]],
        policy: BatchPolicy,
        *,
        workers: Pool,
        clock: Clock,
        own_pressure: OwnPressure,
        next_valley: NextValley,
    ) -> None:
        self._fn = fn
        self._clock = clock
        self._context = copy_context()
        self._batch = Gathering[Task[R]](policy, own_pressure, next_valley)
        self._jobs = Jobs(workers)
        self._line = Line(self._batch, self._send, clock, "batcher")
        self.begin_in_child()
        restart_in_child(self)

    def begin_in_child(self) -> None:
        """Forget in a forked child what the parent's threads do."""
        self._unfinished: set[Task[R]] = set()
        self._threads: set[int] = set()

    def submit(self, item: Item, *, hint: TaskHint | None = None) -> Task[R]:
        """Put an item into the open batch.

        Parameters
        ----------
        item : object
        hint : TaskHint, optional
            Bounds how long it may wait, by ``max_batch_latency`` and by its soft deadline; by
            default only the policy does, and the deadline of the present context. What must
            run now goes alone.

        Returns
        -------
        Task
            Ends with the result of this item.

        Raises
        ------
        ClientClosedError
            The batcher is closed.
        """
        task = Task[R](item, hint, self._clock(), leave=self._leave)
        self._unfinished.add(task)
        try:
            self._line.add(task, within_deadline(hint))
        except ClientClosedError:
            task.cancel()  # whoever closes may wait for it already
            raise
        return task

    def __call__(self, item: Item, *, hint: TaskHint | None = None) -> R:
        """Put an item into the open batch, and wait for its result.

        Parameters
        ----------
        item, hint
            As for `submit`.

        Raises
        ------
        Exception
            What the function raised, or returned for this item.
        """
        task = self.submit(item, hint=hint)
        try:
            return task.result()
        finally:
            task.cancel()  # of use only where waiting was interrupted
            del task  # as in `_run`

    def flush(self) -> None:
        """Send the open batch; does not wait for it."""
        self._line.flush()

    def close(self, timeout: float | None = None) -> bool:
        """Send the open batch, take nothing more, and wait until all is done.

        Called by the function itself, it does not wait.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; what runs then goes on.

        Returns
        -------
        bool
            All is done.
        """
        self._line.close()
        if threading.get_ident() in self._threads:
            return False
        until = None if timeout is None else monotonic() + timeout
        return all(
            task.wait(None if until is None else until - monotonic())
            for task in self._unfinished.copy()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _leave(self, task: Task[R]) -> None:
        self._line.discard(task)
        self._unfinished.discard(task)

    def _send(self, departure: Departure[Task[R]]) -> None:
        for task in departure.members:
            task.reasons = (departure.reason,)
        self._jobs.put(partial(self._run, departure.members))

    def _run(self, members: tuple[Task[R], ...]) -> None:
        tasks: list[Task[R]] = []
        items: list[Item] = []
        for task in members:
            item = task.work
            if task.begin():  # else it was cancelled
                tasks.append(task)
                items.append(item)
            del task  # which a traceback would keep alive, and be kept alive by
        if tasks:
            self._run_some(tasks, items)
        self._unfinished.difference_update(members)
        del members, tasks  # as above

    def _run_some(self, tasks: list[Task[R]], items: list[Item]) -> None:
        thread, began_at = threading.get_ident(), self._clock()
        self._threads.add(thread)
        try:
            returned = self._context.copy().run(self._fn, items)
            results = one_for_each(self._fn, returned, len(tasks))
        except BaseException as error:  # noqa: BLE001 - the callers', KeyboardInterrupt too
            for task in tasks:
                task.fail(error, self._clock())
                del task  # as above
        else:
            hand_out(tasks, results, self._clock())
        self._threads.discard(thread)
        self._batch.ran(self._clock() - began_at)
        del tasks


def one_for_each(fn: Callable[..., Any], results: Sequence[R], count: int) -> list[R]:
    """Return the results of a batch as a list, if there is one for each item.

    Parameters
    ----------
    fn : callable
        What returned them.
    results : sequence
    count : int
        How many items there were.

    Returns
    -------
    list

    Raises
    ------
    PolicyError
        They are not a sequence, or more or fewer.
    """
    name = getattr(fn, "__qualname__", None) or repr(fn)
    wanted = "must return one result for each item, in the same order"
    if isinstance(results, Mapping | AbstractSet) or not hasattr(results, "__len__"):
        raise PolicyError(name, f"{wanted}: a sequence, not {type(results).__name__}")
    if len(results) != count:
        raise PolicyError(name, f"{wanted}: {count}, not {len(results)}")
    return list(results)


def hand_out(tasks: Sequence[TaskBase[R]], results: Sequence[R | Exception], now: float) -> None:
    """End the tasks of a batch, each with its own result.

    Parameters
    ----------
    tasks, results : sequence
        Of one length.
    now : float
        On the client's clock.
    """
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Exception):
            task.fail(result, now)
        else:
            task.succeed(result, now)
