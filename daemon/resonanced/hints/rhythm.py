# SPDX-License-Identifier: MIT
"""How does a `Rhythm` read on the wire? What is not known is absent there."""

from __future__ import annotations

import math

from resonance_api.hints.v1 import hints_pb2
from resonanced.model import Neighbour, Rhythm, shown_path

__all__ = ["rhythm_message"]


def rhythm_message(rhythm: Rhythm | None) -> hints_pb2.Rhythm | None:
    """Return the message of a rhythm, ``None`` where there is none."""
    if rhythm is None:
        return None
    return hints_pb2.Rhythm(
        mode=rhythm.mode,
        guard_state=rhythm.guard_state,
        reason=rhythm.reason,
        dominant_period_seconds=_known(rhythm.dominant_period_seconds),
        entropy_excess=_known(rhythm.entropy_excess),
        order_parameter=_known(rhythm.order_parameter),
        mean_phase_rad=_known(rhythm.mean_phase_rad),
        coupling=_known(rhythm.coupling),
        discrepancy_seconds=_known(rhythm.discrepancy_seconds),
        planned_discrepancy_seconds=_known(rhythm.planned_discrepancy_seconds),
        predicted_ratio=_known(rhythm.predicted_ratio),
        predicted_peak_ns=rhythm.predicted_peak_ns or None,
        # An unstable queue has the bound infinity, which is an answer.
        delay_bound_seconds=_told(rhythm.delay_bound_seconds),
        delay_bound_checks=rhythm.delay_bound_checks,
        delay_bound_violations=rhythm.delay_bound_violations,
        profile_seconds=rhythm.profile_seconds,
        profile_origin_ns=rhythm.profile_origin_ns,
        profile_period_seconds=_known(rhythm.profile_period_seconds) or 0.0,
        neighbours=[_neighbour(each) for each in rhythm.neighbours],
        sources=rhythm.sources.get("registered", 0),
        eligible_sources=rhythm.sources.get("eligible", 0),
        held_sources=rhythm.sources.get("held", 0),
    )


def _neighbour(neighbour: Neighbour) -> hints_pb2.Neighbour:
    return hints_pb2.Neighbour(
        cgroup=shown_path(neighbour.slot.cgroup),
        cgroup_id=neighbour.slot.cgroup_id,
        score=neighbour.score,
        period_seconds=neighbour.period_seconds,
        lag_seconds=neighbour.lag_seconds,
        is_named=neighbour.is_named,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _told(value: float) -> float | None:
    return None if math.isnan(value) else value
