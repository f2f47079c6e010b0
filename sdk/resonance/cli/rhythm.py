# SPDX-License-Identifier: MIT
"""What does one answer of the daemon say of rhythm, and how is it told in three lines?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from resonance.cli.units import count_text, duration_text, path_text
from resonance_api.hints.v1 import hints_pb2

__all__ = ["LEAST_SCORE", "Neighbour", "Rhythm", "rhythm_from_wire", "rhythm_lines"]

_NEIGHBOURS = 2
LEAST_SCORE = 0.1
"""*Chosen*: what a cgroup must be ahead of the next to be named; less is what chance leaves."""
_LABEL_COLUMNS = 9
_PATH_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A cgroup whose rhythm the queue of the others follows."""

    cgroup: str
    score: float
    period_seconds: float
    lag_seconds: float
    is_named: bool


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What is periodic on the node, and what is done about it; ``None`` is "not known".

    `predicted_peak_seconds` counts from the reading. The rest is named as on the wire.
    """

    mode: str
    guard_state: str
    reason: str
    dominant_period_seconds: float | None
    entropy_excess: float | None
    order_parameter: float | None
    mean_phase_rad: float | None
    coupling: float | None
    discrepancy_seconds: float | None
    planned_discrepancy_seconds: float | None
    predicted_ratio: float | None
    predicted_peak_seconds: float | None
    delay_bound_seconds: float | None
    delay_bound_checks: int
    delay_bound_violations: int
    sources: int
    eligible_sources: int
    held_sources: int
    neighbours: tuple[Neighbour, ...]


def rhythm_from_wire(state: hints_pb2.State) -> Rhythm | None:
    """Return the rhythm of a state, if it has one."""
    if not state.HasField("rhythm"):
        return None
    message = state.rhythm

    def known(name: str) -> float | None:
        value: float = getattr(message, name)
        return value if message.HasField(name) and not math.isnan(value) else None  # type: ignore[arg-type]  # one of its fields

    peak_ns = known("predicted_peak_ns")
    return Rhythm(
        mode=message.mode,
        guard_state=message.guard_state,
        reason=message.reason,
        dominant_period_seconds=known("dominant_period_seconds"),
        entropy_excess=known("entropy_excess"),
        order_parameter=known("order_parameter"),
        mean_phase_rad=known("mean_phase_rad"),
        coupling=known("coupling"),
        discrepancy_seconds=known("discrepancy_seconds"),
        planned_discrepancy_seconds=known("planned_discrepancy_seconds"),
        predicted_ratio=known("predicted_ratio"),
        predicted_peak_seconds=(peak_ns - state.monotonic_ns) / 1e9 if peak_ns else None,
        delay_bound_seconds=known("delay_bound_seconds"),
        delay_bound_checks=message.delay_bound_checks,
        delay_bound_violations=message.delay_bound_violations,
        sources=message.sources,
        eligible_sources=message.eligible_sources,
        held_sources=message.held_sources,
        neighbours=tuple(
            Neighbour(
                cgroup=each.cgroup,
                score=each.score,
                period_seconds=each.period_seconds,
                lag_seconds=each.lag_seconds,
                is_named=each.is_named,
            )
            for each in message.neighbours
        ),
    )


def rhythm_lines(rhythm: Rhythm, columns: int) -> Iterator[str]:
    """Say what beats, who beats with it, and what that piles up; only what there is."""
    yield from _packed("rhythm", [*_beat(rhythm), *_neighbours(rhythm)], columns)
    if rhythm.sources:
        yield from _packed("sources", [*_sources(rhythm)], columns)
        yield from _packed("pile-up", [*_pile_up(rhythm)], columns)


def _packed(label: str, parts: list[str], columns: int) -> Iterator[str]:
    """Yield as few lines as hold the parts whole."""
    line = f"{label:{_LABEL_COLUMNS}}{parts[0]}"
    for part in filter(None, parts[1:]):
        if len(line) + 2 + len(part) > columns:
            yield line
            line = f"{'':{_LABEL_COLUMNS}}{part}"
        else:
            line = f"{line}  {part}"
    yield line


def _beat(rhythm: Rhythm) -> Iterator[str]:
    period = rhythm.dominant_period_seconds
    yield "none known" if period is None else f"every {duration_text(period)}"
    if rhythm.entropy_excess is not None:
        yield f"{max(rhythm.entropy_excess, 0.0):.0%} less random than noise"


def _neighbours(rhythm: Rhythm) -> Iterator[str]:
    """Tell who is coherent with the queue of the others, and who stands out."""
    for each in rhythm.neighbours[:_NEIGHBOURS]:
        if each.score < LEAST_SCORE and not each.is_named:
            continue
        what = "noisy neighbour" if each.is_named else "coherent"
        yield f"{what} {path_text(each.cgroup, _PATH_COLUMNS)} {each.score:.2f}"


def _sources(rhythm: Rhythm) -> Iterator[str]:
    yield f"{rhythm.sources}, {rhythm.eligible_sources} may move, {rhythm.held_sources} held"
    if rhythm.order_parameter is not None:
        yield f"R {rhythm.order_parameter:.2f}"
    if rhythm.mean_phase_rad is not None:
        yield f"at {round(math.degrees(rhythm.mean_phase_rad)) % 360} deg"
    if rhythm.coupling is not None:
        yield f"K {rhythm.coupling:.2f}"
    is_plain = rhythm.guard_state in {"", rhythm.mode}
    yield rhythm.mode if is_plain else f"{rhythm.mode}, {rhythm.guard_state}"
    yield f"({rhythm.reason})" if rhythm.reason else ""


def _pile_up(rhythm: Rhythm) -> Iterator[str]:
    yield f"{duration_text(rhythm.discrepancy_seconds)} per CPU"
    if rhythm.planned_discrepancy_seconds is not None:
        yield f"plan {duration_text(rhythm.planned_discrepancy_seconds)}"
    if rhythm.predicted_ratio is not None:
        yield f"p99 of others x{rhythm.predicted_ratio:.2f}"
    if rhythm.predicted_peak_seconds is not None and rhythm.predicted_peak_seconds > 0.0:
        yield f"peak in {duration_text(rhythm.predicted_peak_seconds)}"
    if rhythm.delay_bound_seconds is not None:
        yield (
            f"bound {duration_text(rhythm.delay_bound_seconds)}, exceeded "
            f"{count_text(rhythm.delay_bound_violations)} of "
            f"{count_text(rhythm.delay_bound_checks)}"
        )
