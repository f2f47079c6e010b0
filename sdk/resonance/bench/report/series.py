# SPDX-License-Identifier: MIT
"""Which lines are to be drawn of a scene, and which of its arms are lifted out?

A line of percentiles is, at each share, the median over repetitions of what each of them had;
it ends where less than three answers of a repetition lie beyond.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Literal

from resonance.bench.comparing import Comparison, Effect, Row
from resonance.bench.records import Run, Second, Slot

__all__ = [
    "Curve",
    "Look",
    "Span",
    "believed",
    "curves",
    "is_beyond_chance",
    "looks",
    "spans",
]

Look = Literal["ink", "faint", "first", "second", "third", "other"]
"""The name of a colour of `Palette`."""

_USUAL: Final[dict[str, Look]] = {"baseline": "ink", "placebo": "faint", "arm": "other"}
_LIFTED: Final[tuple[Look, ...]] = ("first", "second", "third")
_STEPS_PER_DECADE: Final = 12
_LEAST_BEYOND: Final = 3
"""As p99.9 is told only of 3,000 answers."""
_MOST_STEPS: Final = 6 * _STEPS_PER_DECADE
_ORDER: Final[tuple[Look, ...]] = ("other", "faint", "third", "second", "first", "ink")
_NEARLY: Final = 1.0 - 1e-9
_TOLERANCE: Final = 1e-9
"""Of a share in floating point, as `Histogram.quantile` has it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What an arm's response times are like.

    Attributes
    ----------
    name : str
    look : str
    beyond : tuple of float
        Shares of the answers, from 1 down.
    seconds : tuple of float
        What so many took longer than.
    """

    name: str
    look: Look
    beyond: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The timeline of one repetition.

    Attributes
    ----------
    start_seconds : float
        After the beginning of the first one, pauses left out.
    end_seconds : float
    is_believed : bool
    timeline : sequence of Second
        Its times are those of the repetition.
    """

    start_seconds: float
    end_seconds: float
    is_believed: bool
    timeline: Sequence[Second]


def looks(comparison: Comparison, named: Sequence[str] = ()) -> dict[str, Look]:
    """Return how each arm is drawn: three are lifted out, those that were named, then the best.

    Parameters
    ----------
    comparison : Comparison
    named : sequence of str
        Arms that shall be lifted out.

    Returns
    -------
    dict of str to str
        In the order of the rows.
    """
    arms = [row for row in comparison.rows if row.role == "arm"]
    ahead = sorted(arms, key=lambda row: (row.name not in named, _p99_ratio(row)))
    lifted: dict[str, Look] = {}
    for row, look in zip(ahead, _LIFTED, strict=False):
        lifted[row.name] = look
    return {row.name: lifted.get(row.name, _USUAL[row.role]) for row in comparison.rows}


def _p99_ratio(row: Row) -> float:
    effect = row.against.get("p99")
    return effect.estimate.ratio if effect else float("inf")


def is_beyond_chance(comparison: Comparison, quantile: str, effect: Effect) -> bool:
    """Tell whether an effect is to be marked.

    Parameters
    ----------
    comparison : Comparison
    quantile : str
    effect : Effect
        Of one of its rows.

    Returns
    -------
    bool
        There are repetitions enough, the interval excludes 1, and that of the placebo does not.
    """
    is_clear = effect.is_known and effect.estimate.excludes(1.0)
    return is_clear and quantile not in comparison.noisy


def believed(comparison: Comparison) -> set[int]:
    """Return the repetitions that count, of which alone percentiles are told.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    set of int
    """
    return {number for row in comparison.rows for of in row.values.values() for number in of}


def curves(
    runs: Sequence[Run],
    look_of: dict[str, Look],
    kept: set[int],
    what: Literal["response", "service"] = "response",
) -> list[Curve]:
    """Return the lines of percentiles of all arms.

    Parameters
    ----------
    runs : sequence of Run
    look_of : dict of str to str
        By `looks`.
    kept : set of int
        The repetitions that count.
    what : {"response", "service"}

    Returns
    -------
    list of Curve
        Of arms with answers; those that are lifted out last, so that they are drawn on top.
    """
    found: list[Curve] = []
    for run in runs:
        slots = [slot for slot in run.slots if slot.repetition in kept]
        beyond = _grid(max(map(_least_beyond, slots), default=1.0))
        if len(beyond) > 1:
            seconds = tuple(_medians(slots, [1.0 - each for each in beyond], what))
            found.append(Curve(run.name, look_of[run.name], beyond, seconds))
    return sorted(found, key=lambda curve: _ORDER.index(curve.look))


def _least_beyond(slot: Slot) -> float:
    """Return the share up to which a slot knows its slowest; those without an end are slower."""
    answers = slot.answers()
    if not answers or not slot.planned:
        return 1.0
    return max(_LEAST_BEYOND / answers, 1.0 - answers / slot.planned)


def _grid(least: float) -> tuple[float, ...]:
    """Return shares from 1 down to the least, evenly on a logarithmic axis."""
    steps = (10.0 ** (-step / _STEPS_PER_DECADE) for step in range(_MOST_STEPS))
    return tuple(takewhile(lambda beyond: beyond > least * _NEARLY, steps))


def _medians(
    slots: Sequence[Slot], shares: Sequence[float], what: Literal["response", "service"]
) -> Iterator[float]:
    of_each = [[slot.quantile(share, what) or 0.0 for share in shares] for slot in slots]
    return (statistics.median(values) for values in zip(*of_each, strict=True))


def spans(run: Run, kept: set[int]) -> list[Span]:
    """Return the timelines of an arm, one repetition after the other.

    Parameters
    ----------
    run : Run
    kept : set of int
        The repetitions that count.

    Returns
    -------
    list of Span
    """
    found: list[Span] = []
    at = 0.0
    for slot in sorted(run.slots, key=lambda slot: slot.repetition):
        ends = (second.at_seconds + second.seconds for second in slot.timeline)
        end = at + max(ends, default=slot.seconds)
        found.append(Span(at, end, slot.repetition in kept, slot.timeline))
        at = end
    return found
