# SPDX-License-Identifier: MIT
"""What would the waits of others be under the plan?

While nothing is held, the waits of others are counted by how much backlog the sources' work
makes at that moment. A plan changes how often each backlog occurs, not what it does to others;
so the same waits, weighted anew, are a prediction that needs no model of the scheduler.

Not known here: backlogs higher than any that were seen (they count as the highest seen), waits
of sources that nobody registered, which are in every level alike, and the spread of waits
within one bin of the kernel. The prediction errs to the careful side.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.backlog import PROFILE_BINS
from resonance_core.control.records import Floats
from resonance_core.control.tail import BUCKETS, EDGES_SECONDS, quantile

__all__ = ["Counterfactual"]

LEVELS: Final = 24
"""*Chosen*: levels of backlog, finer where it is small, as it is under a plan."""
ENOUGH_WAITS: Final = 1000.0
"""*Chosen*: ten of them are above the p99."""


class Counterfactual:
    """Waits of others by when in the period they began."""

    def __init__(self) -> None:
        self._waits: Floats = np.zeros((PROFILE_BINS, BUCKETS))

    def forget(self) -> None:
        """Begin anew: the workload has changed."""
        self._waits[:] = 0.0

    def add(self, phases_ratio: Floats, events: Floats, waits: Floats) -> None:
        """Count the waits of a while in which nothing was held.

        Parameters
        ----------
        phases_ratio : (n,) float64
            When the waits of each bin began, as a share of the period, 0 to 1.
        events, waits : (n,) float64
            How many they were, and their sum in seconds; NaN where nobody looked.
        """
        seen = (events > 0.0) & np.isfinite(events) & np.isfinite(waits)
        places = (phases_ratio[seen] * PROFILE_BINS).astype(np.intp) % PROFILE_BINS
        mean = np.maximum(waits[seen], 0.0) / events[seen]
        cells = places * BUCKETS + np.searchsorted(EDGES_SECONDS, mean, side="left")
        counted = np.bincount(cells, weights=events[seen], minlength=PROFILE_BINS * BUCKETS)
        self._waits += counted.reshape(PROFILE_BINS, BUCKETS)

    def ratio(self, natural: Floats, planned: Floats, blur_bins: int) -> float:
        """Return the p99 under the plan by that without holds; NaN where too little was seen.

        Parameters
        ----------
        natural, planned : (PROFILE_BINS,) float64
            Backlog over the period.
        blur_bins : int
            By so many bins the end of a busy time varies. A moment that has no backlog only on
            the average, shortly before or after one, says nothing about moments without.
        """
        if self._waits.sum() < ENOUGH_WAITS:
            return math.nan
        if not (np.isfinite(natural).all() and np.isfinite(planned).all()):
            return math.nan
        now = quantile(self._waits.sum(axis=0), 0.99)
        then = quantile(self._under(natural, planned, blur_bins), 0.99)
        return then / now if now > 0.0 else math.nan

    def _under(self, natural: Floats, planned: Floats, blur_bins: int) -> Floats:
        """Return the distribution of waits under a plan."""
        edges = max(float(natural.max()), 1e-9) * np.linspace(0.0, 1.0, LEVELS)[1:] ** 2
        levels = np.searchsorted(edges, natural, side="left")
        is_sure = (levels > 0) | (_highest_near(natural, blur_bins) <= edges[0])
        by_level = np.zeros((LEVELS, BUCKETS))
        np.add.at(by_level, levels[is_sure], self._waits[is_sure])
        counts = by_level.sum(axis=1)
        seen = np.flatnonzero(counts > 0.0)
        if not len(seen):
            everything: Floats = self._waits.sum(axis=0)
            return everything
        wanted = np.minimum(np.searchsorted(edges, planned, side="left"), LEVELS - 1)
        # the nearest level that was seen, at or below; below all of them the lowest
        nearest = seen[np.maximum(np.searchsorted(seen, wanted, side="right") - 1, 0)]
        share = np.bincount(nearest, minlength=LEVELS) / len(planned)
        mixed: Floats = np.matmul(share / np.maximum(counts, 1.0), by_level)
        return mixed


def _highest_near(profile: Floats, bins: int) -> Floats:
    reach = min(bins, PROFILE_BINS // 2)
    shifted = [np.roll(profile, shift) for shift in range(-reach, reach + 1)]
    highest: Floats = np.max(shifted, axis=0)
    return highest
