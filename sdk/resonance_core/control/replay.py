# SPDX-License-Identifier: MIT
"""What would the same bursts make of the node, had they begun at other times?

Two answers, as one never knows how a node orders its work. The *backlog* is what a queue in the
order of arrival has before it, whatever its discipline is. The number *in flight* is what
counts where everybody gets his share. Pure functions of times within one stretch.
"""

from __future__ import annotations

import heapq

import numpy as np

from resonance_core.control.records import Floats

__all__ = [
    "backlog",
    "backlog_again",
    "cores_left",
    "in_flight",
    "in_flight_again",
    "shared_ends",
]

_HALVINGS = 6
_LEAST_CORES = 0.05


def in_flight(begin_seconds: Floats, end_seconds: Floats, bins: int, bin_seconds: float) -> Floats:
    """Return how many bursts are there in the middle of each bin.

    Parameters
    ----------
    begin_seconds, end_seconds : (n,) float64
        From the start of the first bin; what lies outside is cut off.
    bins : int
        At least 1.
    bin_seconds : float
        Above 0.

    Returns
    -------
    (bins,) float64
    """
    change = np.zeros(bins + 1)
    for seconds, step in ((begin_seconds, 1.0), (end_seconds, -1.0)):
        places = np.ceil(seconds / bin_seconds - 0.5)
        places = np.clip(places, 0, bins).astype(np.intp)
        change += step * np.bincount(places, minlength=bins + 1)
    count: Floats = np.cumsum(change)[:bins]
    return count


def shared_ends(
    begin_seconds: Floats, work_seconds: Floats, cores: float, widest_cores: float
) -> Floats:
    """Return when bursts end that share some CPUs equally.

    Parameters
    ----------
    begin_seconds : (n,) float64
        Ascending.
    work_seconds : (n,) float64
    cores : float
        For all of them, above 0.
    widest_cores : float
        That one burst can use at most.

    Returns
    -------
    (n,) float64

    References
    ----------
    Kleinrock, "Time-shared systems: a theoretical treatment", J. ACM 14 (1967),
    doi:10.1145/321386.321388: with equal shares bursts end in the order of what anybody present
    had attained when they came and their own work, so one heap suffices.
    """
    ends = np.empty(len(begin_seconds))
    present: list[tuple[float, int]] = []
    now = attained = 0.0
    for place, (begin, work) in enumerate(
        zip(begin_seconds.tolist(), work_seconds.tolist(), strict=True)
    ):
        while present:
            rate = min(widest_cores, cores / len(present))
            goal, first = present[0]
            end = now + (goal - attained) / rate
            if end > begin:
                attained += (begin - now) * rate
                break
            heapq.heappop(present)
            now, attained = end, goal
            ends[first] = end
        now = begin
        heapq.heappush(present, (attained + work, place))
    while present:
        rate = min(widest_cores, cores / len(present))
        goal, first = heapq.heappop(present)
        now, attained = now + (goal - attained) / rate, goal
        ends[first] = now
    return ends


def cores_left(
    begin_seconds: Floats,
    work_seconds: Floats,
    taken_seconds: float,
    cores: float,
    widest_cores: float,
) -> float:
    """Return with how many CPUs bursts would have taken as long as they did.

    How busy the CPUs are does not tell: work of the lowest priority keeps them busy, and leaves
    them at once. By bisection, as the more CPUs the bursts share, the sooner they end.

    Parameters
    ----------
    begin_seconds, work_seconds : (n,) float64
        Ascending; CPU time of each.
    taken_seconds : float
        Mean time from begin to end.
    cores : float
        The most there can be.
    widest_cores : float
        That one burst can use at most.

    Returns
    -------
    float
        CPUs, above 0 and at most `cores`.
    """
    low, high = _LEAST_CORES, cores
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        ends = shared_ends(begin_seconds, work_seconds, middle, widest_cores)
        if float((ends - begin_seconds).mean()) > taken_seconds:
            low = middle
        else:
            high = middle
    return high


def backlog(work_seconds: Floats, served_seconds: float, before_seconds: float) -> Floats:
    """Return what is left undone at the end of each bin.

    Parameters
    ----------
    work_seconds : (bins,) float64
        That arrives in each; it counts before the service of its bin.
    served_seconds : float
        Per bin.
    before_seconds : float
        Left when the first begins.

    Returns
    -------
    (bins,) float64

    References
    ----------
    Lindley, "The theory of queues with a single server", Proc. Cambridge Phil. Soc. 48 (1952),
    doi:10.1017/S0305004100027638.
    """
    net = before_seconds + np.cumsum(work_seconds - served_seconds)
    left: Floats = net - np.minimum(np.minimum.accumulate(net), 0.0)
    return left


def in_flight_again(
    begin_seconds: Floats,
    work_seconds: Floats,
    *,
    bins: int,
    bin_seconds: float,
    overlap_bins: int,
    cores: float,
    widest_cores: float,
) -> Floats:
    """Return how many bursts are there where a stretch repeats without end.

    Parameters
    ----------
    begin_seconds, work_seconds : (n,) float64
        Ascending, within the stretch; CPU time of each.
    bins : int
        Of the stretch, at least 1.
    bin_seconds : float
        Above 0.
    overlap_bins : int
        So many of its last bins are replayed before the first, for what lasts into it.
    cores, widest_cores : float
        For all of them, and that one can use at most.

    Returns
    -------
    (bins,) float64
    """
    span = bins * bin_seconds
    late = begin_seconds >= span - overlap_bins * bin_seconds
    begin = np.concatenate([begin_seconds[late] - span, begin_seconds])
    work = np.concatenate([work_seconds[late], work_seconds])
    ends = shared_ends(begin - begin[0], work, cores, widest_cores) + begin[0]
    return in_flight(begin, ends, bins, bin_seconds)


def backlog_again(work_seconds: Floats, served_seconds: float) -> Floats:
    """Return what is left at the end of each bin where a stretch repeats; see `backlog`."""
    before = backlog(work_seconds, served_seconds, 0.0)[-1]
    return backlog(work_seconds, served_seconds, float(before))
