# SPDX-License-Identifier: MIT
"""How sure is each arm's gain? A row for each: the ratio, its interval, and the noise floor."""

from __future__ import annotations

from math import exp, log
from typing import Final

from resonance.bench.comparing import Comparison, Effect, Row
from resonance.bench.report.canvas import POINTS, WIDTH_INCHES, Axes, Canvas
from resonance.bench.report.labels import decades, estimate_text, shortened
from resonance.bench.report.series import is_beyond_chance
from resonance.bench.statistics import Estimate

__all__ = ["draw_forest", "forest_height_inches"]

_ROW_INCHES: Final = 0.205
_LEFT, _RIGHT, _TOP, _BOTTOM = 1.06, 1.42, 0.14, 0.42
_LETTERS: Final = 15
_QUANTILE: Final = "p99"
_LEAST_SPAN: Final = log(1.5)
"""*Chosen*: an axis of less would make noise look like a finding."""
_PADDING: Final = 0.06


def _rows(comparison: Comparison) -> list[tuple[Row, Effect]]:
    return [(row, row.against[_QUANTILE]) for row in comparison.rows if _QUANTILE in row.against]


def forest_height_inches(comparison: Comparison) -> float:
    """Return how high the plot is; 0 where there is nothing to show.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    float
    """
    rows = len(_rows(comparison))
    return _TOP + _BOTTOM + rows * _ROW_INCHES if rows else 0.0


def draw_forest(comparison: Comparison, canvas: Canvas) -> None:
    """Draw the ratios at p99 with their intervals.

    Parameters
    ----------
    comparison : Comparison
        With at least one ratio.
    canvas : Canvas
    """
    axes = canvas.axes(_LEFT, _RIGHT, _TOP, _BOTTOM)
    rows = _rows(comparison)
    low, high = _ends([effect.estimate for _, effect in rows])
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    ticks = decades(low, high, most=4)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([])
    axes.minorticks_off()
    axes.spines["left"].set_visible(False)
    label = f"{_QUANTILE} by the baseline's"
    axes.set_xlabel(label, color=canvas.palette.faint, labelpad=2.0)
    for row, effect in rows:
        if row.role == "placebo":
            floor = effect.estimate
            axes.axvspan(floor.low, floor.high, color=canvas.palette.floor, linewidth=0.0)
    axes.axvline(1.0, color=canvas.palette.ink, linewidth=0.9)
    for place, (row, effect) in enumerate(rows):
        is_clear = is_beyond_chance(comparison, _QUANTILE, effect)
        _draw_row(axes, place, row, effect.estimate, canvas, is_clear=is_clear)


def _ends(estimates: list[Estimate]) -> tuple[float, float]:
    low = log(min(1.0, *(each.low for each in estimates)))
    high = log(max(1.0, *(each.high for each in estimates)))
    lacking = max(0.0, _LEAST_SPAN - (high - low)) / 2.0
    padding = _PADDING * (high - low) + lacking
    return exp(low - padding), exp(high + padding)


def _draw_row(
    axes: Axes, place: int, row: Row, estimate: Estimate, canvas: Canvas, *, is_clear: bool
) -> None:
    palette = canvas.palette
    colour = palette.faint
    if is_clear:
        colour = palette.good if estimate.ratio < 1.0 else palette.bad
    axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.4)
    axes.plot(
        [estimate.ratio], [place], "o", markersize=4.6, color=colour, markeredgewidth=1.2,
        markerfacecolor=colour if is_clear else palette.page,
    )  # fmt: skip
    plot = WIDTH_INCHES - _LEFT - _RIGHT
    across = axes.get_yaxis_transform()
    is_placebo = row.role == "placebo"
    axes.text(
        -0.06 / plot, place, shortened(row.name, _LETTERS), transform=across, ha="right",
        va="center_baseline", fontsize=POINTS - 0.5,
        color=palette.faint if is_placebo else palette.ink,
    )  # fmt: skip
    axes.text(
        1.0 + 0.06 / plot, place, estimate_text(estimate), transform=across,
        va="center_baseline", fontsize=POINTS - 0.5, color=colour,
        fontweight="bold" if is_clear else "normal",
    )  # fmt: skip
