# SPDX-License-Identifier: MIT
"""Which curves do measured arrivals and departures obey, and does the bound hold?

A bound from measured curves is as good as the measurement: count what exceeds it and say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import (
    Floats,
    finite,
    matching,
    non_negative,
    positive,
    weighing,
)
from resonance_core.calculus.curves import RateLatency, TokenBucket
from resonance_core.errors import InvalidSampleError

__all__ = ["Exceedance", "fit_bucket", "fit_burst", "fit_latency"]


def _ordered(name: str, times: npt.ArrayLike) -> Floats:
    ordered = finite(name, times)
    if not ordered.size:
        raise InvalidSampleError(name, "must not be empty")
    if (np.diff(ordered) < 0.0).any():
        raise InvalidSampleError(name, "must ascend")
    return ordered


def fit_burst(times: npt.ArrayLike, work: npt.ArrayLike, rate: float) -> float:
    """Return the least burst with which arrivals obey a bucket of this rate.

    The largest A(s, t) - r (t - s) over all windows, a max-plus deconvolution, in one pass.

    Parameters
    ----------
    times : (n,) array_like
        Ascending; at least one.
    work : (n,) array_like
        That arrives at each, zero or more.
    rate : float
        r, zero or more.

    Returns
    -------
    float
        b, work, zero or more.

    Raises
    ------
    InvalidSampleError
        Empty, unsorted, negative or not finite.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 1.2 (minimum arrival
       curve), doi:10.1007/3-540-45318-0.
    """
    at = _ordered("times", times)
    arrived = np.cumsum(weighing("work", work, at.size))
    drained = non_negative("rate", rate) * (at - at[0])
    before = np.minimum.accumulate(np.concatenate(([0.0], arrived[:-1])) - drained)
    return float((arrived - drained - before).max())


def fit_bucket(times: npt.ArrayLike, work: npt.ArrayLike, rate: float) -> TokenBucket:
    """Return the smallest bucket of this rate that measured arrivals obey.

    Parameters, errors and source as `fit_burst`. Take the rate between that of the arrivals and
    that of the server: the higher, the smaller the burst and the bounds, but the less is left to
    others.

    Returns
    -------
    TokenBucket
    """
    return TokenBucket(fit_burst(times, work, rate), rate)


def fit_latency(
    arrivals: npt.ArrayLike, departures: npt.ArrayLike, work: npt.ArrayLike, rate: float
) -> RateLatency:
    """Return the server of this rate that measured departures show.

    Its latency is the longest by which a piece of work left later than a server of constant
    rate, first come first served, would have let it go: guaranteed rate, in one pass.

    Parameters
    ----------
    arrivals : (n,) array_like
        Times, ascending; at least one.
    departures : (n,) array_like
        Times, each at or after its arrival.
    work : (n,) array_like
        Zero or more.
    rate : float
        R, above 0, work by time.

    Returns
    -------
    RateLatency

    Raises
    ------
    InvalidSampleError
        Empty, unsorted, negative or not finite, or work leaves before it came.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 2.1 (guaranteed rate
       nodes), doi:10.1007/3-540-45318-0.
    """
    came = _ordered("arrivals", arrivals)
    left = matching("departures", departures, came.size)
    if (left < came).any():
        raise InvalidSampleError("departures", "must not be before the arrivals")
    served = np.cumsum(weighing("work", work, came.size)) / positive("rate", rate)
    before = np.concatenate(([0.0], served[:-1]))
    ideal = served + np.maximum.accumulate(came - before)
    return RateLatency(rate, float(max(0.0, (left - ideal).max())))


@dataclass(frozen=True, slots=True)
class Exceedance:
    """How often a bound was checked, and how often it did not hold.

    Attributes
    ----------
    checks, violations : int
    """

    checks: int = 0
    violations: int = 0

    def counting(self, measured: npt.ArrayLike, bound: float) -> Exceedance:
        """Return the record with these values checked too.

        Parameters
        ----------
        measured : array_like
            Of any shape; NaN is not a value.
        bound : float
            Not exceeded where a value is equal.

        Returns
        -------
        Exceedance
        """
        values = np.asarray(measured, dtype=np.float64)
        known = int(np.count_nonzero(~np.isnan(values)))
        above = int(np.count_nonzero(values > bound))
        return Exceedance(self.checks + known, self.violations + above)

    @property
    def ratio(self) -> float:
        """Share of the checks that failed; 0 before the first."""
        return self.violations / self.checks if self.checks else 0.0

    def is_violated(self, allowed_ratio: float = 0.01) -> bool:
        """Return whether more checks failed than may.

        Then the bound is not to be believed.

        Parameters
        ----------
        allowed_ratio : float
            0 to 1. *Chosen*: 1 %, so that one odd measurement does not undo the rest.

        Returns
        -------
        bool
        """
        return self.ratio > allowed_ratio
