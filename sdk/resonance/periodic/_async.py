# SPDX-License-Identifier: MIT
"""A timer's loop in an asyncio task."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from typing import Self

from resonance.periodic._attendant import attendant_here
from resonance.periodic._records import Spec, Status, Tick
from resonance.periodic._source import Authority, Source

__all__ = ["AsyncTicks"]


class AsyncTicks(AsyncIterator[Tick]):
    """The ticks of one loop in a task, and a context manager that closes them.

    They end with `aclose`, or `close` from any thread. A loop that is left, or whose task is
    cancelled, closes them by letting go of them.

    Parameters
    ----------
    spec : Spec
        What the application declared.
    core : Authority, optional
        Who chooses the phase while there is no daemon.
    """

    def __init__(self, spec: Spec, core: Authority | None) -> None:
        self._gate = _Gate()
        self.source = Source(spec, self._gate, attendant_here(), core)

    async def __anext__(self) -> Tick:
        source, thread = self.source, threading.get_ident()
        if source.is_closed:
            source.pause()  # a turn may have begun while it was closed
            raise StopAsyncIteration
        now_ns = time.monotonic_ns()
        # The loop's thread also ran others meanwhile: the work of a burst is an upper bound.
        wait_ns = source.turn(now_ns, time.thread_time_ns(), thread)
        tick = None
        try:
            while tick is None and not source.is_closed:
                await self._gate.wait(wait_ns)  # in any case: a late loop lets others run
                now_ns = time.monotonic_ns()
                tick = source.release(now_ns, thread)
                wait_ns = source.wait_ns(now_ns)
        finally:
            if tick is None:  # closed, or cancelled
                source.pause()
        if tick is None:
            raise StopAsyncIteration
        return tick

    @property
    def status(self) -> Status:
        """Who tells it where to be, and why."""
        return self.source.status(time.monotonic_ns())

    def close(self) -> None:
        """End the loop, from any thread; a burst that runs may finish."""
        self.source.close()

    async def aclose(self) -> None:
        """End the loop."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.source.close()


class _Gate:
    """A future of the loop that waits, ended by a timer or by whoever opens the gate.

    Opened while nobody waits, it ends the next wait.
    """

    def __init__(self) -> None:
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._is_open = False

    def open(self) -> None:
        self._is_open = True
        waiting = self._waiting
        if waiting is not None:
            loop, ended = waiting
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_end, ended)

    async def wait(self, wait_ns: int) -> None:
        if wait_ns <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        self._waiting = loop, ended
        timer = loop.call_later(wait_ns / 1e9, _end, ended)
        if self._is_open:  # since before the future was there to be ended
            _end(ended)
        try:
            await ended
        finally:
            self._waiting = None
            self._is_open = False
            timer.cancel()


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
