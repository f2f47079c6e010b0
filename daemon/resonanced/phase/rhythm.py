# SPDX-License-Identifier: MIT
"""What is told of the node's rhythm: what was heard, and what the controller came to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from resonance_core.control.records import Decision, GroupState
from resonanced.model import Neighbour, Rhythm

__all__ = ["Heard", "rhythm_of"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the kernel's bins say.

    Attributes
    ----------
    period_seconds, entropy_excess : float
        Of the node's queue; NaN where it has no period, or too little happened to tell.
    neighbours : tuple of Neighbour
        Most coherent first.
    missed_bins : int
        1 ms bins nobody read in time.
    """

    period_seconds: float = math.nan
    entropy_excess: float = math.nan
    neighbours: tuple[Neighbour, ...] = ()
    missed_bins: int = 0


def rhythm_of(
    heard: Heard,
    decision: Decision,
    configured_mode: str,
    sources: Mapping[str, int],
    commands: Mapping[str, int],
) -> Rhythm:
    """Return the record that goes to telemetry and hints.

    Parameters
    ----------
    heard : Heard
    decision : Decision
        Of the last tick.
    configured_mode : str
    sources, commands : mapping of str to int
        As in `Rhythm`.
    """
    rhythm = Rhythm(
        mode=decision.mode,
        configured_mode=configured_mode,
        dominant_period_seconds=heard.period_seconds,
        entropy_excess=heard.entropy_excess,
        neighbours=heard.neighbours,
        sources={**sources},
        trips={**decision.trips},
        commands={**commands},
        missed_bins=heard.missed_bins,
    )
    return _with_group(rhythm, decision.groups[0]) if decision.groups else rhythm


def _with_group(rhythm: Rhythm, group: GroupState) -> Rhythm:
    return replace(
        rhythm,
        guard_state=group.state,
        reason=group.reason,
        order_parameter=group.order_parameter,
        mean_phase_rad=group.mean_phase_rad,
        coupling=group.coupling,
        discrepancy_seconds=group.discrepancy_seconds,
        planned_discrepancy_seconds=group.planned_discrepancy_seconds,
        predicted_ratio=group.predicted_ratio,
        predicted_peak_ns=_ns(group.peak_seconds),
        delay_bound_seconds=group.delay_bound_seconds,
        delay_bound_checks=group.delay_bound_checks,
        delay_bound_violations=group.delay_bound_violations,
        profile_seconds=tuple(group.profile_seconds.tolist()),
        profile_origin_ns=_ns(group.origin_seconds),
        profile_period_seconds=group.period_seconds,
    )


def _ns(seconds: float) -> int:
    """Return a time in ns; 0 where it is not known, or before the boot."""
    return max(round(seconds * 1e9), 0) if math.isfinite(seconds) else 0
