# SPDX-License-Identifier: MIT
"""What did others wait of late, bin by bin?

One series for all groups, of a bounded number of bins. Bins have numbers that go up for ever;
a stretch that nobody read begins a new series, as what lies before it says nothing of after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.control.estimate import Bools
from resonance_core.control.records import Floats

__all__ = ["MOST_BINS", "Begun", "Series"]

Ints = npt.NDArray[np.intp]

MOST_BINS: Final = 16_384
"""*Chosen*: 16 s of milliseconds; the reports of many sources come seconds after the bins."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Waits of others that began in a stretch.

    Attributes
    ----------
    bins : int
        Of the stretch; below 1 where nothing is known of it yet.
    is_seen : (bins,) bool
        Somebody looked.
    place : (n,) int
        In which bin some of them began.
    mean_seconds, events : (n,) float64
        How long those were, and how many.
    """

    bins: int
    is_seen: Bools
    place: Ints
    mean_seconds: Floats
    events: Floats

    def load(self, each_seconds: float) -> Floats:
        """Return the work that they brought in each bin, (bins,) float64."""
        counted = np.bincount(self.place, self.events, self.bins).astype(np.float64)
        load: Floats = counted * each_seconds
        return load


class Series:
    """Waits by the bin in which they ended.

    Attributes
    ----------
    bin_seconds : float
        NaN before the first.
    first, end : int
        Numbers of the oldest bin that is there, and of the one that comes next.
    """

    def __init__(self) -> None:
        self.bin_seconds = math.nan
        self.first = self.end = 0
        self._end_seconds = math.nan
        self._kept: Floats = np.empty((2, 0), np.float64)

    def add(
        self, start_seconds: float, bin_seconds: float, events: Floats, wait_seconds: Floats
    ) -> None:
        """Take in the next bins.

        Parameters
        ----------
        start_seconds : float
            When the first begins; anew where that is not the end of the last.
        bin_seconds : float
            Their width, above 0; anew where it is another.
        events : (n,) float64
            Waits that ended in each; NaN where nobody looked.
        wait_seconds : (n,) float64
            Their sum; NaN where nobody looked.
        """
        if not len(events):
            return
        if not len(self._kept[0]):
            self._kept = np.zeros((2, MOST_BINS))
        gap = abs(start_seconds - self._end_seconds)
        if bin_seconds != self.bin_seconds or not gap < bin_seconds / 2.0:
            self.first, self.bin_seconds = self.end, bin_seconds
        self._end_seconds = start_seconds + len(events) * bin_seconds
        self.end += len(events)
        self.first = max(self.first, self.end - MOST_BINS)
        newest = slice(max(0, len(events) - MOST_BINS), None)
        places = self._places(self.end - len(events[newest]), self.end)
        self._kept[0, places], self._kept[1, places] = events[newest], wait_seconds[newest]

    def between(self, first: int, end: int) -> tuple[Floats, Floats]:
        """Return events and waits of bins that are there, each (end - first,)."""
        both = self._kept[:, self._places(first, end)]
        return both[0], both[1]

    def begun(self, first: int, end: int) -> Begun:
        """Return the waits that began in a stretch, which is cut where some may still last."""
        events, summed = self.between(first, self.end)
        is_seen = np.isfinite(events) & np.isfinite(summed)
        some = np.flatnonzero(is_seen & (events > 0.0))
        mean = np.maximum(summed[some] / events[some], 0.0)
        lag = mean / self.bin_seconds
        bins = min(end - first, len(events) - math.ceil(lag.max(initial=0.0)) - 1)
        # what a wait met was there when it began
        place = np.floor(some + 0.5 - lag).astype(np.intp)
        inside = (place >= 0) & (place < bins)
        some = some[inside]
        return Begun(bins, is_seen[: max(bins, 0)], place[inside], mean[inside], events[some])

    def start_seconds(self, number: int) -> float:
        """Return when a bin begins."""
        return self._end_seconds - (self.end - number) * self.bin_seconds

    def number(self, at_seconds: float) -> int:
        """Return the bin that begins at a time or next after it."""
        return self.end - math.floor((self._end_seconds - at_seconds) / self.bin_seconds + 1e-6)

    @staticmethod
    def _places(first: int, end: int) -> Ints:
        return np.arange(first, end, dtype=np.intp) % MOST_BINS
