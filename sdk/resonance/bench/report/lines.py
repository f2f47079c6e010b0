# SPDX-License-Identifier: MIT
"""How are an arm's response times drawn: by percentile, and by how many take longer?"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log10
from typing import Final

from resonance.bench.report.canvas import POINTS, WIDTH_INCHES, Axes, Canvas
from resonance.bench.report.labels import apart, decades, duration_text, shortened
from resonance.bench.report.series import Curve, Look

__all__ = [
    "HEIGHT_INCHES",
    "draw_percentiles",
    "draw_survivors",
    "style_of",
    "survivors_height_inches",
]

HEIGHT_INCHES: Final = 3.1
_LABEL_INCHES: Final = 0.135
_KEY_INCHES: Final = 0.16
_COLUMNS: Final = 2
_LETTERS: Final = 13
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.54, 1.1, 0.10, 0.42
_HEADROOM: Final = 1.04
_SPREAD: Final = 10.0
"""*Chosen*: where arms differ more than so, the axis of time is logarithmic."""
_PERCENTS: Final = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)
_DASHES: Final[dict[Look, tuple[float, ...]]] = {
    "faint": (3.0, 2.0),
    "second": (6.0, 1.5),
    "third": (6.0, 1.5, 1.5, 1.5),
}
_WIDTHS: Final[dict[Look, float]] = {"ink": 2.0, "faint": 1.4, "other": 0.8}


def style_of(look: Look, canvas: Canvas) -> dict[str, object]:
    """Return how a line is drawn, as matplotlib wants to be told.

    Parameters
    ----------
    look : str
    canvas : Canvas

    Returns
    -------
    dict of str to object
    """
    return {
        "color": getattr(canvas.palette, look),
        "linewidth": _WIDTHS.get(look, 1.7),
        "linestyle": (0, _DASHES[look]) if look in _DASHES else "-",
        "dash_capstyle": "butt",
    }


def draw_percentiles(curves: Sequence[Curve], canvas: Canvas) -> None:
    """Draw what so many do not exceed, the tail as wide as the rest.

    Parameters
    ----------
    curves : sequence of Curve
        At least one.
    canvas : Canvas
    """
    axes = canvas.axes(_LEFT, _RIGHT, _TOP, _BOTTOM)
    end = max(-log10(curve.beyond[-1]) for curve in curves)
    for curve in curves:
        at = [-log10(beyond) for beyond in curve.beyond]
        axes.plot(at, curve.seconds, **style_of(curve.look, canvas))
    axes.set_xlim(0.0, end)
    ticks = {-log10(1.0 - percent / 100.0): f"{percent:g}" for percent in _PERCENTS}
    ticks = {at: text for at, text in ticks.items() if at <= end + 1e-6}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("percentile", color=canvas.palette.faint, labelpad=2.0)
    _time_axis(axes, curves)
    axes.grid(color=canvas.palette.line, linewidth=0.5)
    _label_ends(axes, curves, canvas)


def _time_axis(axes: Axes, curves: Sequence[Curve]) -> None:
    highest = max(curve.seconds[-1] for curve in curves)
    lowest_end = min(curve.seconds[-1] for curve in curves)
    if highest <= _SPREAD * lowest_end:
        axes.set_ylim(0.0, highest * _HEADROOM)
        axes.locator_params("y", nbins=5)
        axes.yaxis.set_major_formatter(_tick_text)
        return
    low = min(curve.seconds[len(curve.seconds) // 4] for curve in curves) * 0.7
    axes.set_yscale("log")
    axes.set_ylim(low, highest * 1.2)
    ticks = decades(low, highest * 1.2)
    axes.set_yticks(ticks, [duration_text(tick) for tick in ticks])
    axes.minorticks_off()


def _tick_text(seconds: float, place: int | None) -> str:
    del place
    return duration_text(seconds)


def _label_ends(axes: Axes, curves: Sequence[Curve], canvas: Canvas) -> None:
    room = HEIGHT_INCHES - _TOP - _BOTTOM
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((-log10(curve.beyond[-1]), curve.seconds[-1])) for curve in curves]
    stands = apart([float(y) for _, y in ends], _LABEL_INCHES / room, 0.02, 0.98)
    plot = WIDTH_INCHES - _LEFT - _RIGHT
    for curve, (x, y), stand in zip(curves, ends, stands, strict=True):
        axes.plot(
            [x, 1.0, 1.0 + 0.09 / plot], [y, y, stand], transform=axes.transAxes, clip_on=False,
            color=canvas.palette.other, linewidth=0.6,
        )  # fmt: skip
        axes.text(
            1.0 + 0.12 / plot, stand, shortened(curve.name, _LETTERS), transform=axes.transAxes,
            va="center_baseline", fontsize=POINTS - 0.5, **_wording(curve.look, canvas),
        )  # fmt: skip


def _wording(look: Look, canvas: Canvas) -> dict[str, object]:
    is_faint = look in {"other", "faint"}
    colour = canvas.palette.faint if is_faint else getattr(canvas.palette, look)
    return {"color": colour, "fontweight": "normal" if is_faint else "bold"}


def draw_survivors(curves: Sequence[Curve], canvas: Canvas) -> None:
    """Draw which share took longer, both axes logarithmic: a straight line is a heavy tail.

    Parameters
    ----------
    curves : sequence of Curve
        At least one.
    canvas : Canvas
    """
    axes = canvas.axes(_LEFT, 0.14, _TOP + _key_inches(curves), _BOTTOM)
    for curve in curves:
        axes.plot(curve.seconds, curve.beyond, **style_of(curve.look, canvas))
    least = min(curve.beyond[-1] for curve in curves)
    low = min(curve.seconds[1] for curve in curves) * 0.9
    high = max(curve.seconds[-1] for curve in curves) * 1.1
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(least * 0.8, 1.3)
    ticks = decades(low, high, most=5)
    axes.set_xticks(ticks, [duration_text(tick) for tick in ticks])
    shares = decades(least, 1.0, most=6)
    axes.set_yticks(shares, [f"{share * 100:g} %" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel("took longer than", color=canvas.palette.faint, labelpad=2.0)
    axes.grid(color=canvas.palette.line, linewidth=0.5)
    _key(axes, curves, canvas)


def survivors_height_inches(curves: Sequence[Curve]) -> float:
    """Return how high the drawing is, with the names of its lines above.

    Parameters
    ----------
    curves : sequence of Curve

    Returns
    -------
    float
    """
    return HEIGHT_INCHES + _key_inches(curves)


def _key_inches(curves: Sequence[Curve]) -> float:
    return ceil(len(_named(curves)) / _COLUMNS) * _KEY_INCHES + 0.06


def _named(curves: Sequence[Curve]) -> list[tuple[str, Look]]:
    """Return the lines that have a name in the key, and how many have none."""
    named = [curve for curve in reversed(curves) if curve.look != "other"]
    found: list[tuple[str, Look]] = [
        (shortened(curve.name, _LETTERS + 5), curve.look) for curve in named
    ]
    if len(curves) > len(named):
        found.append((f"{len(curves) - len(named)} more", "other"))
    return found


def _key(axes: Axes, curves: Sequence[Curve], canvas: Canvas) -> None:
    plot = canvas.height_inches - _TOP - _BOTTOM - _key_inches(curves)
    across = axes.transAxes
    for place, (name, look) in enumerate(_named(curves)):
        row, column = divmod(place, _COLUMNS)
        left = column / _COLUMNS
        at = 1.0 + (_key_inches(curves) - row * _KEY_INCHES) / plot
        axes.plot(
            [left, left + 0.08], [at, at], transform=across, clip_on=False,
            **style_of(look, canvas),
        )  # fmt: skip
        axes.text(
            left + 0.1, at, name, transform=across, va="center_baseline",
            fontsize=POINTS - 0.5, **_wording(look, canvas),
        )  # fmt: skip
