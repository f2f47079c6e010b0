# SPDX-License-Identifier: MIT
"""What comes back about the node's rhythm; what is not known is ``None``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from resonance_api.hints.v1 import hints_pb2

__all__ = ["Neighbour", "Rhythm", "rhythm_from_wire"]


class Neighbour(msgspec.Struct, frozen=True):
    """A cgroup whose rhythm the queue of the others follows.

    Attributes
    ----------
    cgroup : str
        Path below the hierarchy's root.
    cgroup_id : int
    score : float
        Magnitude-squared coherence, weighted by the spectrum of that queue, 0 to 1.
    period_seconds, lag_seconds : float
        Of its strongest common line, and how long after its bursts the queue follows.
    is_named : bool
        Far enough ahead of the next one to be acted on.
    """

    cgroup: str
    cgroup_id: int
    score: float
    period_seconds: float
    lag_seconds: float
    is_named: bool


class Rhythm(msgspec.Struct, frozen=True):
    """What is periodic on the node, and what is done about it.

    Everything from `guard_state` to `profile_period_seconds`, but for the period and the
    entropy, is of the group of sources with the most work.

    Attributes
    ----------
    mode : str
        Of phase control: observe, shadow, adaptive, active.
    guard_state, reason : str
        shadow, acquire, active, rollback or lockout, and why; empty without sources.
    dominant_period_seconds : float or None
        Of the node's queue.
    entropy_excess : float or None
        How much less random than white noise that queue is, 0 to 1.
    order_parameter : float or None
        1 in step, 0 as chance has it, below 0 more even than chance.
    mean_phase_rad : float or None
    coupling : float or None
        Fraction of a phase error that is removed per cycle.
    discrepancy_seconds, planned_discrepancy_seconds : float or None
        Root mean square of the work's deviation from an even flow: now, and as planned.
    predicted_ratio : float or None
        p99 of the others' waits under the plan, by that without holds.
    predicted_peak_ns : int or None
        CLOCK_MONOTONIC of the next peak of the sources' backlog.
    delay_bound_seconds : float or None
        Of a burst; infinite where work arrives faster than it is served.
    delay_bound_checks, delay_bound_violations : int
        Bursts since then, and those that took longer.
    profile_seconds : tuple of float
        Backlog of the sources' work over one period, in equal parts from `profile_origin_ns`;
        empty without sources.
    profile_origin_ns : int
        CLOCK_MONOTONIC.
    profile_period_seconds : float
    neighbours : tuple of Neighbour
        Most coherent first.
    sources, eligible_sources, held_sources : int
        Registered; those that may be moved; those that are held now.
    """

    mode: str
    guard_state: str = ""
    reason: str = ""
    dominant_period_seconds: float | None = None
    entropy_excess: float | None = None
    order_parameter: float | None = None
    mean_phase_rad: float | None = None
    coupling: float | None = None
    discrepancy_seconds: float | None = None
    planned_discrepancy_seconds: float | None = None
    predicted_ratio: float | None = None
    predicted_peak_ns: int | None = None
    delay_bound_seconds: float | None = None
    delay_bound_checks: int = 0
    delay_bound_violations: int = 0
    profile_seconds: tuple[float, ...] = ()
    profile_origin_ns: int = 0
    profile_period_seconds: float = 0.0
    neighbours: tuple[Neighbour, ...] = ()
    sources: int = 0
    eligible_sources: int = 0
    held_sources: int = 0


def rhythm_from_wire(message: hints_pb2.Rhythm) -> Rhythm:
    """Return the record of a rhythm."""
    has = message.HasField
    return Rhythm(
        mode=message.mode,
        guard_state=message.guard_state,
        reason=message.reason,
        dominant_period_seconds=(
            message.dominant_period_seconds if has("dominant_period_seconds") else None
        ),
        entropy_excess=(message.entropy_excess if has("entropy_excess") else None),
        order_parameter=(message.order_parameter if has("order_parameter") else None),
        mean_phase_rad=(message.mean_phase_rad if has("mean_phase_rad") else None),
        coupling=(message.coupling if has("coupling") else None),
        discrepancy_seconds=(message.discrepancy_seconds if has("discrepancy_seconds") else None),
        planned_discrepancy_seconds=(
            message.planned_discrepancy_seconds if has("planned_discrepancy_seconds") else None
        ),
        predicted_ratio=(message.predicted_ratio if has("predicted_ratio") else None),
        delay_bound_seconds=(message.delay_bound_seconds if has("delay_bound_seconds") else None),
        predicted_peak_ns=message.predicted_peak_ns if has("predicted_peak_ns") else None,
        delay_bound_checks=message.delay_bound_checks,
        delay_bound_violations=message.delay_bound_violations,
        profile_seconds=tuple(message.profile_seconds),
        profile_origin_ns=message.profile_origin_ns,
        profile_period_seconds=message.profile_period_seconds,
        neighbours=tuple([_neighbour_from_wire(each) for each in message.neighbours]),
        sources=message.sources,
        eligible_sources=message.eligible_sources,
        held_sources=message.held_sources,
    )


def _neighbour_from_wire(message: hints_pb2.Neighbour) -> Neighbour:
    return Neighbour(
        cgroup=message.cgroup,
        cgroup_id=message.cgroup_id,
        score=message.score,
        period_seconds=message.period_seconds,
        lag_seconds=message.lag_seconds,
        is_named=message.is_named,
    )
