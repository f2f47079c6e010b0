# SPDX-License-Identifier: MIT
"""A call under way in threads, once it needs more than its first attempt in its own thread.

Whoever hears of an attempt's end, the caller or a worker, tells the service so under the
client's lock and cancels those nobody waits for; a token in the mailbox wakes the caller where
that has something to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, TypeVar

import msgspec

from resonance.client._flight_base import NOTHING, FlightBase, cancel_all
from resonance.client._run import run_function
from resonance.client._wheel import Slot, ThreadWheel
from resonance.client._workers import Workers
from resonance.policies import Attempt, Call, Classify, Outcome, Reason

__all__ = ["Flight", "Plan"]

T = TypeVar("T")


class Plan(msgspec.Struct, Generic[T]):
    """What a call needs beyond its first attempt, kept until it is known whether it does.

    Attributes
    ----------
    verb : str
        By which it was begun.
    fn : callable
        Gets the target where the call has one to choose.
    classify : callable or None
    context : contextvars.Context
        The caller's, in which other attempts run as well.
    """

    verb: str
    fn: Callable[..., T]
    classify: Classify | None
    context: Context


class Flight(FlightBase[T]):
    """What a thread that waits for a call, the workers and the timer share.

    Parameters
    ----------
    call : Call
    plan : Plan
    lock : threading.Lock
        Of the client.
    workers : Workers
    wheel : ThreadWheel or None
        Where the caller's own thread runs attempts, and somebody else must look at the clock.
    """

    __slots__ = ("_lock", "_mailbox", "_wheel", "_workers")

    def __init__(
        self,
        call: Call,
        plan: Plan[T],
        lock: threading.Lock,
        workers: Workers,
        wheel: ThreadWheel | None,
    ) -> None:
        super().__init__(call, plan.fn, plan.classify, plan.context)
        self._lock = lock
        self._workers = workers
        self._wheel = wheel
        self._mailbox: SimpleQueue[None] = SimpleQueue()

    # ---- the caller ----------------------------------------------------------------------------

    def fly(self) -> Outcome[T]:
        """Run the first attempt in a worker, and wait until the call has its result."""
        return self._wait(partial(self.launch, self._call))

    def land(self, result: Any, error: BaseException | None, slot: Slot | None) -> Outcome[T]:
        """Go on after the first attempt, in its own thread, until the call has its result.

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
        self._slot = self._slot or slot
        return self._wait(partial(self._leave, self._call, result, error))

    def _wait(self, begin: Callable[[], object]) -> Outcome[T]:
        try:
            begin()
            now = monotonic()
            while not self._call.is_settled:
                now = self._turn(now)
            with self._lock:  # whoever settled it has also left here what it ended with
                return self._ending(monotonic())
        except BaseException:
            with self._lock:
                losers = self._service.abandon(self._call, monotonic())
            cancel_all(losers)
            raise
        finally:
            self._forget()

    def _turn(self, now: float) -> float:
        """Do what is due, or sleep until something is; return the time."""
        call = self._call
        if now >= self._retry_at:
            self._repeat(now)
        elif now >= call.deadline or (self._wheel is None and now >= call.due_at):
            self.on_time(now)
        else:
            due_at = call.due_at if self._wheel is None else inf
            until = min(call.deadline, self._retry_at, due_at)
            try:
                self._mailbox.get(timeout=None if until == inf else until - now)
            except Empty:
                return max(monotonic(), until)  # its time has come, even if the clock stands still
        return monotonic()

    def _repeat(self, now: float) -> None:
        """Begin a retry: here, or in a worker."""
        call = self._call
        with self._lock:
            attempt = self._service.again(call, now)
            self._retry_at = inf
        if self._wheel is None:
            self.launch(attempt)
            return
        self._watch(now)
        try:
            result = run_function(attempt, self._fn)
        except BaseException as error:  # noqa: BLE001 -- it is the caller's, and handed to him
            self._leave(attempt, NOTHING, error)
        else:
            self._leave(attempt, result, None)

    def _leave(self, attempt: Attempt, result: Any, error: BaseException | None) -> None:
        """Tell the end of an attempt in the caller's own thread, which may be meant for him."""
        self.ended(attempt, result, error)
        if error is not None and not isinstance(error, Exception) and self._call.is_settled:
            raise error  # Ctrl-C is obeyed, though a copy may have answered already

    def _watch(self, now: float) -> None:
        """Have the timer come when something is due, where the caller's thread is busy."""
        call = self._call
        at = min(call.due_at, call.deadline)
        if self._wheel is not None and at < inf:
            self._forget()
            self._slot = self._wheel.put(at, call, now)

    # ---- any thread ----------------------------------------------------------------------------

    def on_time(self, now: float) -> None:
        """Do what is due: a copy, or the end of the call's time.

        Parameters
        ----------
        now : float
            On the monotonic clock in seconds.
        """
        call = self._call
        copy: Attempt | None = None
        losers: list[Attempt] = []
        with self._lock:
            if call.is_settled:
                return
            if now >= call.deadline:
                self._is_late = True
                losers = self._service.abandon(call, now, is_late=True)
            else:
                try:
                    copy = self._service.due(call, now) if now >= call.due_at else None
                finally:  # its deadline is kept, whatever a target's own comparison raises
                    self._watch(now)
        if self._is_late:
            cancel_all(losers)
            self._mailbox.put(None)
        if copy is not None:
            self.launch(copy)

    def launch(self, attempt: Attempt) -> None:
        """Run an attempt in a worker; without one it ends at once, and is counted so.

        Parameters
        ----------
        attempt : Attempt
        """
        context = self._context.copy()
        if self._workers.submit(lambda: context.run(self.run, attempt)):
            return
        if attempt.is_hedge:
            with self._lock:
                self._call.note(Reason.NO_WORKER)
                self._service.counts.refuse(Reason.NO_WORKER)
                self._service.budget.pay_back()
            attempt.is_cancelled = True
        self.ended(attempt, error=self._workers.refusal(self._service.name))

    def run(self, attempt: Attempt) -> None:
        """Run an attempt in this thread, and tell what became of it.

        Parameters
        ----------
        attempt : Attempt
        """
        try:
            result = run_function(attempt, self._fn)
        except BaseException as error:  # noqa: BLE001 -- it is the caller's, and handed to him
            self.ended(attempt, error=error)
        else:
            self.ended(attempt, result)

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
        now = monotonic()
        failure, result, error = self._judged(result, error)
        with self._lock:
            losers = self._take(attempt, now, failure, result, error)
        self._mailbox.put(None)
        cancel_all(losers)
