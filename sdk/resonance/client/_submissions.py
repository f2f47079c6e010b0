# SPDX-License-Identifier: MIT
"""When and where does what was submitted run, in a program with threads?

At once in a worker, unless its hint allows something better: with others of its class, one
after another in one worker, or a little later, when the node is less busy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from resonance.client._line import Clock, Jobs, Line, Pool
from resonance.client._task_base import within_deadline
from resonance.client._tasks import Task
from resonance.errors import ClientClosedError
from resonance.policies._batching import (
    Departure,
    Gathering,
    NextValley,
    OwnPressure,
    may_gather,
)
from resonance.policies._holding import Holding, deferral, may_hold
from resonance.policies._reasons import Reason
from resonance.policies._records import NO_HINT, BatchPolicy, Mode, TaskHint

__all__ = ["TASK_CLASSES", "Run", "Submissions", "advice", "call"]

T = TypeVar("T")

TASK_CLASSES: Final = ("interactive", "batchable", "background")

_Ran = Callable[[float], object]
"""Told how many seconds a batch took."""


class Run(Protocol):
    """How a client calls the function of a task."""

    def __call__(self, fn: Callable[[], T], /) -> T:
        """Return what the function returns."""
        ...


def call(fn: Callable[[], T]) -> T:
    """Call a function, and nothing else."""
    return fn()


class Submissions:
    """What was submitted to one client.

    Parameters
    ----------
    workers : Pool
        Where tasks run.
    clock : callable
        Seconds, monotonic.
    own_pressure, next_valley : callable
        How busy the node is, and when it is least; see `resonance.policies`.
    policy : BatchPolicy
        Of the batches of tasks.
    run : callable
        Calls the function of a task, in the context of who submitted it.
    """

    def __init__(
        self,
        workers: Pool,
        *,
        clock: Clock,
        own_pressure: OwnPressure,
        next_valley: NextValley,
        policy: BatchPolicy,
        run: Run = call,
    ) -> None:
        self._jobs = Jobs(workers)
        self._clock = clock
        self._own_pressure = own_pressure
        self._next_valley = next_valley
        self._run = run
        self._is_closed = False
        self._held = self._line(Holding[Task[Any]](own_pressure, next_valley), None)
        self._batches = {each: self._batch(policy) for each in TASK_CLASSES}

    def _batch(self, policy: BatchPolicy) -> Line[Task[Any]]:
        batch = Gathering[Task[Any]](policy, self._own_pressure, self._next_valley)
        return self._line(batch, batch.ran)

    def _line(
        self, queue: Holding[Task[Any]] | Gathering[Task[Any]], ran: _Ran | None
    ) -> Line[Task[Any]]:
        return Line(queue, partial(self._send, ran=ran), self._clock, "client")

    def submit(
        self, fn: Callable[[], T], hint: TaskHint = NO_HINT, *, mode: Mode = "active"
    ) -> Task[T]:
        """Run a function in a worker: at once, or when it is better.

        Parameters
        ----------
        fn : callable
            Of no arguments; called in a copy of the present context.
        hint : TaskHint
            What may be done with it; the deadline of the present context bounds that.
        mode : {"observe", "advise", "active"}
            All but ``active`` run it at once; with ``advise`` its reasons say why it would
            have been held.

        Returns
        -------
        Task

        Raises
        ------
        ClientClosedError
            The client is closed.
        """
        if self._is_closed:
            raise ClientClosedError("the client is closed")
        line = self._waiting_place(hint) if mode == "active" else None
        leave = line.discard if line else None
        task = Task[T](fn, hint, self._clock(), copy_context(), leave)
        if line is not None:
            line.add(task, within_deadline(hint))
        elif mode == "active":
            self._send(Departure(Reason.RAN_AT_ONCE, (task,)))
        else:
            task.reasons = advice(mode, hint, self._own_pressure, self._next_valley)
            self._put((task,))
        return task

    def flush(self) -> None:
        """Send everything that waits; does not wait for it."""
        self._held.flush()
        for each in self._batches.values():
            each.flush()

    def close(self) -> None:
        """Send everything that waits, and take nothing more."""
        self._is_closed = True
        self._held.close()
        for each in self._batches.values():
            each.close()

    def _waiting_place(self, hint: TaskHint) -> Line[Task[Any]] | None:
        if may_gather(hint):
            return self._batches[hint.task_class]
        return self._held if may_hold(hint) else None

    def _send(self, departure: Departure[Task[Any]], ran: _Ran | None = None) -> None:
        for task in departure.members:
            task.reasons = (departure.reason,)
        self._put(departure.members, ran)

    def _put(self, tasks: Sequence[Task[Any]], ran: _Ran | None = None) -> None:
        self._jobs.put(partial(self._run_all, tasks, ran))

    def _run_all(self, tasks: Sequence[Task[Any]], ran: _Ran | None) -> None:
        began_at = self._clock()
        have_run = 0
        for task in tasks:
            have_run += self._run_one(task)
            del task  # which a traceback would keep alive, and be kept alive by
        del tasks
        if ran is not None and have_run:
            ran(self._clock() - began_at)

    def _run_one(self, task: Task[Any]) -> bool:
        context = task.context
        if context is None or not task.begin():  # cancelled
            return False
        try:
            result = context.run(self._run, task.work)
        except BaseException as error:  # noqa: BLE001 - it is the task's, KeyboardInterrupt too
            task.fail(error, self._clock())
        else:
            task.succeed(result, self._clock())
        del task  # as above
        return True


def advice(
    mode: Mode, hint: TaskHint, own_pressure: OwnPressure, next_valley: NextValley
) -> tuple[Reason, ...]:
    """Return the reasons of a task that a client runs at once because of its mode.

    Parameters
    ----------
    mode : {"observe", "advise"}
    hint : TaskHint
    own_pressure, next_valley : callable

    Returns
    -------
    tuple of Reason
        That of the mode; with ``advise`` also why it would have been held, if it would.
    """
    if mode == "observe":
        return (Reason.OBSERVED,)
    held = None if may_gather(hint) else deferral(hint, own_pressure, next_valley)
    return (Reason.ADVISED, held[0]) if held else (Reason.ADVISED,)
