# SPDX-License-Identifier: MIT
"""Which metrics tell what is periodic on this node, and what is done about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from resonanced.model import Rhythm, Snapshot

__all__ = ["rhythm_families"]

_GAUGES: Final = {
    "resonance_dominant_period_seconds": (
        "dominant_period_seconds",
        "Dominant period of the node's run queue; 0 where it has none.",
    ),
    "resonance_entropy_excess_ratio": (
        "entropy_excess",
        "How much less random than white noise the node's run queue is, 0-1.",
    ),
    "resonance_order_parameter_ratio": (
        "order_parameter",
        "Alignment of the sources, de-biased, weighted by work: 1 in step, 0 as chance has it.",
    ),
    "resonance_coupling": (
        "coupling",
        "Share of a phase error that is removed per cycle; 0 while nothing is moved.",
    ),
    "resonance_predicted_tail_ratio": (
        "predicted_ratio",
        "p99 of the others' waits under the plan by that without holds; 1 where not known.",
    ),
    "resonance_delay_bound_seconds": (
        "delay_bound_seconds",
        "Longest time a burst takes by its fitted curves; 0 where not known.",
    ),
}
_UNKNOWN: Final = {"predicted_ratio": 1.0}
"""What a gauge shows while nothing is known; 0 where it is not here."""
_SOURCES: Final = ("registered", "eligible", "held")
_COMMANDS: Final = ("grant", "slew", "home", "shadowed")
_TRIPS: Final = (
    "anti_freeze",
    "anti_herd",
    "jitter_fallback",
    "kill_switch",
    "overload",
    "rollback",
)


def rhythm_families(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the families of the rhythm; at zero where nothing is periodic or nobody looks."""
    rhythm = snapshot.rhythm or Rhythm()
    yield _info(rhythm)
    for name, (field, help_text) in _GAUGES.items():
        value: float = getattr(rhythm, field)
        shown = _UNKNOWN.get(field, 0.0) if math.isnan(value) else value
        yield GaugeMetricFamily(name, help_text, value=shown)
    yield _discrepancy(rhythm)
    yield _neighbours(rhythm)
    yield _rows(
        GaugeMetricFamily(
            "resonance_phase_sources",
            "Periodic sources: registered, those that may be moved, those that are held now.",
            labels=("state",),
        ),
        _all(_SOURCES, rhythm.sources),
    )
    yield _rows(
        CounterMetricFamily(
            "resonance_phase_commands",
            "Commands to sources by kind; shadowed ones were withheld because of the mode.",
            labels=("kind",),
        ),
        _all(_COMMANDS, rhythm.commands),
    )
    yield _rows(
        CounterMetricFamily(
            "resonance_phase_trips", "Times a guard of phase control acted.", labels=("guard",)
        ),
        _all(_TRIPS, rhythm.trips),
    )
    for name, value, help_text in (
        ("delay_bound_checks", rhythm.delay_bound_checks, "Bursts compared with their bound."),
        ("delay_bound_violations", rhythm.delay_bound_violations, "Bursts beyond their bound."),
        ("missed_bins", rhythm.missed_bins, "Time bins of 1 ms that nobody read in time."),
    ):
        yield CounterMetricFamily(f"resonance_{name}", help_text, value=value)


def _info(rhythm: Rhythm) -> Metric:
    return InfoMetricFamily(
        "resonance_phase",
        "The mode of phase control in force, and the state of its guard.",
        value={"mode": rhythm.mode, "state": rhythm.guard_state or "none"},
    )


def _discrepancy(rhythm: Rhythm) -> Metric:
    rows = (("now", rhythm.discrepancy_seconds), ("planned", rhythm.planned_discrepancy_seconds))
    return _rows(
        GaugeMetricFamily(
            "resonance_discrepancy_seconds",
            "Root mean square of the sources' work against an even flow, per core.",
            labels=("kind",),
        ),
        ((kind, 0.0 if math.isnan(value) else value) for kind, value in rows),
    )


def _neighbours(rhythm: Rhythm) -> Metric:
    return _rows(
        GaugeMetricFamily(
            "resonance_neighbour_coherence_ratio",
            "How closely the queue of the others follows the slot's rhythm, 0-1.",
            labels=("slot",),
        ),
        ((str(each.slot.index), each.score) for each in rhythm.neighbours),
    )


def _all(keys: Iterable[str], counts: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Yield every key, those that never happened too, and whatever else was counted."""
    yield from ((key, counts.get(key, 0)) for key in keys)
    yield from ((key, count) for key, count in counts.items() if key not in keys)


def _rows(
    family: GaugeMetricFamily | CounterMetricFamily, rows: Iterable[tuple[str, float]]
) -> Metric:
    for label, value in rows:
        family.add_metric((label,), value)
    return family
