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
    """Return shape and scale of the likeliest distribution.

    One dimension suffices, as shape/scale = b fixes the shape: the mean of ln(1 + b x).

    Parameters
    ----------
    excesses : (n,) float64
        Ascending, above 0; at least one.

    Returns
    -------
    shape : float
        Within `SHAPES`, or as near as the sample reaches.
    scale : float
        Above 0, in the unit of the excesses.

    References
    ----------
    .. [1] Grimshaw, "Computing maximum likelihood estimates for the generalized Pareto
       distribution", Technometrics 35 (1993), doi:10.1080/00401706.1993.10485040.
    .. [2] Smith, "Maximum likelihood estimation in a class of nonregular cases", Biometrika 72
       (1985), doi:10.1093/biomet/72.1.67: regular for shape > -1/2.
    """
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
    """Return the Anderson-Darling distance of excesses to a distribution.

    It weighs the tail as much as the middle: -n - sum (2i - 1) (ln F_i + ln(1 - F_(n+1-i))) / n.

    Parameters
    ----------
    excesses : (n,) float64
        Ascending, above 0; at least one.
    shape : float
        Number without unit.
    scale : float
        Above 0, in the unit of the excesses.

    Returns
    -------
    float
        A^2, without unit.

    References
    ----------
    .. [1] Anderson and Darling, "A test of goodness of fit", Journal of the American Statistical
       Association 49 (1954), doi:10.1080/01621459.1954.10501232.
    .. [2] Choulakian and Stephens, "Goodness-of-fit tests for the generalized Pareto
       distribution", Technometrics 43 (2001), doi:10.1198/00401700152672573.
    """
    n = excesses.size
    scaled = excesses / scale
    survival = -scaled if abs(shape) < 1e-12 else -np.log1p(shape * scaled) / shape
    # ln(1 - e^s) without cancellation for s near 0.
    below = np.log(-np.expm1(np.minimum(survival, -1e-300)))
    ranks = 2.0 * np.arange(1, n + 1) - 1.0
    return float(-n - (ranks @ (below + survival[::-1])) / n)


def bootstrap_p(distance: float, n: int, shape: float, resamples: int, seed: int) -> float:
    """Return the p of a distance to the distribution that was fitted.

    Parameters are fitted, so no table of a given distribution holds: samples are drawn from the
    fitted one and fitted anew.

    Parameters
    ----------
    distance : float
        Of `anderson_darling`.
    n : int
        Excesses in the sample, at least 1.
    shape : float
        Fitted; the scale does not matter.
    resamples : int
        B, zero or more.
    seed : int
        Of the generator.

    Returns
    -------
    float
        (1 + those at least as far) / (1 + B): 1/(1 + B) to 1.

    References
    ----------
    .. [1] Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge 1997, section
       4.2, doi:10.1017/CBO9780511802843.
    """
    generator = np.random.default_rng(seed)
    farther = 0
    for _ in range(resamples):
        exponential = np.sort(generator.standard_exponential(n))
        drawn = np.expm1(shape * exponential) / shape if abs(shape) > 1e-12 else exponential
        farther += anderson_darling(drawn, *maximum_likelihood(drawn)) >= distance
    return (1 + farther) / (1 + resamples)


def mean_excess_shape(excesses: Floats) -> float:
    """Return the shape that the mean excess tells, s/(1 + s) of its slope s.

    The mean excess over u is (scale + shape u)/(1 - shape). Each is weighted by how many it is the
    mean of; the last tenth is left out: there it is a mean of a few.

    Parameters
    ----------
    excesses : (n,) float64
        Ascending, above 0; at least three.

    Returns
    -------
    float
        Below 1; -inf where the slope is -1 or less.

    References
    ----------
    .. [1] Davison and Smith, "Models for exceedances over high thresholds", Journal of the Royal
       Statistical Society B 52 (1990), doi:10.1111/j.2517-6161.1990.tb01796.x.
    """
    n = excesses.size
    remaining = np.arange(n - 1, n // 10, -1, dtype=np.float64)
    at: Floats = excesses[: remaining.size]
    means: Floats = (excesses.sum() - np.cumsum(excesses)[: remaining.size]) / remaining - at
    slope = float(np.polyfit(at, means, 1, w=np.sqrt(remaining))[0])
    return slope / (1.0 + slope) if slope > -1.0 else -math.inf
