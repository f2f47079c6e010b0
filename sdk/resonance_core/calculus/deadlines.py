# SPDX-License-Identifier: MIT
"""What a bound decides: who gets how much of a deadline, when a second try still makes sense."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import matching, non_negative, positive
from resonance_core.calculus.curves import RateLatency, TokenBucket, concatenate, delay_bound
from resonance_core.errors import InvalidSampleError, UnstableQueueError

__all__ = ["deadline_split", "hedge_delay", "hedge_is_admissible", "is_admissible"]


def is_admissible(arrivals: TokenBucket, service: RateLatency, deadline: float) -> bool:
    """Return whether all of the work keeps its deadline: T + b/R <= deadline.

    Never, where work arrives faster than it is served: there is no finite bound.

    Parameters
    ----------
    arrivals : TokenBucket
        b and r.
    service : RateLatency
        R and T, in the same units.
    deadline : float
        Time from arrival to end, zero or more.

    Returns
    -------
    bool

    Raises
    ------
    InvalidSampleError
        The deadline is negative or not finite.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, theorem 1.4.2,
       doi:10.1007/3-540-45318-0.
    """
    limit = non_negative("deadline", deadline)
    return arrivals.rate <= service.rate and delay_bound(arrivals, service) <= limit


def deadline_split(
    arrivals: TokenBucket,
    services: Sequence[RateLatency],
    deadline: float,
    decay_rates: npt.ArrayLike | None = None,
) -> tuple[float, ...]:
    """Divide a deadline among the hops of a way.

    Each gets its latency, the bottleneck also the burst, once; what remains goes to the hops in
    proportion to the waits that chance makes there. Worst cases per hop would charge the burst
    at every hop.

    Parameters
    ----------
    arrivals : TokenBucket
        At the first hop.
    services : sequence of RateLatency
        At least one, in the order of the way.
    deadline : float
        Time from end to end, zero or more.
    decay_rates : (n,) array_like, optional
        eta of each hop, 1/time, above 0: its waits fall as exp(-eta t). By default R - r, as of
        an M/M/1 queue with one unit of work per job.

    Returns
    -------
    tuple of float
        Time for each hop; they add up to the deadline. The proportion to 1/eta is *chosen*: it
        is that of the mean waits.

    Raises
    ------
    InvalidSampleError
        No hop, or a deadline below the bound from end to end: no split can keep it.
    UnstableQueueError
        Some hop serves more slowly than work arrives, or exactly as fast without `decay_rates`.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 1.4.3 (pay bursts only
       once), doi:10.1007/3-540-45318-0.
    .. [2] Kleinrock, "Queueing Systems", volume 1, Wiley 1975, section 5.7 (the waits of M/M/1).
    """
    end_to_end = concatenate(services)
    bound = delay_bound(arrivals, end_to_end)
    slack = non_negative("deadline", deadline) - bound
    if slack < 0.0:
        raise InvalidSampleError("deadline", f"{deadline:g} is below the bound {bound:g}")
    rates = np.array([each.rate for each in services])
    shares = np.array([each.latency for each in services])
    shares[rates.argmin()] += arrivals.burst / end_to_end.rate
    if decay_rates is None:
        if arrivals.rate >= end_to_end.rate:
            raise UnstableQueueError(arrivals.rate, end_to_end.rate)
        decays = rates - arrivals.rate
    else:
        decays = matching("decay_rates", decay_rates, rates.size)
        if (decays <= 0.0).any():
            raise InvalidSampleError("decay_rates", "must be positive")
    shares += slack * (1.0 / decays) / (1.0 / decays).sum()
    return tuple(map(float, shares))


def hedge_delay(own_p95: float, deadline: float, bound_alternative: float) -> float:
    """Return when to send a second request, after the first.

    max(own p95, deadline - bound of the alternative): later it could not keep the deadline any
    more; earlier than the p95 it would add more than 5 % of load.

    Parameters
    ----------
    own_p95 : float
        Of the latency of the first, time, zero or more.
    deadline : float
        Time from the first request to the end, zero or more.
    bound_alternative : float
        Longest latency of the second, time, above 0.

    Returns
    -------
    float
        Time, `own_p95` or more.

    Raises
    ------
    InvalidSampleError
        A time is negative or not finite, or `bound_alternative` is 0.

    References
    ----------
    .. [1] Dean and Barroso, "The tail at scale", Communications of the ACM 56 (2013),
       doi:10.1145/2408776.2408794.
    """
    latest = non_negative("deadline", deadline) - positive("bound_alternative", bound_alternative)
    return max(non_negative("own_p95", own_p95), latest)


def hedge_is_admissible(delay: float, bound_alternative: float, deadline: float) -> bool:
    """Return whether a second request is sure to keep the deadline.

    Parameters
    ----------
    delay : float
        Time from the first request to the second, zero or more.
    bound_alternative : float
        Longest latency of the second, time, above 0.
    deadline : float
        Time from the first request to the end, zero or more.

    Returns
    -------
    bool
        delay + bound_alternative <= deadline.

    Raises
    ------
    InvalidSampleError
        A time is negative or not finite, or `bound_alternative` is 0.
    """
    sent = non_negative("delay", delay)
    longest = positive("bound_alternative", bound_alternative)
    return sent + longest <= non_negative("deadline", deadline)
