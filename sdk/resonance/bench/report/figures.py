# SPDX-License-Identifier: MIT
"""Which pictures has a scene, and what does each of them say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from resonance.bench.comparing import Comparison
from resonance.bench.report import forest, lines, timeline
from resonance.bench.report.canvas import Draw
from resonance.bench.report.series import Curve, believed, curves, looks, spans

__all__ = ["Picture", "pictures_of"]

_MOST_TRACKS: Final = 4
_STEADY: Final = (
    "p50, p99 and the slowest of each second, warm-up included, repetitions one after another "
    "without the pauses between them"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing and its words.

    Attributes
    ----------
    name : str
        Unlike that of any other in the scene.
    height_inches : float
    draw : callable
    title : str
    caption : str
    """

    name: str
    height_inches: float
    draw: Draw
    title: str
    caption: str


def pictures_of(comparison: Comparison, named: Sequence[str] = ()) -> list[Picture]:
    """Return the pictures of a scene; none where there is nothing to be believed.

    Parameters
    ----------
    comparison : Comparison
    named : sequence of str
        Arms to be lifted out, besides the best.

    Returns
    -------
    list of Picture
    """
    kept = believed(comparison)
    return [
        *_forest(comparison),
        *_lines(comparison, _curves(comparison, named, kept)),
        *_timeline(comparison, named, kept),
    ]


def _forest(comparison: Comparison) -> list[Picture]:
    height = forest.forest_height_inches(comparison)
    if not height:
        return []
    is_known = all(row.against["p99"].is_known for row in comparison.rows if "p99" in row.against)
    span = "its 95 % interval" if is_known else "the least and the greatest of them"
    floor = ""
    if "p99" in comparison.noise:
        floor = " The grey band is the placebo's: what no change at all looks like."
    return [
        Picture(
            "ratios",
            height,
            partial(forest.draw_forest, comparison),
            "How much of the baseline's p99 is left",
            f"Median of the repetitions' ratios and {span}; filled where an interval leaves out "
            f"1.{floor}",
        )
    ]


def _curves(comparison: Comparison, named: Sequence[str], kept: set[int]) -> list[Curve]:
    runs, look_of = comparison.scene.runs, looks(comparison, named)
    found = curves(runs, look_of, kept)
    if len(runs) > 1:
        return found
    service = curves(runs, look_of, kept, "service")
    return [*(replace(each, name="from sending", look="first") for each in service), *found]


def _lines(comparison: Comparison, found: Sequence[Curve]) -> list[Picture]:
    if not found:
        return []
    is_alone = len(comparison.scene.runs) == 1
    also = " The other line begins when a call was sent, not when it was due." if is_alone else ""
    return [
        Picture(
            "percentiles",
            lines.HEIGHT_INCHES,
            partial(lines.draw_percentiles, found),
            "Response time by percentile",
            "Each percentile is the median of the repetitions' own; a line ends where fewer than "
            f"three answers of a repetition are beyond.{also}",
        ),
        Picture(
            "beyond",
            lines.survivors_height_inches(found),
            partial(lines.draw_survivors, found),
            "How many take longer",
            "The share of answers that took longer than so much. Where it falls like a straight "
            "line, the tail is heavy.",
        ),
    ]


def _timeline(comparison: Comparison, named: Sequence[str], kept: set[int]) -> list[Picture]:
    order = ("ink", "first", "second", "third", "faint", "other")
    look_of = looks(comparison, named)
    shown = sorted(look_of, key=lambda name: order.index(look_of[name]))[:_MOST_TRACKS]
    tracks = [
        timeline.Track(name, look_of[name], spans(comparison.scene.run(name), kept))
        for name in shown
    ]
    height = timeline.timeline_height_inches(tracks)
    if not height:
        return []
    others = len(look_of) - len(shown)
    left_out = f"; {others} more arms are in the result only" if others else ""
    is_withheld = any(not span.is_believed for track in tracks for span in track.spans)
    withheld = " Red: withheld, because it is not to be believed." if is_withheld else ""
    return [
        Picture(
            "timeline",
            height,
            partial(timeline.draw_timeline, tracks),
            "Was it steady?",
            f"{_STEADY}{left_out}.{withheld}",
        )
    ]
