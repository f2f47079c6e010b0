# SPDX-License-Identifier: MIT
"""What is a task in a program with threads, once it was submitted: has it ended, and how?

What runs it is in `resonance.client._submissions` and `resonance.client._batcher`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextvars import Context
from typing import Any, TypeVar

from resonance.client._task_base import FORKED, TaskBase
from resonance.errors import ClientClosedError
from resonance.policies._records import TaskHint

__all__ = ["Task"]

T = TypeVar("T")

_WAITS, _RUNS, _ENDED, _CANCELLED = range(4)


class Task(TaskBase[T]):
    """A task that was submitted in a program with threads.

    Parameters
    ----------
    work, hint, submitted_at, context
        See `TaskBase`.
    leave : callable, optional
        Told when it is cancelled, so that nothing waits for it any more.
    """

    __slots__ = ("_error", "_guard", "_leave", "_state", "_waiters")

    def __init__(
        self,
        work: Any,
        hint: TaskHint | None,
        submitted_at: float,
        context: Context | None = None,
        leave: Callable[[Task[T]], object] | None = None,
    ) -> None:
        super().__init__(work, hint, submitted_at, context)
        self._leave = leave
        self._error: BaseException | None = None
        self._guard = threading.Lock()
        self._state = _WAITS
        self._waiters: list[threading.Lock] | None = None

    def done(self) -> bool:
        """Return whether it has ended: with a result, with an exception, or cancelled."""
        return self._state >= _ENDED

    def cancelled(self) -> bool:
        """Return whether it was cancelled before it began."""
        return self._state == _CANCELLED

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it came.

        Parameters
        ----------
        timeout : float, optional
            Seconds; 0 or less does not wait, ``None`` waits as long as it takes.

        Raises
        ------
        ClientClosedError
            It belongs to the process this one was forked from.
        """
        if self.done():
            return True
        if self._is_foreign():
            raise ClientClosedError(FORKED)
        waiter = threading.Lock()
        waiter.acquire()
        with self._guard:
            if self.done():
                return True
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
        try:
            longest = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
            waiter.acquire(timeout=longest)
        finally:
            self._forget(waiter)
        return self.done()

    def result(self, timeout: float | None = None) -> T:
        """Return the result, or raise the exception, when it has ended.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; the task is not ended by it.

        Returns
        -------
        object
            What the function returned for it.

        Raises
        ------
        TimeoutError
            It has not ended in this time.
        concurrent.futures.CancelledError
            It was cancelled.
        ClientClosedError
            It belongs to the process this one was forked from.
        """
        error = self.exception(timeout)
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del self, error  # else the traceback keeps itself alive

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what it raised, or ``None``, when it has ended.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; the task is not ended by it.

        Returns
        -------
        BaseException or None

        Raises
        ------
        TimeoutError, concurrent.futures.CancelledError, ClientClosedError
            As `result`.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self!r} after {timeout:g} s; it goes on")
        if self.cancelled():
            raise CancelledError
        return self._error

    def cancel(self) -> bool:
        """End it, unless it has begun; return whether it will not run.

        From then on it takes no place in a batch, and holds nobody up.
        """
        if self.done() or self._is_foreign():
            return self.cancelled()
        with self._guard:
            if self._state != _WAITS:
                return self.cancelled()
            leave = self._leave
            self._end(_CANCELLED)
        if leave is not None:
            leave(self)
        return True

    def begin(self) -> bool:
        """Return whether it is to run, which it then does; for who runs it."""
        with self._guard:
            if self._state != _WAITS:
                return False
            self._state = _RUNS
            return True

    def succeed(self, result: T, now: float) -> None:
        """End it with a result; for who runs it.

        Parameters
        ----------
        result : object
        now : float
            On the client's clock.
        """
        with self._guard:
            if not self.done():
                self._keep(result, now)
                self._end(_ENDED)

    def fail(self, error: BaseException, now: float) -> None:
        """End it with an exception; for who runs it.

        Parameters
        ----------
        error : BaseException
        now : float
            On the client's clock.
        """
        with self._guard:
            if not self.done():
                self._error = error
                self._elapsed_seconds = now - self.submitted_at
                self._end(_ENDED)

    def _forget(self, waiter: threading.Lock) -> None:
        with self._guard:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _end(self, state: int) -> None:
        self._state = state
        self._drop()
        self._leave = None
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.release()
