# SPDX-License-Identifier: MIT
"""When does what was submitted run, in an event loop?

At once, in an asyncio task of its own, unless its hint allows something better: with others of
its class, one after another in one asyncio task, or a little later, when the node is less busy.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol, TypeVar

from resonance.client._aio_line import AsyncLine, Runs
from resonance.client._aio_tasks import AsyncTask
from resonance.client._line import Clock
from resonance.client._submissions import TASK_CLASSES, advice
from resonance.client._task_base import within_deadline
from resonance.errors import ClientClosedError
from resonance.policies._batching import (
    Departure,
    Gathering,
    NextValley,
    OwnPressure,
    may_gather,
)
from resonance.policies._holding import Holding, may_hold
from resonance.policies._reasons import Reason
from resonance.policies._records import NO_HINT, BatchPolicy, Mode, TaskHint

__all__ = ["AsyncRun", "AsyncSubmissions", "acall"]

T = TypeVar("T")

_Ran = Callable[[float], object]


class AsyncRun(Protocol):
    """How a client calls the function of a task."""

    async def __call__(self, fn: Callable[[], Awaitable[T]], /) -> T:
        """Return what the function returns."""
        ...


async def acall(fn: Callable[[], Awaitable[T]]) -> T:
    """Call a function, and nothing else."""
    return await fn()


class AsyncSubmissions:
    """What was submitted to one client.

    Parameters
    ----------
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
        *,
        clock: Clock,
        own_pressure: OwnPressure,
        next_valley: NextValley,
        policy: BatchPolicy,
        run: AsyncRun = acall,
    ) -> None:
        self._clock = clock
        self._own_pressure = own_pressure
        self._next_valley = next_valley
        self._run = run
        self._runs = Runs()
        self._is_closed = False
        self._held = self._line(Holding[AsyncTask[Any]](own_pressure, next_valley), None)
        self._batches = {each: self._batch(policy) for each in TASK_CLASSES}

    def _batch(self, policy: BatchPolicy) -> AsyncLine[AsyncTask[Any]]:
        batch = Gathering[AsyncTask[Any]](policy, self._own_pressure, self._next_valley)
        return self._line(batch, batch.ran)

    def _line(
        self, queue: Holding[AsyncTask[Any]] | Gathering[AsyncTask[Any]], ran: _Ran | None
    ) -> AsyncLine[AsyncTask[Any]]:
        return AsyncLine(queue, partial(self._send, ran=ran), self._clock, "client")

    def submit(
        self, fn: Callable[[], Awaitable[T]], hint: TaskHint = NO_HINT, *, mode: Mode = "active"
    ) -> AsyncTask[T]:
        """Run a function in this event loop: at once, or when it is better.

        Parameters
        ----------
        fn : callable
            Of no arguments, returns an awaitable; called in a copy of the present context.
        hint : TaskHint
            What may be done with it; the deadline of the present context bounds that.
        mode : {"observe", "advise", "active"}
            All but ``active`` run it at once; with ``advise`` its reasons say why it would
            have been held.

        Returns
        -------
        AsyncTask

        Raises
        ------
        ClientClosedError
            The client is closed.
        RuntimeError
            No event loop runs here, or others wait in another that still does.
        """
        if self._is_closed:
            raise ClientClosedError("the client is closed")
        line = self._waiting_place(hint) if mode == "active" else None
        if line is not None:
            task = AsyncTask[T](fn, hint, self._clock(), copy_context(), line.discard)
            line.add(task, within_deadline(hint))
            return task
        task = AsyncTask[T](fn, hint, self._clock())
        if mode == "active":
            task.reasons = _AT_ONCE
        else:
            task.reasons = advice(mode, hint, self._own_pressure, self._next_valley)
        self._runs.start(self._run_all((task,), None), (task,))
        return task

    def flush(self) -> None:
        """Send everything that waits; does not wait for it."""
        self._held.flush()
        for each in self._batches.values():
            each.flush()

    async def close(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - ends no task
        """Send everything that waits, take nothing more, and wait until all is done.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; what runs then goes on.

        Returns
        -------
        bool
            All is done.
        """
        self._is_closed = True
        self._held.close()
        for each in self._batches.values():
            each.close()
        return await self._runs.wait(timeout)

    def _waiting_place(self, hint: TaskHint) -> AsyncLine[AsyncTask[Any]] | None:
        if may_gather(hint):
            return self._batches[hint.task_class]
        return self._held if may_hold(hint) else None

    def _send(self, departure: Departure[AsyncTask[Any]], ran: _Ran | None = None) -> None:
        for task in departure.members:
            task.reasons = (departure.reason,)
        # Each member brings its own context: that of the first is not the others'.
        self._runs.start(self._run_all(departure.members, ran), departure.members, Context())

    async def _run_all(self, tasks: Sequence[AsyncTask[Any]], ran: _Ran | None) -> None:
        runner = asyncio.current_task()
        began_at = self._clock()
        for place, task in enumerate(tasks):
            if not task.begin(runner):
                continue
            try:
                await self._run_one(task)
            except (KeyboardInterrupt, SystemExit):  # which end the loop, as asyncio has it
                self._runs.hand_on()
                self._go_on(tasks[place + 1 :])
                raise
            if task.finish():
                await _absorb(runner)
            if runner is not None and runner.cancelling():
                raise asyncio.CancelledError
            del task  # which a traceback would keep alive, and be kept alive by
        del tasks
        if ran is not None:
            ran(self._clock() - began_at)

    def _go_on(self, rest: Sequence[AsyncTask[Any]]) -> None:
        if rest:
            self._runs.start(self._run_all(rest, None), rest, Context())

    async def _run_one(self, task: AsyncTask[Any]) -> None:
        run: Awaitable[Any] = self._run(task.work)
        if task.context is not None:
            run = _InContext(task.context, run)
        try:
            result = await run
        except asyncio.CancelledError:
            task.abandon()
        except GeneratorExit:  # the loop is gone
            task.abandon()
            raise
        except BaseException as error:
            task.fail(error, self._clock())
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            task.succeed(result, self._clock())
        finally:
            del task  # as above


_AT_ONCE = (Reason.RAN_AT_ONCE,)


async def _absorb(runner: asyncio.Task[None] | None) -> None:
    """Let a cancellation that was meant for one member reach nobody else."""
    if runner is None:
        return
    runner.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # where it strikes, if the member ended without awaiting again


class _InContext(Generator[Any, Any, Any]):
    """A coroutine, each step of which is made in a context of its own."""

    def __init__(self, context: Context, coroutine: Any) -> None:
        self._context = context
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        return self._context.run(self._coroutine.send, value)

    def throw(self, *raised: Any) -> Any:
        return self._context.run(self._coroutine.throw, *raised)

    def __await__(self) -> _InContext:
        return self
