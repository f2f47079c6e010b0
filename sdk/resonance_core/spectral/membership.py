# SPDX-License-Identifier: MIT
"""Does a source keep the period it is said to have?

Asked of the times of its events, not of bins: folding loses nothing. Events that belong to
nobody's lattice may be among them; a source that keeps a different period may not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats, finite
from resonance_core.calculus.phasor import fold, mean_phase, rayleigh
from resonance_core.errors import InvalidSampleError

__all__ = ["Membership", "membership"]

LARGEST_P: Final = 1e-3
DRIFT_RAD_PER_CYCLE: Final = 2.0 * math.pi * 0.25 / 120.0
"""A quarter of a cycle in 120; *chosen*: slower drift does no harm before it is seen again."""
STANDARD_ERRORS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Membership:
    """What events say about a period.

    Attributes
    ----------
    rayleigh_p : float
        Probability that events without the period agree so well on its phase.
    drift_rad : float
        From the mean phase of the first half to that of the second, -pi to pi.
    drift_error_rad : float
        Standard error of that for a steady source.
    is_member : bool
        It agrees, and it does not drift.
    """

    rayleigh_p: float
    drift_rad: float
    drift_error_rad: float
    is_member: bool


def membership(times_seconds: npt.ArrayLike, period_seconds: float) -> Membership:
    """Test whether events keep a period.

    Parameters
    ----------
    times_seconds : (n,) array_like
        At least 4, ascending; 16 cycles tell a jitter of a twentieth of the period.
    period_seconds : float

    Returns
    -------
    Membership

    Raises
    ------
    InvalidSampleError
        Too few, not ascending or not finite times, or a period that is not positive.

    Notes
    -----
    Rayleigh's test on the folded events, then the frequency test: the mean phases of the two
    halves may differ by `DRIFT_RAD_PER_CYCLE` for each cycle between their middles, and 3
    standard errors. These come from the resultants R_1 and R_2 about the mean of each half,
    ``sqrt((1 - R_2) / (2 n R_1^2))``, which hold whatever the distribution is.

    References
    ----------
    Fisher, Lewis, Biometrika 70 (1983), doi:10.1093/biomet/70.2.333.
    """
    times = finite("times_seconds", times_seconds)
    if len(times) < 4 or (np.diff(times) < 0.0).any():
        raise InvalidSampleError("times_seconds", "must be at least 4, ascending")
    phases = fold(times, period_seconds, float(times[0]))
    _, p = rayleigh(phases)
    middle = float(times[0] + times[-1]) / 2.0
    halves = phases[times <= middle], phases[times > middle]
    if not len(halves[1]):
        raise InvalidSampleError("times_seconds", "must not all be the same")
    first, second = (mean_phase(half) for half in halves)
    drift = math.remainder(second - first, 2.0 * math.pi)
    error = math.hypot(*(_error(half) for half in halves))
    cycles = float(times[-1] - times[0]) / (2.0 * period_seconds)
    is_steady = abs(drift) <= DRIFT_RAD_PER_CYCLE * cycles + STANDARD_ERRORS * error
    return Membership(p, drift, error, is_member=p < LARGEST_P and is_steady)


def _error(phases: Floats) -> float:
    about = np.exp(1j * (phases - mean_phase(phases)))
    first, second = float(about.mean().real), float((about**2).mean().real)
    if first <= 0.0:
        return math.pi
    return min(math.pi, math.sqrt(max(0.0, 1.0 - second) / (2.0 * len(phases))) / first)
