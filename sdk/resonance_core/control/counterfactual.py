# SPDX-License-Identifier: MIT
"""What would the waits of others be under the plan?

While nothing is held, the waits of others are counted by the state of the node in which they
began. A plan changes how often each state occurs, not what it does to others; so the same waits,
weighted anew, are a prediction that needs no model of the scheduler.

Two things can be the state. How many bursts are *in flight* is measured, from the releases and
ends that the sources report, and tells most where CPUs are shared. The *backlog* is modelled
(`replay`), and tells most where work is done in the order of arrival. Whichever tells more of
the waits that were seen is taken.

Not known here: states that were never seen (they count as the next higher one), waits of
sources that nobody registered, which are in every state alike, and the spread of waits within
one bin of the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.control.records import Floats
from resonance_core.control.tail import BUCKETS, EDGES_SECONDS, quantile

__all__ = ["BACKLOG_EDGES", "IN_FLIGHT_EDGES", "LEVELS", "Counterfactual", "State", "levels"]

LEVELS: Final = 48
IN_FLIGHT_EDGES: Final[Floats] = np.concatenate(
    [np.arange(24.0), 24.0 * np.power(1.22, np.arange(LEVELS - 25.0))]
)
"""Inclusive upper edges; *chosen*: every number to 23, then steps of 22 % to 2,300."""
BACKLOG_EDGES: Final[Floats] = 25e-6 * np.power(1.35, np.arange(LEVELS - 1.0))
"""Seconds per CPU; *chosen*: steps of 35 % from nothing to speak of to 25 s."""
ENOUGH_WAITS: Final = 1000.0
"""*Chosen*: ten of them are above the p99."""
LEAST_WAITS: Final = 20.0
"""*Chosen*: a state with fewer says nothing of its own."""
MOST_WAITS: Final = 1e6
"""*Chosen*: beyond it older ones count half; what was seen long ago is forgotten."""
CLEARLY_MORE: Final = 1.04
"""*Chosen* with the simulation: by so much the number in flight must tell more of the waits than
the backlog. Shares tell both about alike where bursts run on several CPUs at once."""
_FIRST: Final = np.arange(0, BUCKETS, 14)
"""Buckets of waits from which on they count as one where states are compared: a factor of 2."""

Ints = npt.NDArray[np.intp]


def levels(values: Floats, edges: Floats) -> Ints:
    """Return the level of each value, 0 to `LEVELS` - 1."""
    found: Ints = np.searchsorted(edges, values - 1e-9, side="left")
    return found


@dataclass(slots=True)
class State:
    """Waits by the level of one quantity at which they began.

    Attributes
    ----------
    waits : (LEVELS, BUCKETS) float32
        How many.
    bins : (LEVELS,) float64
        For how long each level was seen.
    """

    waits: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((LEVELS, BUCKETS), np.float32)
    )
    bins: Floats = field(default_factory=lambda: np.zeros(LEVELS))

    def add(self, level: Ints, bucket: Ints, events: Floats, seen: Ints) -> None:
        """Count waits, and the levels of all bins in which somebody looked.

        Parameters
        ----------
        level : (n,) int64
            At which each bin's waits began, 0 to LEVELS - 1.
        bucket : (n,) int64
            Of their length, 0 to BUCKETS - 1.
        events : (n,) float64
            How many they are.
        seen : (m,) int64
            Level of each bin in which somebody looked.
        """
        cells = np.bincount(level * BUCKETS + bucket, events, LEVELS * BUCKETS)
        self.waits += cells.reshape(LEVELS, BUCKETS).astype(np.float32)
        self.bins += np.bincount(seen, minlength=LEVELS)
        if self.bins.sum() > MOST_WAITS or float(self.waits.sum()) > MOST_WAITS:
            self.waits *= 0.5
            self.bins *= 0.5

    def information(self) -> float:
        """Return how much the level tells of a wait, in nats.

        References
        ----------
        Mutual information, less its bias of (levels - 1)(buckets - 1)/2n: Miller, "Note on the
        bias of information estimates", Information Theory in Psychology, Free Press 1955.
        """
        pairs: Floats = np.add.reduceat(self.waits, _FIRST, axis=1, dtype=np.float64)
        count = float(pairs.sum())
        if count <= 0.0:
            return 0.0
        share: Floats = pairs / count
        of_level, of_wait = share.sum(axis=1), share.sum(axis=0)
        there = share > 0.0
        told = share[there] * np.log(share[there] / np.outer(of_level, of_wait)[there])
        freedom = (np.count_nonzero(of_level) - 1) * (np.count_nonzero(of_wait) - 1)
        return float(told.sum()) - freedom / (2.0 * count)

    def under(self, planned_bins: Floats) -> tuple[float, float]:
        """Return the p99 under a plan if the levels are right, and if they are all there is.

        Parameters
        ----------
        planned_bins : (LEVELS,) float64
            For how long each level is there under the plan.

        Returns
        -------
        by_level : float
            The spread of waits within a level is luck, and remains.
        by_rank : float
            The spread within a level is levels misjudged: the waits have the order of the true
            ones.
        """
        counts = self.waits.sum(axis=1, dtype=np.float64)
        seen = np.flatnonzero(counts >= LEAST_WAITS)
        # the next higher level that was seen; above all of them the highest
        at = np.minimum(np.searchsorted(seen, np.arange(LEVELS)), len(seen) - 1)
        nearest = seen[at]
        rate = counts[nearest] / np.maximum(self.bins[nearest], 1.0)
        events: Floats = np.bincount(nearest, planned_bins * rate, LEVELS).astype(np.float64)
        wanted: Floats = events / events.sum()
        weights = np.divide(wanted, counts, out=np.zeros(LEVELS), where=counts > 0.0)
        mixed: Floats = (weights @ self.waits).astype(np.float64)
        by_level = quantile(mixed, 0.99)
        reached = np.cumsum(wanted)
        last = int(np.searchsorted(reached, 0.99))
        rest = (reached[last] - 0.99) / wanted[last]
        rank = (counts[: last + 1].sum() - rest * counts[last]) / counts.sum()
        return by_level, quantile(self.waits.sum(axis=0, dtype=np.float64), float(rank))


class Counterfactual:
    """Waits of others by what may have made them.

    Attributes
    ----------
    in_flight, backlog : State
        By the number of bursts that are there, and by the work before everybody.
    """

    def __init__(self) -> None:
        self.in_flight = State()
        self.backlog = State()

    def forget(self) -> None:
        """Begin anew: the workload has changed."""
        self.in_flight, self.backlog = State(), State()

    def add(
        self, passed: tuple[Ints, Ints], met: tuple[Ints, Ints], seconds: Floats, events: Floats
    ) -> None:
        """Count the waits of a while in which nothing was held.

        Parameters
        ----------
        passed : two of (bins,) int
            Level of the number in flight, and of the backlog, in all bins.
        met : two of (n,) int
            The same at which each of some waits began.
        seconds, events : (n,) float64
            How long they were, and how many of each.
        """
        bucket = np.searchsorted(EDGES_SECONDS, seconds, side="left")
        self.in_flight.add(met[0], bucket, events, passed[0])
        self.backlog.add(met[1], bucket, events, passed[1])

    def ratio(self, in_flight_bins: Floats, backlog_bins: Floats) -> float:
        """Return the p99 under the plan by that without holds.

        Parameters
        ----------
        in_flight_bins, backlog_bins : (LEVELS,) float64
            For how long each level is there under the plan.

        Returns
        -------
        float
            Above 0, below 1 for a gain; NaN where fewer than `ENOUGH_WAITS` were seen.

        Notes
        -----
        The number in flight is measured, and no level of it is misjudged. The backlog is
        modelled; how much of the spread within a level is its error is not known, so the
        geometric mean of none and all is taken.
        """
        everything: Floats = self.in_flight.waits.sum(axis=0, dtype=np.float64)
        if everything.sum() < ENOUGH_WAITS:
            return math.nan
        now = quantile(everything, 0.99)
        if self.in_flight.information() > CLEARLY_MORE * self.backlog.information():
            return self.in_flight.under(in_flight_bins)[0] / now
        by_level, by_rank = self.backlog.under(backlog_bins)
        return math.sqrt(by_level * by_rank) / now
