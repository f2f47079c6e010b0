# SPDX-License-Identifier: MIT
"""A timer's loop in a thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Self

from resonance.periodic._attendant import attendant_here
from resonance.periodic._records import Spec, Status, Tick
from resonance.periodic._source import Authority, Source

__all__ = ["Ticks"]


class Ticks(Iterator[Tick]):
    """The ticks of one loop; also a context manager that closes them.

    They end with `close`, from any thread. A loop that is left with ``break``, ``return`` or
    an exception closes them by letting go of them.

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

    def __next__(self) -> Tick:
        source, thread = self.source, threading.get_ident()
        if source.is_closed:
            source.pause()  # a turn may have begun while it was closed
            raise StopIteration
        now_ns = time.monotonic_ns()
        wait_ns = source.turn(now_ns, time.thread_time_ns(), thread)
        tick = source.release(now_ns, thread) if wait_ns <= 0 else None
        try:
            while tick is None and not source.is_closed:
                self._gate.wait(wait_ns)
                now_ns = time.monotonic_ns()
                tick = source.release(now_ns, thread)
                wait_ns = source.wait_ns(now_ns)
        finally:
            if tick is None:  # closed, or interrupted
                source.pause()
        if tick is None:
            raise StopIteration
        return tick

    @property
    def status(self) -> Status:
        """Who tells it where to be, and why."""
        return self.source.status(time.monotonic_ns())

    def close(self) -> None:
        """End the loop, from any thread; a burst that runs may finish."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.source.close()


class _Gate:
    """A lock that is held, but for a moment when it is opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is open already
            self._lock.release()

    def wait(self, wait_ns: int) -> None:
        self._lock.acquire(timeout=min(max(wait_ns / 1e9, 0.0), threading.TIMEOUT_MAX))
