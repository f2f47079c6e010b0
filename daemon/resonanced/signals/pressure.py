# SPDX-License-Identifier: MIT
"""How much a cgroup's tasks wait for a CPU right now, 0 to 1."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_bpf.reader import Records
from resonanced.model import Floats

__all__ = ["Pressure"]

_NOBODY: Final = 1e-6
"""A microsecond of waiting in a second; below it the mean only fades, and is called zero."""


class Pressure:
    """Mean number of waiting tasks per slot over the recent past, cut at 1.

    Waits are counted when they end, so their sum over a stretch of time, divided by its
    length, is the mean number of tasks that waited (Little's law with the arrival rate
    multiplied out). While waits do not overlap that is the share of time in which somebody
    waited; overlapping waits make it larger, hence the cut.

    Parameters
    ----------
    histograms : (cpus, SLOTS) HISTOGRAM
        Run-queue waits in shared memory.
    window_seconds : float
        Time constant of the exponential mean.
    monotonic_ns : int
        Now.
    """

    def __init__(self, histograms: Records, *, window_seconds: float, monotonic_ns: int) -> None:
        self._histograms = histograms
        self._window_ns = window_seconds * 1e9
        self._read_ns = monotonic_ns
        self._sum_ns = self._total()
        self._waiting = np.zeros(len(self._sum_ns), np.float64)

    def _total(self) -> Floats:
        # In float: exact to 2**53 ns, 104 days of waiting per slot; only differences are used.
        total: Floats = self._histograms["sum_ns"].sum(axis=(0, 2), dtype=np.float64)
        return total

    def update(self, monotonic_ns: int) -> Floats:
        """Read the shared memory and return the pressure, (SLOTS,) float64 in [0, 1]."""
        elapsed_ns = monotonic_ns - self._read_ns
        if elapsed_ns > 0:
            total = self._total()
            waiting = (total - self._sum_ns) / elapsed_ns
            keep = math.exp(-elapsed_ns / self._window_ns)
            self._waiting *= keep
            self._waiting += (1.0 - keep) * waiting
            self._waiting[self._waiting < _NOBODY] = 0.0
            self._sum_ns, self._read_ns = total, monotonic_ns
        return np.minimum(self._waiting, 1.0)

    def begin(self, slot: int) -> None:
        """Start a new owner of a slot at zero."""
        self._waiting[slot] = 0.0
