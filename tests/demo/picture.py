# SPDX-License-Identifier: MIT
"""How long did each request of the demo take, and in which mode?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BIN_SECONDS: Final = 1.0


def draw(
    path: Path, took: Sequence[tuple[float, float]], windows: Sequence[tuple[str, float, float]]
) -> None:
    """Write a PNG: a dot per request, a step line for the p99 of each second, a band per mode.

    Parameters
    ----------
    path : pathlib.Path
    took : sequence of (float, float)
        When each request was due (CLOCK_MONOTONIC), and how long it took from then; seconds.
    windows : sequence of (str, float, float)
        A mode, and the begin and end of the time it was judged by; seconds of the same clock.
    """
    start = min(due for due, _ in took)
    figure: Any = Figure(figsize=(9.0, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for mode, begin, end in windows:
        axes.axvspan(begin - start, end - start, color="#1f77b4", alpha=0.12, linewidth=0)
        axes.annotate(
            mode,
            ((begin + end) / 2.0 - start, 1.02),
            ha="center",
            xycoords=("data", "axes fraction"),
        )
    axes.plot(
        [due - start for due, _ in took],
        [1e3 * each for _, each in took],
        ".",
        color="#8a8a8a",
        markersize=1.5,
        label="a request",
    )
    seconds = sorted({math.floor((due - start) / BIN_SECONDS) for due, _ in took})
    axes.step(
        [BIN_SECONDS * each for each in seconds],
        [1e3 * _p99(took, start + BIN_SECONDS * each) for each in seconds],
        where="post",
        color="#c1440e",
        label="p99 of each second",
    )
    axes.set(xlabel="seconds", ylabel="from due to answered, ms", ylim=(0.0, None))
    axes.legend(loc="upper right")
    figure.savefig(path)


def _p99(took: Sequence[tuple[float, float]], begin: float) -> float:
    inside = sorted(each for due, each in took if begin <= due < begin + BIN_SECONDS)
    return inside[math.ceil(0.99 * len(inside)) - 1]
