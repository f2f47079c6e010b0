# SPDX-License-Identifier: MIT
"""How long did it take lately? The last windows of time, each a histogram."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from math import isfinite

from resonance.histogram._folding import fold_now_and_then, lock
from resonance.histogram._histogram import Histogram

__all__ = ["Rotating"]


class Rotating:
    """Latencies of the last windows of time, of which the oldest is dropped as one begins.

    Any thread may record and read. A window ends within a tenth of a second of its time: with
    whatever is recorded or read next, or when the thread looks in that `record` begins.

    Parameters
    ----------
    seconds : float
        Length of a window, above 0.
    windows : int
        How many are kept, the one that is under way included; 1 or more.
    lowest_ns, highest_ns, digits : int
        As for `Histogram`.
    clock : callable
        Returns seconds that never go back.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    def __init__(
        self,
        seconds: float = 10.0,
        windows: int = 6,
        *,
        lowest_ns: int = 1_000,
        highest_ns: int = 100_000_000_000,
        digits: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (isfinite(seconds) and seconds > 0.0):
            raise ValueError(f"seconds must be above 0, not {seconds}")
        if windows < 1:
            raise ValueError(f"windows must be 1 or more, not {windows}")
        self._seconds = seconds
        self._clock = clock
        self._began_at = clock()
        self._now = Histogram(lowest_ns=lowest_ns, highest_ns=highest_ns, digits=digits)
        self._nothing = self._now.copy()
        self._over: deque[Histogram] = deque(maxlen=windows - 1)

    @cached_property
    def record(self) -> Callable[[float], None]:
        """Count one latency, in seconds; a function, which may be kept in a variable."""
        fold_now_and_then(self)
        return self._now.record

    @cached_property
    def record_ns(self) -> Callable[[float], None]:
        """Count one latency, in nanoseconds, whole or not; otherwise like `record`."""
        fold_now_and_then(self)
        return self._now.record_ns

    def fold(self) -> None:
        """Take in what was recorded, and begin a window if it is time; who reads does so first.

        What was recorded since the last time counts to the window that was under way.
        """
        with lock:
            self._now.fold()
            ended = int((self._clock() - self._began_at) / self._seconds)
            if ended < 1:
                return
            self._began_at += ended * self._seconds
            self._over.append(self._now.take())
            for _ in range(min(ended - 1, self._over.maxlen or 0)):
                self._over.append(self._nothing)

    def last(self) -> Histogram | None:
        """Return the last window that is over; ``None`` before there is one, or if one is kept."""
        with lock:
            self.fold()
            return self._over[-1].copy() if self._over else None

    def merged(self) -> Histogram:
        """Return all windows in one histogram, the one under way included."""
        with lock:
            self.fold()
            merged = self._now.copy()
            merged.merge(*self._over)
            return merged
