# SPDX-License-Identifier: MIT
"""Is a path one on which another congestion control helps, and does it do harm there?

BBR gains where a queue or random loss stands between far ends. Where the round trip is short
there is nothing to gain. Where the bottleneck's buffer is shallow and shared it takes the room
of its neighbours (82 to 88 % of a 32 kB buffer against one CUBIC flow), and what one host sees
of that is segments sent again though no queue stands: a deep buffer loses some as well, when it
overflows at a connection's start. Pure, as `evidence`.

Connections that share a queue cannot be compared with one another: each sees what all of them
do. So it is tried on all new ones for a time, and compared with the time before and after.

References
----------
Spang et al., "Unbiased experiments in congested networks", IMC 2021,
doi:10.1145/3487552.3487851: what a share of the traffic shows, and switching back and forth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from resonance_tuning.guard import Guard
from resonance_tuning.trials.evidence import FEWEST_EVENTS, Counts, Window, quantile_ns

__all__ = ["Transport", "harm", "load", "read_transport", "why_not"]

_QUEUEING_RATIO: Final = 3.0
"""Median round trip over the shortest from which a queue stands in between. *Chosen*."""
_LOSS_RATIO: Final = 0.015
"""Segments sent again per segment received from which the path loses. As bpftune's
``tcp_conn_tuner``, which turns to BBR there."""
_SHORTEST_QUANTILE: Final = 0.05
"""What the quickest twentieth of the segments see is the path; a stray one may be loopback."""
_FEWEST_RETRANSMITS: Final = 20
"""Below that a growth is chance. *Chosen*."""


@dataclass(frozen=True, slots=True)
class Transport:
    """What one window says of a cgroup's paths.

    Attributes
    ----------
    shortest_seconds, median_seconds, p99_seconds : float
        Smoothed round trips, weighted by segment.
    retransmits : int
        Segments sent again.
    retransmit_ratio : float
        The same per segment received.
    """

    shortest_seconds: float
    median_seconds: float
    p99_seconds: float
    retransmits: int
    retransmit_ratio: float


def read_transport(window: Window, upper_ns: Counts) -> Transport | None:
    """Return what a window says, or nothing where too few segments came."""
    segments = window.events("srtt")
    if segments < FEWEST_EVENTS:
        return None
    counts = window.waits("srtt").sum(axis=0)
    shortest, median, p99 = (
        float(quantile_ns(counts, upper_ns, quantile)) / 1e9
        for quantile in (_SHORTEST_QUANTILE, 0.50, 0.99)
    )
    return Transport(shortest, median, p99, window.retransmits, window.retransmits / segments)


def load(now: Transport, shortest_seconds: float, guard: Guard) -> float:
    """Return how far a path is from its objective; above 1 it is worth a change.

    Parameters
    ----------
    shortest_seconds : float
        The shortest round trip seen on it for a while; a standing queue hides it now.
    """
    if guard.slo_srtt_p99_seconds is not None:
        return now.p99_seconds / guard.slo_srtt_p99_seconds
    return max(_queueing(now, shortest_seconds), now.retransmit_ratio / _LOSS_RATIO)


def _queueing(now: Transport, shortest_seconds: float) -> float:
    """Return how far the queue is from one that stands in between; above 1 it does."""
    return now.median_seconds / max(shortest_seconds, 1e-9) / _QUEUEING_RATIO


def why_not(now: Transport, shortest_seconds: float, guard: Guard) -> str:
    """Return why another congestion control is the wrong choice here, or nothing."""
    if shortest_seconds < guard.min_rtt_seconds:
        return (
            f"the shortest round trip is {shortest_seconds * 1e3:.2g} ms; "
            f"below {guard.min_rtt_seconds * 1e3:.2g} ms there is nothing to gain"
        )
    is_queueing = _queueing(now, shortest_seconds) > 1.0
    if now.retransmit_ratio > guard.max_retransmit_ratio and not is_queueing:
        return (
            f"{now.retransmit_ratio:.1%} of segments are sent again and no queue stands: "
            "the bottleneck looks shallow and shared"
        )
    return ""


def harm(before: Transport, during: Transport, guard: Guard) -> str:
    """Return what harm the change did to the paths, or nothing."""
    ratio, was = during.retransmit_ratio, before.retransmit_ratio
    if during.retransmits < _FEWEST_RETRANSMITS or ratio <= was:
        return ""
    if ratio > guard.max_retransmit_ratio or ratio > guard.max_retransmit_growth * was:
        return f"{ratio:.2%} of segments are sent again, {was:.2%} before: a shared shallow buffer"
    return ""
