# SPDX-License-Identifier: MIT
"""What is a task in an event loop, once it was submitted: has it ended, and how?

What runs it is in `resonance.client._aio_submissions` and `resonance.client._aio_batcher`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, TypeVar

from resonance.client._task_base import FORKED, TaskBase
from resonance.errors import ClientClosedError
from resonance.policies._records import TaskHint

__all__ = ["AsyncTask"]

T = TypeVar("T")


class AsyncTask(TaskBase[T]):
    """A task that was submitted in an event loop; awaiting it gives its result.

    As with asyncio's own, who is cancelled while awaiting it cancels it. `result` and
    `exception` wait without that.

    Parameters
    ----------
    work, hint, submitted_at, context
        See `TaskBase`.
    leave : callable, optional
        Told when it is cancelled, so that nothing waits for it any more.
    """

    __slots__ = ("_future", "_has_begun", "_is_stopping", "_leave", "_runner")

    def __init__(
        self,
        work: Any,
        hint: TaskHint | None,
        submitted_at: float,
        context: Context | None = None,
        leave: Callable[[AsyncTask[T]], object] | None = None,
    ) -> None:
        super().__init__(work, hint, submitted_at, context)
        self._leave = leave
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._has_begun = False
        self._is_stopping = False
        self._runner: asyncio.Task[None] | None = None

    def done(self) -> bool:
        """Return whether it has ended: with a result, with an exception, or cancelled."""
        return self._future.done()

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._future.cancelled()

    def __await__(self) -> Generator[Any, None, T]:
        try:
            if not self._future.done():
                self._require_owner()
                yield from self._future
            return self._future.result()
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            del self  # else the traceback keeps itself alive

    async def result(self, timeout: float | None = None) -> T:  # noqa: ASYNC109 - ends no task
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
        asyncio.CancelledError
            It was cancelled.
        ClientClosedError
            Its event loop has ended, or it belongs to the process this one was forked from.
        """
        await self._wait(timeout)
        try:
            return self._future.result()
        finally:
            del self  # as above

    async def exception(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - ends no task
    ) -> BaseException | None:
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
        TimeoutError, asyncio.CancelledError, ClientClosedError
            As `result`.
        """
        await self._wait(timeout)
        return self._future.exception()

    def cancel(self) -> bool:
        """Ask it to end; return whether that may help.

        A task that waits is over at once. A function that runs is cancelled where it awaits,
        but for a batch that runs: others are part of it.
        """
        if self._future.done():
            return self._future.cancelled()
        return not self._is_foreign() and self._stop()

    def begin(self, runner: asyncio.Task[None] | None = None) -> bool:
        """Return whether it is to run, which it then does; for who runs it.

        Parameters
        ----------
        runner : asyncio.Task, optional
            To be cancelled when this task is, as long as it runs.
        """
        if self._future.done() or self._has_begun:
            return False
        self._has_begun = True
        self._runner = runner
        return True

    def finish(self) -> bool:
        """Let go of the runner; return whether it was cancelled because of this task."""
        self._runner = None
        return self._is_stopping

    def succeed(self, result: T, now: float) -> None:
        """End it with a result; for who runs it.

        Parameters
        ----------
        result : object
        now : float
            On the client's clock.
        """
        if not self._future.done():
            self._keep(result, now)
            self._future.set_result(result)
        self._drop()

    def fail(self, error: BaseException, now: float) -> None:
        """End it with an exception; for who runs it.

        Parameters
        ----------
        error : BaseException
        now : float
            On the client's clock.
        """
        if isinstance(error, StopIteration):  # which would end who awaits it, without a word
            error = RuntimeError(f"the task raised {error!r}")
        if not self._future.done():
            self._elapsed_seconds = now - self.submitted_at
            self._future.set_exception(error)
        self._drop()

    def abandon(self) -> None:
        """End it as cancelled, unless it has ended; for who runs it."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody can be told
            self._future.cancel()
        self._drop()

    def _stop(self) -> bool:
        if not self._has_begun:
            leave, self._leave = self._leave, None
            self.abandon()
            if leave is not None:
                leave(self)
            return True
        if self._runner is None:
            return False
        if not self._is_stopping:
            self._is_stopping = True
            self._runner.cancel()
        return True

    async def _wait(self, timeout: float | None) -> None:  # noqa: ASYNC109 - ends no task
        if self._future.done():
            return
        self._require_owner()
        await asyncio.wait([self._future], timeout=timeout)
        if not self._future.done():
            raise TimeoutError(f"{self!r} after {timeout:g} s; it goes on")

    def _require_owner(self) -> None:
        if self._is_foreign():
            raise ClientClosedError(FORKED)
        if self._future.get_loop().is_closed():
            raise ClientClosedError("the event loop of this task is closed")
