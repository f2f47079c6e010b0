# SPDX-License-Identifier: MIT
"""What is to be concluded from the pictures: sentences for somebody who sees them first."""

from __future__ import annotations

import math
from collections.abc import Iterator

from resonance.cli.spectrum.view import View
from resonance.cli.spectrum.wheel import Placement, Wheel
from resonance.cli.units import duration_text, path_text

__all__ = ["beat_findings", "placement_title", "wheel_findings"]

_IN_STEP, _CLEAR = 0.65, 0.35
"""The band of the order parameter: above, alignment is suspected; below, it is gone."""
_WORTH_RATIO = 0.75
"""A plan is carried out if the pile-up falls to this or less."""
_LEFT_ALONE = {"shadow", "rollback", "lockout"}
"""States of the guard in which no plan is carried out, whatever the mode."""
_PERIODIC_EXCESS = 0.15
_MOST_MISSING_RATIO = 0.01
_PATH_COLUMNS = 40
_TITLES = {"natural": "without our holds", "now": "now", "planned": "as planned"}


def placement_title(name: str) -> str:
    """Return what a placement is called below its wheel."""
    return _TITLES[name]


def beat_findings(view: View) -> Iterator[str]:
    """Say whether the queue has a rhythm, and whose it is."""
    if view.picture is None:
        yield _nothing_to_hear(view)
        return
    if view.missing_ratio > _MOST_MISSING_RATIO:
        yield f"{view.missing_ratio:.0%} of the time was not recorded and is left blank."
    yield _beat(view)
    for neighbour in view.neighbours:
        if neighbour.is_named:
            yield (
                f"The others queue {duration_text(neighbour.lag_seconds)} after "
                f"{path_text(neighbour.cgroup, _PATH_COLUMNS)} does; "
                f"coherence {neighbour.score:.2f}."
            )


def _nothing_to_hear(view: View) -> str:
    if not view.duration_seconds:
        return "There are no time bins: the daemon runs without BPF, or no cgroup matches."
    if math.isnan(view.waiting):
        return "No bin could be read; the daemon has just started, or is too slow."
    if not view.waiting:
        return "No task waited for a CPU: there is no queue to hear a rhythm in."
    return "Too short to hear a rhythm in; ask again in a few seconds."


def _beat(view: View) -> str:
    beat = view.beat
    if beat is None or math.isnan(beat.entropy_excess):
        return "Too little was recorded to tell a rhythm from noise."
    excess = max(beat.entropy_excess, 0.0)
    measured = f"{math.floor(100.0 * excess)}% less random than noise"
    enough = f"from {_PERIODIC_EXCESS:.0%} it counts"
    if beat.is_confirmed:
        return (
            f"A rhythm every {duration_text(beat.period_seconds)} "
            f"({1.0 / beat.period_seconds:.3g} Hz): {measured}; {enough}."
        )
    if excess < _PERIODIC_EXCESS or not beat.reason:
        return f"No rhythm in the queue: {measured}; {enough}."
    return f"No rhythm in the queue, though it is {measured}: {beat.reason}."


def wheel_findings(view: View) -> Iterator[str]:
    """Say whether the sources run in step, and what moving them would bring."""
    wheel = view.wheel
    if wheel is None:
        yield (
            "No source is registered, so nothing can be placed: "
            "a program starts one with resonance.every(...)."
        )
        return
    now = wheel.placements["now"]
    yield _step(wheel, now)
    if gain := _gain(view, wheel, now):
        yield gain
    if left := _left_out(wheel):
        yield left


def _step(wheel: Wheel, now: Placement) -> str:
    if len(wheel.hands) == 1:
        return "A single source has nobody to be in step with."
    r = now.order_parameter
    said = "In step" if r > _IN_STEP else "Spread out" if r < _CLEAR else "Partly in step"
    scale = "0 is chance, less is more even" if r < 0.0 else "1 is in step, 0 is chance"
    measured = f"{said} (R {r:.2f}; {scale})"
    if math.isnan(now.pile_up_seconds):
        return f"{measured}; what work they pile up is not known yet."
    return f"{measured}: they pile up {duration_text(now.pile_up_seconds)} of CPU work."


def _gain(view: View, wheel: Wheel, now: Placement) -> str:
    planned, natural = wheel.placements.get("planned"), wheel.placements["natural"]
    if wheel.turns == ("natural", "now"):
        return _told("The holds in force leave", natural, now)
    if planned is None or math.isnan(now.pile_up_seconds):
        return ""
    if planned.pile_up_seconds > _WORTH_RATIO * now.pile_up_seconds:
        return _told("Moving them is not worth it: that would leave", now, planned)
    if view.mode in {"adaptive", "active"} and view.guard_state in _LEFT_ALONE:
        return _told(f"Left alone ({view.guard_reason}); the plan would leave", now, planned)
    if view.mode in {"adaptive", "active"}:
        return _told("They are being moved; the plan leaves", now, planned)
    return _told(f"Mode {view.mode or 'observe'} moves nothing; the plan would leave", now, planned)


def _told(what: str, one: Placement, other: Placement) -> str:
    if math.isnan(one.pile_up_seconds) or not one.pile_up_seconds:
        return ""
    ratio = other.pile_up_seconds / one.pile_up_seconds
    return (
        f"{what} {duration_text(other.pile_up_seconds)} of "
        f"{duration_text(one.pile_up_seconds)} (x{ratio:.2f})."
    )


def _left_out(wheel: Wheel) -> str:
    parts = [
        (wheel.others, "of another period"),
        (wheel.unknown, "of no phase yet"),
    ]
    told = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"Not on this wheel: {told}." if told else ""
