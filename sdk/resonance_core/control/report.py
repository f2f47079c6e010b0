# SPDX-License-Identifier: MIT
"""What is told of groups and sources: records for people, metrics and hints."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.group import Group
from resonance_core.control.picture import obstacle
from resonance_core.control.records import GroupState, SourceState
from resonance_core.control.scene import Scene

__all__ = ["group_state", "source_state"]

_TURN: Final = 2.0 * math.pi


def source_state(scene: Scene, group: Group, row: int) -> SourceState:
    """Return what is known of a source.

    Parameters
    ----------
    scene : Scene
        Of the controller.
    group : Group
        That the source is in.
    row : int
        Of the source in the roster.

    Returns
    -------
    SourceState
        NaN in what is not known yet.
    """
    source = scene.roster.source(row)
    holds = scene.holds
    picture = group.picture
    releases = int(scene.roster.total[row])
    offset = float(holds.ordered_seconds[row])
    held = float(scene.in_force.spent_seconds[row])
    if picture is None:
        return SourceState(
            source=source,
            is_eligible=False,
            reason="it is new, or its group has changed",
            phase_rad=math.nan,
            target_phase_rad=math.nan,
            jitter_seconds=math.nan,
            work_seconds=math.nan,
            rayleigh_p=math.nan,
            releases=releases,
            offset_seconds=offset,
            held_seconds=held,
        )
    index = int(np.flatnonzero(picture.rows == row)[0])
    seen = picture.estimate
    target = float(holds.target_seconds[row])
    phase = float(seen.phase_rad[index])
    scale = source.period_seconds / _TURN
    reason = obstacle(source, scene.parameters, seen, index)
    return SourceState(
        source=source,
        is_eligible=bool(picture.is_eligible[index]),
        reason=reason or "its phase is sharp and steady, and it may be moved",
        phase_rad=phase,
        target_phase_rad=(phase + target / scale) % _TURN,
        jitter_seconds=float(seen.jitter_rad[index]) * scale,
        work_seconds=float(seen.work_seconds[index]),
        rayleigh_p=float(seen.rayleigh_p[index]),
        releases=releases,
        offset_seconds=offset,
        held_seconds=held,
    )


def group_state(scene: Scene, group: Group) -> GroupState:
    """Return what is known of a group.

    Parameters
    ----------
    scene : Scene
        Of the controller.
    group : Group

    Returns
    -------
    GroupState
        NaN in what is not known yet.
    """
    picture = group.picture
    known = picture is not None
    plan, forecast = group.planner.plan, group.forecast
    return GroupState(
        period_seconds=group.period_seconds,
        origin_seconds=group.origin_seconds,
        state=group.state,
        reason=group.reason,
        sources=len(group.multiples),
        eligible=int(picture.is_eligible.sum()) if picture else 0,
        order_parameter=picture.order_parameter if picture else math.nan,
        mean_phase_rad=picture.mean_phase_rad if picture else math.nan,
        effective_sources=picture.effective_sources if picture else 0.0,
        is_armed=group.band.is_armed,
        coupling=group.coupling,
        discrepancy_seconds=picture.present_seconds if picture else math.nan,
        natural_discrepancy_seconds=picture.natural_seconds if picture else math.nan,
        planned_discrepancy_seconds=plan.discrepancy_seconds if plan and known else math.nan,
        profile_seconds=forecast.profile_seconds,
        peak_seconds=forecast.peak_seconds(scene.now_seconds),
        delay_bound_seconds=forecast.delay_bound_seconds,
        delay_bound_checks=forecast.checks,
        delay_bound_violations=forecast.violations,
        predicted_ratio=forecast.predicted_ratio,
        tail_ratio=group.tail_ratio,
    )
