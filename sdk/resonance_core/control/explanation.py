# SPDX-License-Identifier: MIT
"""Why is a source where it is? In sentences, each with the numbers it rests on."""

from __future__ import annotations

import math
from typing import Final

from resonance_core.control.records import GroupState, SourceState

__all__ = ["group_numbers", "group_sentences", "source_numbers", "source_sentences"]

TOLERATED: Final = 0.01
"""Share of bursts beyond a bound that is fitted to measurements; *chosen*."""
_TURN: Final = 2.0 * math.pi
_LIVE: Final = frozenset({"adaptive", "active"})
_STATES: Final = {
    "shadow": "It is left alone",
    "acquire": "Its sources are on their way to the places of the plan",
    "active": "Its sources are in the places of the plan",
    "rollback": "Its sources are on their way back to their own phases",
    "lockout": "It was taken back, and is left alone until its workload changes",
}
_WITHHELD: Final = {
    **_STATES,
    "acquire": "Its sources would be on their way to the places of the plan",
    "active": "Its sources would be in the places of the plan",
}
_LEAST_SECONDS: Final = 1e-6
"""Below it a time is none for people, and what is left of rounding for us."""


def span(seconds: float) -> str:
    """Write a time for people, in the unit that leaves the fewest zeros.

    >>> span(0.0075), span(12.0), span(-1e-9)
    ('7.5 ms', '12 s', '0 ms')
    """
    if abs(seconds) < _LEAST_SECONDS:
        return "0 ms"
    if not math.isfinite(seconds):
        return "an unknown time" if math.isnan(seconds) else "an infinite time"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def source_sentences(source: SourceState, group: GroupState, mode: str) -> tuple[str, ...]:
    """Explain one source.

    Parameters
    ----------
    source : SourceState
    group : GroupState
        Of it.
    mode : str
        In force.

    Returns
    -------
    tuple of str
    """
    own = source.source
    what = "Nobody minds when it runs" if own.phase_free else "It is anchored to its own time"
    if own.importance == "critical":
        what = "It is critical"
    seen = f"{source.releases} releases were seen"
    found = [f"{own.name} runs every {span(own.period_seconds)}; {seen}. {what}."]
    if not math.isnan(source.phase_rad):
        found.append(
            f"It begins {span(_into(source))} into its period, "
            f"give or take {span(source.jitter_seconds)}, and works for "
            f"{span(source.work_seconds)}; releases without a period would look like that with "
            f"probability {source.rayleigh_p:.2g}."
        )
    can = "It takes part" if source.is_eligible else "It is not moved"
    found.append(f"{can}: {source.reason}.")
    found.append(_hold(source, mode))
    return (*found, *group_sentences(group, mode))


def _into(source: SourceState) -> float:
    """Return how far into its period a source begins; the end of it is its beginning."""
    period = source.source.period_seconds
    into = source.phase_rad / _TURN * period
    return 0.0 if period - into < _LEAST_SECONDS else into


def _hold(source: SourceState, mode: str) -> str:
    is_live = mode in _LIVE
    if source.offset_seconds <= 0.0:
        return "It is not held." if is_live else f"In mode {mode} it would not be held."
    verb = "is" if is_live else "would be"
    return (
        f"It {verb} held {span(source.offset_seconds)} after its own release; all its holds "
        f"together cost {span(source.held_seconds)} of latency so far."
    )


def group_sentences(group: GroupState, mode: str) -> tuple[str, ...]:
    """Explain a group of sources with a common period, in a mode."""
    state = (_STATES if mode in _LIVE else _WITHHELD)[group.state]
    common = f"{group.sources} sources with a common period of {span(group.period_seconds)}"
    found = [
        f"Its group has {common}; {group.eligible} of them may be moved.",
        f"{state}: {group.reason}.",
    ]
    if not math.isnan(group.discrepancy_seconds):
        found.append(
            f"The work lies {span(group.discrepancy_seconds)} per CPU off an even flow now, "
            f"{span(group.natural_discrepancy_seconds)} without holds"
            + _planned(group)
            + f"; the order parameter, which arms and does not decide, is "
            f"{group.order_parameter:.2f}."
        )
    if not math.isnan(group.predicted_ratio):
        found.append(
            f"Predicted: under the plan others' p99 wait is "
            f"{group.predicted_ratio:.2f} times as long."
        )
    if not math.isnan(group.tail_ratio):
        found.append(
            "Measured: others exceed the p95 of shadow "
            f"{group.tail_ratio:.2f} times as often as in shadow."
        )
    if math.isinf(group.delay_bound_seconds):
        found.append("More work arrives than is served, so no burst has a bound.")
    elif not math.isnan(group.delay_bound_seconds):
        found.append(
            f"A burst takes {span(group.delay_bound_seconds)} at most by its curves; "
            f"{group.delay_bound_violations} of {group.delay_bound_checks} took longer"
            + (", so it does not hold here." if _is_violated(group) else ".")
        )
    return tuple(found)


def _is_violated(group: GroupState) -> bool:
    return group.delay_bound_violations > TOLERATED * group.delay_bound_checks


def _planned(group: GroupState) -> str:
    if math.isnan(group.planned_discrepancy_seconds):
        return ""
    return f", {span(group.planned_discrepancy_seconds)} as planned"


def source_numbers(source: SourceState) -> dict[str, float]:
    """Return the numbers behind the sentences of a source, by name with the unit as suffix."""
    return {
        "period_seconds": source.source.period_seconds,
        "phase_rad": source.phase_rad,
        "target_phase_rad": source.target_phase_rad,
        "jitter_seconds": source.jitter_seconds,
        "work_seconds": source.work_seconds,
        "releases": float(source.releases),
        "rayleigh_p": source.rayleigh_p,
        "offset_seconds": source.offset_seconds,
        "held_seconds": source.held_seconds,
    }


def group_numbers(group: GroupState) -> dict[str, float]:
    """Return the numbers behind the sentences of a group."""
    return {
        "group_period_seconds": group.period_seconds,
        "group_sources": float(group.sources),
        "group_eligible": float(group.eligible),
        "order_parameter": group.order_parameter,
        "effective_sources": group.effective_sources,
        "coupling": group.coupling,
        "discrepancy_seconds": group.discrepancy_seconds,
        "natural_discrepancy_seconds": group.natural_discrepancy_seconds,
        "planned_discrepancy_seconds": group.planned_discrepancy_seconds,
        "predicted_ratio": group.predicted_ratio,
        "tail_ratio": group.tail_ratio,
        "delay_bound_seconds": group.delay_bound_seconds,
        "delay_bound_checks": float(group.delay_bound_checks),
        "delay_bound_violations": float(group.delay_bound_violations),
    }
