# SPDX-License-Identifier: MIT
"""When is each call due, and of which kind is it? Drawn before the first one is sent.

Time is stretched so that one call is due per unit of it on average: there a stage is as long as
it has calls, and moments are spaced by exponential gaps, or by exactly one. The cumulative rate
brings them back, so a rate that rises or falls needs no rule of its own.

References
----------
Çinlar, Introduction to Stochastic Processes, 1975, chapter 4.7: a Poisson process whose rate
changes is one of rate 1 whose time was changed.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from math import sqrt

from resonance.bench.plan import Arrival, Request, Stage

__all__ = ["draw_kinds", "draw_moments"]


def draw_moments(stages: Sequence[Stage], arrival: Arrival, seed: int) -> array[int]:
    """Return when calls are due.

    Parameters
    ----------
    stages : sequence of Stage
    arrival : {"poisson", "constant"}
    seed : int
        The same one gives the same moments.

    Returns
    -------
    array of int
        Nanoseconds from the beginning, rising; of type ``q``.
    """
    gap: Callable[[], float] = _one
    draw = random.Random(seed)  # noqa: S311 - nothing is secret
    if arrival == "poisson":
        gap = _exponential(draw)
    due_ns = array("q")
    position, begun_seconds = (gap() if arrival == "poisson" else 0.0), 0.0
    for stage in stages:
        calls, moment = stage.calls, _inverse(stage)
        while position < calls:
            due_ns.append(int((begun_seconds + moment(position)) * 1e9))
            position += gap()
        position -= calls
        begun_seconds += stage.seconds
    return due_ns


def draw_kinds(requests: Sequence[Request], calls: int, seed: int) -> array[int] | None:
    """Return of which kind each call is.

    Parameters
    ----------
    requests : sequence of Request
    calls : int
    seed : int

    Returns
    -------
    array of int or None
        Places in `requests`, of type ``h``; ``None`` where there is one.
    """
    if len(requests) == 1:
        return None
    weights = [request.weight for request in requests]
    # Another draw than that of the moments: a kind more moves no call.
    draw = random.Random(f"kinds {seed}")  # noqa: S311
    return array("h", draw.choices(range(len(requests)), weights, k=calls))


def _one() -> float:
    return 1.0


def _exponential(draw: random.Random) -> Callable[[], float]:
    return lambda: draw.expovariate(1.0)


def _inverse(stage: Stage) -> Callable[[float], float]:
    """Return what tells the seconds in which so many calls are due."""
    first = stage.rate_per_second
    slope = (stage.end_rate_per_second - first) / stage.seconds
    if not slope:
        return lambda calls: calls / first

    def moment(calls: float) -> float:
        # The root of first * t + slope * t^2 / 2 = calls, in the form that does not cancel.
        root = sqrt(max(0.0, first * first + 2.0 * slope * calls))
        return min(stage.seconds, 2.0 * calls / (first + root)) if calls else 0.0

    return moment
