# SPDX-License-Identifier: MIT
"""Where in their common period do the sources run: by themselves, now, and as planned.

One turn of the wheel is the period of the group that does the most work. A source that runs
p times per turn has p places on it. What counts is the *pile-up*: the root mean square of how
far the work that has come in is ahead of its mean rate (the workload discrepancy), in seconds
of CPU. The order parameter says "in step" too, but two half-turns apart fool it.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resonance_api.phase.v1.phase_pb2 import SourcePhase
from resonance_core.calculus.phasor import debiased_r, discrepancy, workload_profile

__all__ = ["PROFILE_BINS", "Hand", "Mark", "Placement", "Wheel", "marks", "wheel_of"]

_MOST_MULTIPLE = 16
_SAME_PERIOD_RATIO = 1e-3
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1e-4, 1e9
"""As `resonance.every` has them: what is told of other periods is no turn to draw."""
PROFILE_BINS = 64
_DIGITS = 6
"""Of a turn: what rounding leaves just before the top is at the top."""


@dataclass(frozen=True, slots=True)
class Hand:
    """One source on the wheel; phases in turns of the wheel, NaN where not known."""

    letter: str
    name: str
    pid: int
    period_seconds: float
    multiple: int
    natural: float
    now: float
    planned: float
    work_seconds: float
    is_eligible: bool

    def places(self, placement: str) -> tuple[float, ...]:
        """Return where it runs under a placement, in turns; empty where not known."""
        turn: float = getattr(self, placement)
        if math.isnan(turn):
            return ()
        places = (turn + at / self.multiple for at in range(self.multiple))
        return tuple(round(place, _DIGITS) % 1.0 for place in places)


@dataclass(frozen=True, slots=True)
class Placement:
    """All sources together under one placement.

    Attributes
    ----------
    name : {"natural", "now", "planned"}
    order_parameter : float
        De-biased, weighted by work; NaN for a single source.
    pile_up_seconds : float
    profile_seconds : tuple of float
        Work ahead of its mean rate, over one turn from 0.
    """

    name: str
    order_parameter: float
    pile_up_seconds: float
    profile_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Wheel:
    """The group with the most work.

    Attributes
    ----------
    period_seconds : float
        Of one turn.
    hands : tuple of Hand
        Most work first.
    placements : dict of str to Placement
        ``natural`` and ``now``; ``planned`` where there is a plan.
    others : int
        Sources whose period does not fit this turn.
    unknown : int
        Sources whose phase is not known yet.
    """

    period_seconds: float
    hands: tuple[Hand, ...]
    placements: dict[str, Placement]
    others: int
    unknown: int

    @property
    def turns(self) -> tuple[str, ...]:
        """The two placements that differ most usefully: before and after, or only now."""
        if "planned" in self.placements and self._differs("now", "planned"):
            return ("now", "planned")
        return ("natural", "now") if self._differs("natural", "now") else ("now",)

    def _differs(self, one: str, other: str) -> bool:
        return any(
            abs(math.remainder(getattr(hand, one) - getattr(hand, other), 1.0)) > 0.01
            for hand in self.hands
        )


def wheel_of(sources: Iterable[SourcePhase]) -> Wheel | None:
    """Return the wheel of the sources; None where no phase is known."""
    everyone = list(sources)
    known = [
        each
        for each in everyone
        if math.isfinite(each.phase_rad)
        and _SHORTEST_SECONDS <= each.period_seconds <= _LONGEST_SECONDS
    ]
    if not known:
        return None
    period_seconds, group = max(
        ((each.period_seconds, _fitting(each.period_seconds, known)) for each in known),
        key=lambda found: (sum(_rate(member) for member, _ in found[1]), found[0]),
    )
    group.sort(key=lambda member: (-_rate(member[0]), member[0].name, member[0].pid))
    letters = string.ascii_uppercase + string.ascii_lowercase
    hands = tuple(
        _hand(each, multiple, letters[at] if at < len(letters) else "*")
        for at, (each, multiple) in enumerate(group)
    )
    has_plan = any(not math.isnan(hand.planned) for hand in hands)
    names = ("natural", "now", "planned") if has_plan else ("natural", "now")
    return Wheel(
        period_seconds=period_seconds,
        hands=hands,
        placements={name: _placement(name, hands) for name in names},
        others=len(known) - len(group),
        unknown=len(everyone) - len(known),
    )


def _fitting(turn_seconds: float, sources: Sequence[SourcePhase]) -> list[tuple[SourcePhase, int]]:
    """Return the sources that run a whole number of times per turn, and how many times."""
    found: list[tuple[SourcePhase, int]] = []
    for each in sources:
        times = turn_seconds / each.period_seconds
        whole = round(times)
        if 1 <= whole <= _MOST_MULTIPLE and abs(times - whole) <= _SAME_PERIOD_RATIO * whole:
            found.append((each, whole))
    return found


def _rate(source: SourcePhase) -> float:
    work = 0.0 if math.isnan(source.work_seconds) else source.work_seconds
    return work / source.period_seconds


def _hand(source: SourcePhase, multiple: int, letter: str) -> Hand:
    turn = math.tau * multiple
    return Hand(
        letter=letter,
        name=source.name,
        pid=source.pid,
        period_seconds=source.period_seconds,
        multiple=multiple,
        natural=source.natural_phase_rad / turn,
        now=source.phase_rad / turn,
        planned=source.planned_phase_rad / turn,
        work_seconds=0.0 if math.isnan(source.work_seconds) else source.work_seconds,
        is_eligible=source.is_eligible,
    )


def _placement(name: str, hands: Sequence[Hand]) -> Placement:
    """Add up; a source without a plan stays where it is."""
    places = [
        (place, hand.work_seconds)
        for hand in hands
        for place in hand.places(name) or hand.places("now")
    ]
    phases = [math.tau * place for place, _ in places]
    works = [work for _, work in places]
    order_parameter = math.nan
    if len(hands) > 1:
        order_parameter = float(debiased_r(phases, works if sum(works) > 0.0 else None))
    if sum(works) <= 0.0:
        return Placement(name, order_parameter, math.nan, ())
    return Placement(
        name=name,
        order_parameter=order_parameter,
        pile_up_seconds=math.sqrt(discrepancy(phases, works)),
        profile_seconds=tuple(workload_profile(phases, works, bins=PROFILE_BINS).tolist()),
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a hand is drawn: a letter, its turn, and how far from the middle (1 is the ring)."""

    letter: str
    turn: float
    radius: float

    def at(self, ring: float) -> tuple[float, float]:
        """Return x to the right and y downwards, of a ring of this radius."""
        angle, radius = math.tau * self.turn, self.radius * ring
        return radius * math.sin(angle), -radius * math.cos(angle)


def marks(hands: Sequence[Hand], placement: str, width: float) -> list[Mark]:
    """Place discs of this width (of the ring's radius) so that none covers another.

    What shares a place moves towards the middle; what finds no room there is a plus.
    """
    drawn: list[Mark] = []
    for hand in hands:
        for turn in hand.places(placement) or hand.places("now"):
            candidates = (
                Mark(hand.letter, turn, 1.0 - step * width / 4) for step in range(int(4 / width))
            )
            free = next((each for each in candidates if _is_free(each, drawn, width)), None)
            drawn.append(free or Mark("+", turn, 0.0))
    return drawn


def _is_free(mark: Mark, drawn: Iterable[Mark], width: float) -> bool:
    return all(math.dist(mark.at(1.0), other.at(1.0)) >= width for other in drawn)
