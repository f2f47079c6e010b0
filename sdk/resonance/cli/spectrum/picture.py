# SPDX-License-Identifier: MIT
"""The pictures as PNG, with matplotlib: spectrogram, phase wheels, and what the phases pile up."""

from __future__ import annotations

import io
import math
import textwrap
from datetime import UTC, datetime
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from resonance.cli.spectrum.findings import beat_findings, placement_title, wheel_findings
from resonance.cli.spectrum.spectrogram import Spectrogram
from resonance.cli.spectrum.view import View
from resonance.cli.spectrum.wheel import Wheel, marks
from resonance.cli.units import duration_text, moment_text, path_text

__all__ = ["png"]

_DOTS_PER_INCH = 150
_WIDTH_INCHES = 9.0
_MOST_DECIBELS = 30.0
_MOST_NAMES = 16
_DISC_RATIO = 0.125
"""Eight in step still fit between the ring and the middle."""
_COLOURS = {"natural": "#8a8a8a", "now": "#c1440e", "planned": "#1f77b4"}

_Axes = Any
"""matplotlib's own types are partial."""


def png(view: View, unix_seconds: float) -> bytes:
    """Return the pictures of a view, taken at that time."""
    height = 4.2 + (4.6 if view.wheel else 0.0)
    figure: Any = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure, None
    if view.wheel:
        upper, lower = figure.subfigures(2, 1, height_ratios=(4.2, 4.6))
    _draw_waits(view, upper, unix_seconds)
    if view.wheel:
        _draw_sources(view, view.wheel, lower)
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _draw_waits(view: View, figure: Any, unix_seconds: float) -> None:
    taken = datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    title = f"Waits for a CPU, by frequency: {view.whose}, {taken}"
    figure.suptitle(_with_findings(title, beat_findings(view)), x=0.02, ha="left", fontsize=9)
    axes = figure.add_subplot()
    if view.picture is None:
        axes.set_axis_off()
        return
    mesh = _draw_spectrogram(axes, view.picture, view.duration_seconds)
    figure.colorbar(mesh, ax=axes, label="dB above the median of the moment", extend="both")


def _draw_spectrogram(axes: _Axes, picture: Spectrogram, duration_seconds: float) -> Any:
    nothing = [math.nan] * len(picture.hz)
    columns = [nothing if each is None else each for each in picture.decibels]
    rows = [list(row) for row in zip(*columns, strict=True)]
    ago = [at - duration_seconds for at in picture.seconds]
    mesh = axes.pcolormesh(
        ago, picture.hz, rows, shading="nearest", cmap="viridis", vmin=0.0, vmax=_MOST_DECIBELS,
        rasterized=True,
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("seconds before now")
    axes.set_ylabel("rate, Hz")
    ticks = [hz for hz in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
             if picture.hz[0] <= hz <= picture.hz[-1]]  # fmt: skip
    axes.set_yticks(ticks, [f"{hz:g} Hz, every {duration_text(1.0 / hz)}" for hz in ticks])
    axes.minorticks_off()
    return mesh


def _draw_sources(view: View, wheel: Wheel, figure: Any) -> None:
    title = f"Sources on their period of {duration_text(wheel.period_seconds)}"
    figure.suptitle(_with_findings(title, wheel_findings(view)), x=0.02, ha="left", fontsize=9)
    names = wheel.turns
    grid = figure.add_gridspec(2, len(names) + 1, height_ratios=(2.0, 1.0))
    for at, name in enumerate(names):
        _draw_wheel(figure.add_subplot(grid[0, at], projection="polar"), wheel, name)
    _draw_legend(figure.add_subplot(grid[0, -1]), wheel)
    _draw_profiles(figure.add_subplot(grid[1, :]), wheel)


def _draw_wheel(axes: _Axes, wheel: Wheel, name: str) -> None:
    axes.set_axisbelow(True)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0.0, 1.15)
    axes.set_yticks([])
    quarters = [at / 4 for at in range(4)]
    labels = [moment_text(at * wheel.period_seconds) for at in quarters]
    axes.set_xticks([math.tau * at for at in quarters], labels, fontsize=7)
    axes.set_title(placement_title(name), fontsize=9, color=_COLOURS[name])
    for mark in marks(wheel.hands, name, _DISC_RATIO):
        angle = math.tau * mark.turn
        axes.scatter([angle], [mark.radius], s=70.0, color=_COLOURS[name], linewidths=0)
        axes.text(angle, mark.radius, mark.letter, ha="center", va="center", fontsize=6,
                  color="white")  # fmt: skip


def _draw_legend(axes: _Axes, wheel: Wheel) -> None:
    axes.set_axis_off()
    lines = [
        f"{hand.letter}  {path_text(hand.name, 22)}  {duration_text(hand.work_seconds)}"
        for hand in wheel.hands[:_MOST_NAMES]
    ]
    if len(wheel.hands) > _MOST_NAMES:
        lines.append(f"and {len(wheel.hands) - _MOST_NAMES} more")
    text = "\n".join(["source and its work per turn", *lines])
    axes.text(0.0, 1.0, text, va="top", fontsize=8, transform=axes.transAxes)


def _draw_profiles(axes: _Axes, wheel: Wheel) -> None:
    for name in wheel.turns:
        profile = wheel.placements[name].profile_seconds
        turns = [at / len(profile) * wheel.period_seconds * 1e3 for at in range(len(profile))]
        axes.plot(turns, [work * 1e3 for work in profile], color=_COLOURS[name],
                  label=placement_title(name), drawstyle="steps-post")  # fmt: skip
    axes.axhline(0.0, color="#999999", linewidth=0.5)
    axes.set_xlabel("time in the period, ms")
    axes.set_ylabel("work ahead of\nits mean rate, ms")
    axes.margins(x=0.0)
    if len(wheel.turns) > 1:
        axes.legend(fontsize=8, loc="upper right")


def _with_findings(title: str, findings: Any) -> str:
    lines = [line for sentence in findings for line in textwrap.wrap(sentence, 110)]
    return "\n".join([title, *lines])
