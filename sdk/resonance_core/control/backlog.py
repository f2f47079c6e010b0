# SPDX-License-Identifier: MIT
"""How much queue does the sources' own work make, when, and how long can a burst take?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from resonance_core.calculus.phasor import peak_to_peak
from resonance_core.calculus.placement import unfold
from resonance_core.calculus.trop import circular_lindley
from resonance_core.control.plan import Members
from resonance_core.control.records import Floats
from resonance_core.errors import UnstableQueueError

__all__ = ["PROFILE_BINS", "Capacity", "backlog_profile", "delay_bound"]

PROFILE_BINS: Final = 64
JITTER_DEVIATIONS: Final = 3.0
"""*Chosen*: how far a release may be off its place, in standard deviations; what is rarer shows
in the counter of violations."""
_TURN: Final = 2.0 * math.pi


@dataclass(frozen=True, slots=True)
class Capacity:
    """What serves the sources of a group.

    Attributes
    ----------
    cores : float
        CPUs.
    free_cores : float
        What is left of them by everybody else, above 0.
    """

    cores: float
    free_cores: float

    @classmethod
    def left(cls, cores: float, busy_ratio: float, own_seconds_per_second: float) -> Capacity:
        """Return what is left when the CPUs are this busy.

        Parameters
        ----------
        cores : float
            CPUs, above 0.
        busy_ratio : float
            Share of their time in use, 0 to 1; all is left where it is NaN.
        own_seconds_per_second : float
            CPUs that the sources themselves use, zero or more.

        Returns
        -------
        Capacity
            With 0.001 CPU at least.
        """
        others = 0.0
        if not math.isnan(busy_ratio):
            others = max(cores * min(busy_ratio, 1.0) - own_seconds_per_second, 0.0)
        return cls(cores, max(cores - others, 1e-3))


def backlog_profile(
    members: Members, holds_seconds: Floats, period_seconds: float, capacity: Capacity
) -> Floats:
    """Return the backlog per core over one period of the group.

    Parameters
    ----------
    members : Members
    holds_seconds : (n,) float64
    period_seconds : float
    capacity : Capacity

    Returns
    -------
    (PROFILE_BINS,) float64
        Seconds, at the end of each part of the period; inf throughout where more work arrives
        than is served.
    """
    phases, works = unfold(members.held(holds_seconds), members.work_seconds, members.multiples)
    bins = np.minimum((phases * (PROFILE_BINS / _TURN)).astype(np.intp), PROFILE_BINS - 1)
    arriving = np.bincount(bins, weights=works, minlength=PROFILE_BINS)
    try:
        backlog = circular_lindley(arriving, capacity.free_cores * period_seconds / PROFILE_BINS)
    except UnstableQueueError:
        return np.full(PROFILE_BINS, math.inf)
    return backlog / capacity.cores


def delay_bound(
    members: Members,
    holds_seconds: Floats,
    jitter_seconds: Floats,
    period_seconds: float,
    capacity: Capacity,
) -> float:
    """Return how long a burst of the group can take at the most.

    Parameters
    ----------
    members : Members
    holds_seconds, jitter_seconds : (n,) float64
    period_seconds : float
    capacity : Capacity

    Returns
    -------
    float
        Seconds; inf where more work arrives than is served, NaN without sources.

    Notes
    -----
    The bucket (b, r) of the group is r = W/T and b = sup D - inf D, widened by r J for the
    jitter J. At the rate R that others leave, the last of the work in front is served after
    b/R, and the largest burst may then still run alone on one CPU. Le Boudec and Thiran,
    "Network Calculus", Springer 2001, theorem 1.4.2, doi:10.1007/3-540-45318-0.
    """
    if not len(members.work_seconds):
        return math.nan
    phases, works = unfold(members.held(holds_seconds), members.work_seconds, members.multiples)
    rate = float(works.sum()) / period_seconds
    if rate > capacity.free_cores:
        return math.inf
    finite = jitter_seconds[np.isfinite(jitter_seconds)]
    widest = JITTER_DEVIATIONS * float(finite.max(initial=0.0))
    burst = peak_to_peak(phases, works) + rate * widest
    return burst / capacity.free_cores + float(works.max())
