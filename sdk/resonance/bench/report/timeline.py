# SPDX-License-Identifier: MIT
"""Was it steady? p50, p99 and the slowest of each second, and the rate that was achieved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from math import nan
from typing import Final, NamedTuple

from resonance.bench.records import Second
from resonance.bench.report.canvas import POINTS, WIDTH_INCHES, Axes, Canvas
from resonance.bench.report.labels import apart, decades, duration_text, shortened
from resonance.bench.report.series import Look, Span

__all__ = ["Track", "draw_timeline", "timeline_height_inches"]

_ROW_INCHES: Final = 1.05
_RATE_INCHES: Final = 0.75
_GAP_INCHES: Final = 0.2
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.54, 0.36, 0.2, 0.42
_LETTERS: Final = 40
_LABEL_INCHES: Final = 0.13
_WIDE_RATIO: Final = 0.25
"""*Chosen*: of the axis; a word fits in."""


class Track(NamedTuple):
    """The timelines of an arm."""

    name: str
    look: Look
    spans: Sequence[Span]


def timeline_height_inches(tracks: Sequence[Track]) -> float:
    """Return how high the picture is; 0 where there is nothing to show.

    Parameters
    ----------
    tracks : sequence of Track

    Returns
    -------
    float
    """
    if not any(span.timeline for track in tracks for span in track.spans):
        return 0.0
    return _TOP + len(tracks) * (_ROW_INCHES + _GAP_INCHES) + _RATE_INCHES + _BOTTOM


def draw_timeline(tracks: Sequence[Track], canvas: Canvas) -> None:
    """Draw a row for each arm, all on the same axes, and the rates below.

    Parameters
    ----------
    tracks : sequence of Track
        With at least one second in all.
    canvas : Canvas
    """
    end = max(span.end_seconds for track in tracks for span in track.spans)
    values = [
        value
        for track in tracks
        for span in track.spans
        if span.is_believed
        for second in span.timeline
        for value in (second.p50, second.highest)
        if value
    ]
    low, high = min(values, default=1e-3) * 0.8, max(values, default=1e-2) * 1.25
    bottom = _BOTTOM + _RATE_INCHES + _GAP_INCHES
    for place, track in enumerate(tracks):
        top = _TOP + place * (_ROW_INCHES + _GAP_INCHES)
        axes = canvas.axes(_LEFT, _RIGHT, top, canvas.height_inches - top - _ROW_INCHES)
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        ticks = decades(low, high, most=4) if values else []
        axes.set_yticks(ticks, [duration_text(tick) for tick in ticks])
        axes.minorticks_off()
        _time_axis(axes, end, canvas, is_labelled=False)
        _draw_track(axes, track, canvas, is_first=place == 0)
    axes = canvas.axes(_LEFT, _RIGHT, canvas.height_inches - bottom + _GAP_INCHES, _BOTTOM)
    _time_axis(axes, end, canvas, is_labelled=True)
    _draw_rates(axes, tracks, canvas)


def _time_axis(axes: Axes, end_seconds: float, canvas: Canvas, *, is_labelled: bool) -> None:
    axes.set_xlim(0.0, end_seconds)
    axes.locator_params("x", nbins=5)
    axes.grid(color=canvas.palette.line, linewidth=0.5)
    if is_labelled:
        axes.set_xlabel("seconds of measurement", color=canvas.palette.faint, labelpad=2.0)
    else:
        axes.tick_params(labelbottom=False)


def _draw_track(axes: Axes, track: Track, canvas: Canvas, *, is_first: bool) -> None:
    palette = canvas.palette
    colour = getattr(palette, track.look)
    axes.text(
        0.0, 1.04, shortened(track.name, _LETTERS), transform=axes.transAxes, color=colour,
        fontweight="bold", fontsize=POINTS - 0.5,
    )  # fmt: skip
    _shade(axes, track, canvas)
    lines = (
        ("max", palette.other, 0.8, [_values(each, "highest") for each in track.spans]),
        ("p99", colour, 1.6, [_values(each, "p99") for each in track.spans]),
        ("p50", colour, 0.9, [_values(each, "p50") for each in track.spans]),
    )
    ends: list[tuple[str, float]] = []
    for name, of, width, pieces in lines:
        at = [moment for piece in pieces for moment, _ in (*piece, (nan, nan))]
        values = [value for piece in pieces for _, value in (*piece, (nan, nan))]
        axes.plot(at, values, color=of, linewidth=width)
        known = [value for value in values if value == value]  # noqa: PLR0124 - not NaN
        if known:
            ends.append((name, known[-1]))
    if is_first and ends:
        _label(axes, ends, canvas)


def _values(span: Span, what: str) -> list[tuple[float, float]]:
    """Return where a line goes; nothing of what is not to be believed."""
    if not span.is_believed:
        return []
    return [
        (span.start_seconds + second.at_seconds + second.seconds / 2.0, value)
        for second in span.timeline
        if (value := getattr(second, what)) is not None
    ]


def _label(axes: Axes, ends: Sequence[tuple[str, float]], canvas: Canvas) -> None:
    to_axes = axes.transData + axes.transAxes.inverted()
    wants = [to_axes.transform((0.0, value))[1] for _, value in ends]
    stands = apart(wants, _LABEL_INCHES / _ROW_INCHES, 0.05, 0.95)
    for (name, _), stand in zip(ends, stands, strict=True):
        axes.text(
            1.0 + 0.05 / (WIDTH_INCHES - _LEFT - _RIGHT), stand, name, transform=axes.transAxes,
            va="center_baseline", fontsize=POINTS - 1.0, color=canvas.palette.faint,
        )  # fmt: skip


def _shade(axes: Axes, track: Track, canvas: Canvas) -> None:
    palette = canvas.palette
    whole = track.spans[-1].end_seconds
    for is_believed, group in groupby(track.spans, key=lambda span: span.is_believed):
        if is_believed:
            continue
        beside = list(group)
        start, end = beside[0].start_seconds, beside[-1].end_seconds
        axes.axvspan(start, end, color=palette.shade, linewidth=0.0)
        if end - start > _WIDE_RATIO * whole:
            axes.text(
                (start + end) / 2.0, 0.5, "withheld", ha="center", va="center",
                color=palette.bad, transform=axes.get_xaxis_transform(),
            )  # fmt: skip
    for span, _ in pairwise(track.spans):
        axes.axvline(span.end_seconds, color=palette.line, linewidth=0.9)


def _draw_rates(axes: Axes, tracks: Sequence[Track], canvas: Canvas) -> None:
    axes.text(
        0.0, 1.05, "answers per second; grey: due", transform=axes.transAxes,
        color=canvas.palette.faint, fontsize=POINTS - 0.5,
    )  # fmt: skip
    for number, track in enumerate(reversed(tracks)):
        due = [each for span in track.spans for each in _steps(span, "planned")]
        answered = [each for span in track.spans for each in _steps(span, "answered")]
        if number == len(tracks) - 1:
            axes.plot(*zip(*due, strict=True), color=canvas.palette.other, linewidth=2.2)
        axes.plot(
            *zip(*answered, strict=True), color=getattr(canvas.palette, track.look), linewidth=0.9
        )
    axes.set_ylim(bottom=0.0)
    axes.locator_params("y", nbins=3)


def _steps(span: Span, what: str) -> list[tuple[float, float]]:
    def rate(second: Second) -> float:
        return float(getattr(second, what)) / second.seconds if second.seconds else nan

    found = [
        (span.start_seconds + second.at_seconds + second.seconds / 2.0, rate(second))
        for second in span.timeline
    ]
    return [*found, (span.end_seconds, nan)]
