# SPDX-License-Identifier: MIT
"""Which generalised Pareto distribution do excesses follow, and do they?

Survival (1 + shape x/scale)^(-1/shape) of an excess x > 0; exp(-x/scale) at shape 0. Excesses are
passed sorted, ascending, none of them 0. Needs scipy.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from resonance_core.calculus.arguments import Floats

__all__ = [
    "SHAPES",
    "anderson_darling",
    "bootstrap_p",
    "maximum_likelihood",
    "mean_excess_shape",
]

SHAPES: Final = (-0.5, 2.0)
"""Shapes that are tried: below, the likelihood is not regular; above, no root has a mean."""

_POINTS: Final = 24
_U: Final = (-30.0, 600.0)
"""Range of u in which e^u - 1 is neither -1 nor infinite."""


def maximum_likelihood(excesses: Floats) -> tuple[float, float]:
    """Return shape and scale; one dimension suffices, as shape/scale = b fixes the shape."""
    largest = float(excesses[-1])

    # With b = (e^u - 1)/max every u gives a density that covers the sample.
    def shape_at(u: float) -> float:
        return float(np.log1p(math.expm1(u) / largest * excesses).mean())

    def scale_at(u: float) -> float:
        b = math.expm1(u) / largest
        return shape_at(u) / b if b != 0.0 else float(excesses.mean())

    def negative_log_likelihood(u: float) -> float:
        return math.log(scale_at(u)) + shape_at(u)

    # The shape grows with u; not all samples reach both ends of the allowed range.
    def end(shape: float, u: float) -> float:
        is_reached = (shape_at(u) - shape) * u >= 0.0
        return float(brentq(lambda at: shape_at(at) - shape, 0.0, u)) if is_reached else u

    low, high = end(SHAPES[0], _U[0]), end(SHAPES[1], _U[1])
    grid = np.linspace(low, high, _POINTS)
    best = int(np.argmin([negative_log_likelihood(float(u)) for u in grid]))
    bracket = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _POINTS - 1)]))
    found = minimize_scalar(
        negative_log_likelihood, bounds=bracket, method="bounded", options={"xatol": 1e-8}
    )
    return shape_at(float(found.x)), scale_at(float(found.x))


def anderson_darling(excesses: Floats, shape: float, scale: float) -> float:
    """Return the Anderson-Darling distance, which weighs the tail as much as the middle."""
    n = excesses.size
    scaled = excesses / scale
    survival = -scaled if abs(shape) < 1e-12 else -np.log1p(shape * scaled) / shape
    # ln(1 - e^s) without cancellation for s near 0.
    below = np.log(-np.expm1(np.minimum(survival, -1e-300)))
    ranks = 2.0 * np.arange(1, n + 1) - 1.0
    return float(-n - (ranks @ (below + survival[::-1])) / n)


def bootstrap_p(distance: float, n: int, shape: float, resamples: int, seed: int) -> float:
    """Return the p of a distance: parameters are fitted, so no table of a given one holds."""
    generator = np.random.default_rng(seed)
    farther = 0
    for _ in range(resamples):
        exponential = np.sort(generator.standard_exponential(n))
        drawn = np.expm1(shape * exponential) / shape if abs(shape) > 1e-12 else exponential
        farther += anderson_darling(drawn, *maximum_likelihood(drawn)) >= distance
    return (1 + farther) / (1 + resamples)


def mean_excess_shape(excesses: Floats) -> float:
    """Return s/(1 + s) for the slope s of the mean excess, weighted by how many it is the mean of.

    The last tenth is left out: there it is a mean of a few.
    """
    n = excesses.size
    remaining = np.arange(n - 1, n // 10, -1, dtype=np.float64)
    at: Floats = excesses[: remaining.size]
    means: Floats = (excesses.sum() - np.cumsum(excesses)[: remaining.size]) / remaining - at
    slope = float(np.polyfit(at, means, 1, w=np.sqrt(remaining))[0])
    return slope / (1.0 + slope) if slope > -1.0 else -math.inf
