# SPDX-License-Identifier: MIT
"""How long can this take at worst? Bounds from a bucket of arrivals and a rate of service.

Arrivals keep below alpha(t) = b + r t (a token bucket), a server gives at least beta(t) =
R (t - T)^+ (rate and latency). Times and work are in any units as long as they are the same
everywhere; here work is CPU seconds and R a number of CPUs. `fitting` has both from measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import non_negative, positive
from resonance_core.calculus.phasor import peak_to_peak
from resonance_core.errors import InvalidSampleError, UnstableQueueError

__all__ = [
    "RateLatency",
    "TokenBucket",
    "backlog_bound",
    "concatenate",
    "delay_bound",
    "jittered",
    "output",
    "periodic_bucket",
]


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Arrivals of at most ``burst + rate * t`` in any time t.

    Attributes
    ----------
    burst : float
        b, zero or more, in the unit of work.
    rate : float
        r, zero or more, work by time.

    Raises
    ------
    InvalidSampleError
        A value is negative or not finite.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 1.2 (affine arrival
       curves), doi:10.1007/3-540-45318-0.
    """

    burst: float
    rate: float

    def __post_init__(self) -> None:
        non_negative("burst", self.burst)
        non_negative("rate", self.rate)


@dataclass(frozen=True, slots=True)
class RateLatency:
    """A server that gives at least ``rate * (t - latency)`` in a busy time t.

    Attributes
    ----------
    rate : float
        R, above 0, work by time.
    latency : float
        T, zero or more: the longest it may keep a busy period waiting.

    Raises
    ------
    InvalidSampleError
        The rate is not positive, the latency negative, or one is not finite.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 1.3 (rate-latency
       service curves), doi:10.1007/3-540-45318-0.
    """

    rate: float
    latency: float

    def __post_init__(self) -> None:
        positive("rate", self.rate)
        non_negative("latency", self.latency)


def _stable(arrivals: TokenBucket, service: RateLatency) -> None:
    if arrivals.rate > service.rate:
        raise UnstableQueueError(arrivals.rate, service.rate)


def delay_bound(arrivals: TokenBucket, service: RateLatency) -> float:
    """Return the longest delay of any of the work, T + b/R.

    Parameters
    ----------
    arrivals : TokenBucket
        b and r.
    service : RateLatency
        R and T, in the same units.

    Returns
    -------
    float
        Time, T or more.

    Raises
    ------
    UnstableQueueError
        r > R: no finite bound holds.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, theorem 1.4.2 (delay bound),
       doi:10.1007/3-540-45318-0.
    """
    _stable(arrivals, service)
    return service.latency + arrivals.burst / service.rate


def backlog_bound(arrivals: TokenBucket, service: RateLatency) -> float:
    """Return the most work that ever waits, b + r T.

    Parameters
    ----------
    arrivals : TokenBucket
        b and r.
    service : RateLatency
        R and T, in the same units.

    Returns
    -------
    float
        Work, b or more.

    Raises
    ------
    UnstableQueueError
        r > R: no finite bound holds.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, theorem 1.4.1 (backlog bound),
       doi:10.1007/3-540-45318-0.
    """
    _stable(arrivals, service)
    return arrivals.burst + arrivals.rate * service.latency


def output(arrivals: TokenBucket, service: RateLatency) -> TokenBucket:
    """Return a bucket that the departures obey: burst b + r T, rate r.

    Parameters
    ----------
    arrivals : TokenBucket
        b and r.
    service : RateLatency
        R and T, in the same units.

    Returns
    -------
    TokenBucket

    Raises
    ------
    UnstableQueueError
        r > R: no finite bound holds.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, theorem 1.4.3 (output flow),
       doi:10.1007/3-540-45318-0.
    """
    return TokenBucket(backlog_bound(arrivals, service), arrivals.rate)


def concatenate(services: Sequence[RateLatency], packet: float = 0.0) -> RateLatency:
    """Return the server that several in a row are together.

    It has the least rate and the sum of all latencies, so its delay bound charges a burst once,
    not at every hop.

    Parameters
    ----------
    services : sequence of RateLatency
        At least one, in the order of the way.
    packet : float
        Largest piece of work, zero or more, that every hop but the last passes on only when it is
        complete: packet / R more latency there. 0 where work flows on at once.

    Returns
    -------
    RateLatency

    Raises
    ------
    InvalidSampleError
        No hop, or a negative `packet`.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, theorem 1.4.6 and section
       1.7 (packetizers), doi:10.1007/3-540-45318-0.
    """
    if not services:
        raise InvalidSampleError("services", "must not be empty")
    whole = non_negative("packet", packet)
    latency = sum(each.latency for each in services)
    return RateLatency(
        rate=min(each.rate for each in services),
        latency=latency + sum(whole / each.rate for each in services[:-1]),
    )


def jittered(bucket: TokenBucket, jitter: float) -> TokenBucket:
    """Return the bucket of arrivals that may each be late: b + r J.

    Parameters
    ----------
    bucket : TokenBucket
        Of the arrivals that are in time.
    jitter : float
        J, time, zero or more: the latest that any of them comes.

    Returns
    -------
    TokenBucket

    Raises
    ------
    InvalidSampleError
        The jitter is negative or not finite.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, theorem 1.4.3 for a delay of at
       most J, doi:10.1007/3-540-45318-0.
    """
    return TokenBucket(bucket.burst + bucket.rate * non_negative("jitter", jitter), bucket.rate)


def periodic_bucket(
    phases_rad: npt.ArrayLike,
    weights: npt.ArrayLike,
    period: float,
    jitter: float = 0.0,
) -> TokenBucket:
    """Return the smallest bucket of periodic bursts at their mean rate.

    Its burst is the sum of the weights where they are aligned, the largest where they are
    splayed; so it says what a placement does to the bounds before anything is moved.

    Parameters
    ----------
    phases_rad : (n,) array_like
        Of the bursts.
    weights : (n,) array_like
        Work of each burst, zero or more.
    period : float
        Time, above 0.
    jitter : float
        How late a burst may be, time, zero or more.

    Returns
    -------
    TokenBucket
        Burst sup D - inf D of the workload discrepancy, and r J for the jitter; rate sum w / T.

    Raises
    ------
    InvalidSampleError
        A value is not finite, negative, or the period is not positive.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 1.2 (minimum arrival
       curve), doi:10.1007/3-540-45318-0.
    """
    rate = float(np.sum(weights)) / positive("period", period)
    return jittered(TokenBucket(peak_to_peak(phases_rad, weights), rate), jitter)
