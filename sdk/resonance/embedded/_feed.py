# SPDX-License-Identifier: MIT
"""Keeps what the application measures until the controller takes it."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from resonance_core.control.controller import Controller

__all__ = ["Feed"]

_MOST: Final = 65_536
"""Latencies kept; older ones go. Chosen: 0.1 s of more than any interpreter can serve."""
_BIN_SECONDS: Final = 0.001
_LAG_SECONDS: Final = 1.0
"""A bin is handed over this late, when the requests that arrived in it are done; chosen. What
took longer counts into the oldest bin that is still here."""
_MOST_BINS: Final = 10_000
"""Handed over at once; chosen. After a longer gap, as when the process was stopped, nobody
looked: the bins before these are left out."""


class Feed:
    """Latencies by arrival, from any thread."""

    def __init__(self, now_seconds: float) -> None:
        self._fresh: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._waiting: list[tuple[float, float]] = []
        self._start_seconds = now_seconds

    def record(self, latency_seconds: float) -> None:
        """Take note of one request that is done now.

        Parameters
        ----------
        latency_seconds : float
            Zero or more.

        Raises
        ------
        ValueError
            If the latency is negative or not finite.
        """
        if not 0.0 <= latency_seconds < math.inf:
            raise ValueError(f"a latency must be 0 or more seconds, not {latency_seconds!r}")
        self._fresh.append((time.monotonic() - latency_seconds, latency_seconds))

    def hand_over(self, controller: Controller, now_seconds: float) -> None:
        """Give the controller what there is."""
        from resonance_core.control.plain import floats

        fresh = [self._fresh.popleft() for _ in range(len(self._fresh))]
        if fresh:
            seconds = floats([latency for _, latency in fresh])
            controller.observe_waits(now_seconds, seconds, floats([1.0] * len(fresh)))
        self._waiting += fresh
        bins = math.floor((now_seconds - _LAG_SECONDS - self._start_seconds) / _BIN_SECONDS)
        if bins > _MOST_BINS:
            self._start_seconds += (bins - _MOST_BINS) * _BIN_SECONDS
            bins = _MOST_BINS
        if bins > 0:
            self._hand_over_bins(controller, bins)

    def _hand_over_bins(self, controller: Controller, bins: int) -> None:
        from resonance_core.control.plain import binned

        start_seconds, end_seconds = self._start_seconds, self._start_seconds + bins * _BIN_SECONDS
        ripe = [each for each in self._waiting if each[0] < end_seconds]
        self._waiting = [each for each in self._waiting if each[0] >= end_seconds]
        self._start_seconds = end_seconds
        arrivals, latencies = [each[0] for each in ripe], [each[1] for each in ripe]
        events, waits = binned(arrivals, latencies, start_seconds, _BIN_SECONDS, bins)
        controller.observe_bins(start_seconds, _BIN_SECONDS, events, waits)
