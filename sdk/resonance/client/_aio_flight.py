# SPDX-License-Identifier: MIT
"""A call under way in asyncio, once it needs more than its first attempt.

First attempts and retries are awaited in the caller's own task; only copies get tasks of their
own. When a copy has answered, the caller's task is cancelled out of the function it waits in,
and the cancellation is taken back there, as `asyncio.timeout` does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Generic, TypeVar

import msgspec

from resonance.client._flight_base import NOTHING, FlightBase, cancel_all
from resonance.client._run import run_coroutine
from resonance.client._wheel import LoopWheel, Slot
from resonance.policies import Attempt, Call, Classify, Outcome

__all__ = ["AsyncFlight", "AsyncPlan", "closing_of", "current_task"]

T = TypeVar("T")


class AsyncPlan(msgspec.Struct, Generic[T]):
    """What a call needs beyond its first attempt, kept until it is known whether it does.

    Attributes
    ----------
    verb : str
        By which it was begun.
    fn : callable
        Returns an awaitable; gets the target where the call has one to choose.
    classify : callable or None
    context : contextvars.Context
        The caller's, in which copies run as well.
    task : asyncio.Task
        The caller's.
    was_cancelling : int
        How often that was asked to end before.
    """

    verb: str
    fn: Callable[..., Awaitable[T]]
    classify: Classify | None
    context: Context
    task: asyncio.Task[Any]
    was_cancelling: int


def current_task() -> asyncio.Task[Any]:
    """Return the task this runs in; a coroutine of ours always runs in one."""
    task = asyncio.current_task()
    assert task is not None
    return task


def closing_of(error: BaseException | None) -> GeneratorExit | None:
    """Return what says that the coroutine is being closed, after which it must not wait again.

    It is closed when its loop has ended without it, outside of its task; so leaving what was
    entered there may have failed in turn, and that is what is seen.

    Parameters
    ----------
    error : BaseException, optional

    Returns
    -------
    GeneratorExit or None
        ``None``: it is not being closed.
    """
    while error is not None and not isinstance(error, GeneratorExit):
        error = error.__context__
    return error


class AsyncFlight(FlightBase[T]):
    """What the task that waits for a call, its copies and the timer share.

    Parameters
    ----------
    call : Call
        Its first attempt is what the caller's task is in.
    plan : AsyncPlan
    wheel : LoopWheel
    tasks : set of asyncio.Task
        Where copies are kept while they run.
    """

    __slots__ = (
        "_copies",
        "_inside",
        "_interrupts",
        "_task",
        "_tasks",
        "_was_cancelling",
        "_wheel",
        "_woken",
    )

    def __init__(
        self,
        call: Call,
        plan: AsyncPlan[T],
        wheel: LoopWheel,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        super().__init__(call, plan.fn, plan.classify, plan.context)
        self._task = plan.task
        self._was_cancelling = plan.was_cancelling
        self._wheel = wheel
        self._tasks = tasks
        self._copies: dict[Attempt, asyncio.Task[None]] = {}
        self._inside: Attempt | None = call
        """The attempt that the caller's task is in."""
        self._interrupts = 0
        self._woken: asyncio.Future[None] | None = None

    # ---- the caller's task ---------------------------------------------------------------------

    async def land(self, result: Any, error: BaseException | None, slot: Slot | None) -> Outcome[T]:
        """Go on after the first attempt, in its own task, until the call has its result.

        Parameters
        ----------
        result : object
            What the function returned.
        error : BaseException or None
            What it raised instead.
        slot : dict or None
            Where the timer keeps the call, unless it has taken it.

        Returns
        -------
        Outcome
        """
        call = self._call
        self._slot = self._slot or slot
        try:
            self._leave(call, result, error)
            while not call.is_settled:
                if self._retry_at < inf:
                    await self._repeat()
                else:
                    await self._news()
            return self._ending(monotonic())
        except BaseException:
            self._cancel(self._service.abandon(call, monotonic()))
            raise
        finally:
            self._forget()

    async def _repeat(self) -> None:
        """Run a retry in the caller's task, after its delay."""
        await asyncio.sleep(max(0.0, self._retry_at - monotonic()))
        self._retry_at = inf
        call = self._call
        if call.is_settled:  # its time is over
            return
        now = monotonic()
        self._inside = attempt = self._service.again(call, now)
        self._watch(now)
        try:
            result = await run_coroutine(attempt, self._fn)
        except BaseException as error:  # noqa: BLE001 -- it is the caller's, and handed to him
            self._leave(attempt, NOTHING, error)
        else:
            self._leave(attempt, result, None)

    def _watch(self, now: float) -> None:
        """Have the timer come when something is due."""
        at = min(self._call.due_at, self._call.deadline)
        if at < inf:
            self._forget()
            self._slot = self._wheel.put(at, self._call, now)

    async def _news(self) -> None:
        """Wait until a copy has ended, or the time of the call is over."""
        self._woken = self._wheel.loop.create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    def _leave(self, attempt: Attempt, result: Any, error: BaseException | None) -> None:
        """Tell the end of an attempt in the caller's task, whose own end it may be, too."""
        self._inside = None
        error = closing_of(error) or error
        self.ended(attempt, result, error)
        is_asked_by_others = self._take_back() > self._was_cancelling
        if isinstance(error, asyncio.CancelledError):
            if is_asked_by_others or not attempt.is_cancelled:
                raise error  # somebody else cancelled the caller, or the function itself
        elif isinstance(error, GeneratorExit):
            raise error
        elif error is not None and not isinstance(error, Exception) and self._call.is_settled:
            raise error  # Ctrl-C is obeyed, though a copy may have answered already

    def _take_back(self) -> int:
        """Take our own cancellations back; return how many others there are."""
        left = self._task.cancelling()
        while self._interrupts:
            self._interrupts -= 1
            left = self._task.uncancel()
        return left

    # ---- anywhere in the loop ------------------------------------------------------------------

    def on_time(self, now: float) -> None:
        """Do what is due: a copy, or the end of the call's time.

        Parameters
        ----------
        now : float
            On the monotonic clock in seconds.
        """
        call = self._call
        if call.is_settled:
            return
        if now >= call.deadline:
            self._is_late = True
            self._cancel(self._service.abandon(call, now, is_late=True))
            self._wake()
            return
        try:
            copy = self._service.due(call, now) if now >= call.due_at else None
        finally:  # its deadline is kept, whatever a target's own comparison raises
            self._watch(now)
        if copy is not None:
            self._launch(copy)

    def _launch(self, copy: Attempt) -> None:
        task = self._wheel.loop.create_task(self._run_copy(copy), context=self._context.copy())
        self._copies[copy] = task
        self._tasks.add(task)
        task.add_done_callback(partial(self._is_done, copy))

    async def _run_copy(self, copy: Attempt) -> None:
        try:
            result = await run_coroutine(copy, self._fn)
        except asyncio.CancelledError as error:
            self.ended(copy, error=error)
            if not copy.is_cancelled:
                raise  # the loop ends
        except BaseException as error:  # noqa: BLE001 -- it is the caller's, and handed to him
            self.ended(copy, error=closing_of(error) or error)
        else:
            self.ended(copy, result)

    def _is_done(self, copy: Attempt, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if copy.is_open:  # it was cancelled before it had begun
            self.ended(copy, error=asyncio.CancelledError())

    def ended(
        self, attempt: Attempt, result: Any = NOTHING, error: BaseException | None = None
    ) -> None:
        """Tell the service of an attempt's own end, and wake the caller.

        Parameters
        ----------
        attempt : Attempt
        result : object
            What the function returned.
        error : BaseException, optional
            What it raised instead.
        """
        failure, result, error = self._judged(result, error)
        self._cancel(self._take(attempt, monotonic(), failure, result, error))
        self._wake()

    def _cancel(self, losers: list[Attempt]) -> None:
        cancel_all(losers)
        if self._wheel.loop.is_closed():
            return  # no task of it runs any more
        for attempt in losers:
            if attempt is self._inside:
                self._interrupts += 1
                self._task.cancel()
            elif attempt in self._copies:
                self._copies[attempt].cancel()

    def _wake(self) -> None:
        if self._woken is not None and not (self._woken.done() or self._wheel.loop.is_closed()):
            self._woken.set_result(None)
