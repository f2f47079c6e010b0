# SPDX-License-Identifier: MIT
"""What lies beyond the worst that was seen? The generalised Pareto tail above a high threshold.

Excesses over a high enough threshold follow (1 + shape x / scale)^(-1/shape), whatever the rest
of the distribution looks like. How high is high enough, and whether to believe the result, are
part of the answer: a tail that fails its own tests says so. Needs scipy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2

from resonance_core.calculus.arguments import Floats, finite
from resonance_core.calculus.pareto import (
    SHAPES,
    anderson_darling,
    bootstrap_p,
    maximum_likelihood,
    mean_excess_shape,
)
from resonance_core.errors import InvalidSampleError

__all__ = ["ReturnLevel", "Tail", "fit_tail", "return_level"]

_CANDIDATES: Final = (0.80, 0.85, 0.90, 0.925, 0.95, 0.97, 0.98, 0.99)
"""Quantiles that are tried as threshold, lowest first. *Chosen*."""
_FEWEST: Final = 20
"""Excesses below which nothing is fitted. *Chosen*."""
_ENOUGH: Final = 50
"""Independent excesses below which a fit is not believed. *Chosen*: then the shape is known to
0.14 at best."""
_DOUBTFUL: Final = 0.10
"""Anderson-Darling p below which a higher threshold is tried."""
_REJECTED: Final = 0.05
_FARTHEST: Final = 0.1
"""Expected events in the sample below which a return level is not believed: ten samples ahead."""
_RAREST: Final = 1e-100
"""*Chosen*: with the heaviest of `SHAPES`, far rarer levels are no floating-point numbers."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A fitted tail, with what speaks for and against it.

    Attributes
    ----------
    threshold : float
        In the unit of the values.
    shape : float
        xi: 0 exponential, above 0 heavier, below 0 with an end.
    scale : float
        sigma, above 0, in the unit of the values.
    exceedance_ratio : float
        Share of the values above the threshold.
    values, exceedances : int
        All, and those above the threshold.
    extremal_index : float
        1 / mean size of a cluster of exceedances, 0 to 1; 1 where they come independently.
    shape_error, scale_error : float
        Standard errors, with clusters counted once.
    anderson_darling, p : float
        Of the fit, and the probability of one no better, by parametric bootstrap.
    mean_excess_shape : float
        The shape that the slope of the mean excess over the threshold implies; far from
        `shape`, the tail bends.
    is_trustworthy : bool
    reason : str
        Why it is not, or is; one clause.
    excesses : (exceedances,) float64
        Ascending.
    """

    threshold: float
    shape: float
    scale: float
    exceedance_ratio: float
    values: int
    exceedances: int
    extremal_index: float
    shape_error: float
    scale_error: float
    anderson_darling: float
    p: float
    mean_excess_shape: float
    is_trustworthy: bool
    reason: str
    excesses: Floats = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReturnLevel:
    """A value that a given share of the values exceeds.

    Attributes
    ----------
    value, low, high : float
        Estimate and interval by the profile likelihood; `high` is inf where it has no end.
    is_trustworthy : bool
    reason : str
        Why it is not, or is; one clause.
    """

    value: float
    low: float
    high: float
    is_trustworthy: bool
    reason: str


def fit_tail(
    values: npt.ArrayLike,
    threshold: float | None = None,
    *,
    resamples: int = 99,
    seed: int = 0,
) -> Tail:
    """Fit a generalised Pareto distribution to what exceeds a threshold, by maximum likelihood.

    Parameters
    ----------
    values : (n,) array_like
        In the order of time, so that clusters are seen.
    threshold : float, optional
        By default the lowest of eight quantiles from 0.80 to 0.99 above which the fit is not
        doubtful, or else the highest that leaves enough excesses.
    resamples : int
        Of the bootstrap, at least 19; the smallest p is 1 / (resamples + 1).
    seed : int
        Of the bootstrap: the same input gives the same answer.

    Returns
    -------
    Tail

    Raises
    ------
    InvalidSampleError
        Not finite, or fewer than 20 distinct excesses.

    References
    ----------
    .. [1] Smith, "Estimating tails of probability distributions", Annals of Statistics 15
       (1987), doi:10.1214/aos/1176350499: regular for shape > -1/2, and the standard errors.
    .. [2] Grimshaw, "Computing maximum likelihood estimates for the generalized Pareto
       distribution", Technometrics 35 (1993), doi:10.1080/00401706.1993.10485040.
    .. [3] Choulakian and Stephens, "Goodness-of-fit tests for the generalized Pareto
       distribution", Technometrics 43 (2001), doi:10.1198/00401700152672573.
    .. [4] Bader, Yan and Zhang, "Automated threshold selection for extreme value analysis via
       ordered goodness-of-fit tests", Annals of Applied Statistics 12 (2018),
       doi:10.1214/17-AOAS1092.
    """
    sample = finite("values", values)
    if resamples < 19:
        raise InvalidSampleError("resamples", "must be at least 19")
    if sample.size < _FEWEST:
        raise InvalidSampleError("values", f"must be at least {_FEWEST}")
    if threshold is not None:
        return _fit(sample, threshold, resamples, seed)
    usable = [q for q in _CANDIDATES if sample.size * (1.0 - q) >= _ENOUGH] or _CANDIDATES[:1]
    tails = (_fit(sample, float(np.quantile(sample, each)), resamples, seed) for each in usable)
    tail = next(tails)
    while tail.p < _DOUBTFUL:
        following = next(tails, None)
        if following is None:
            break
        tail = following
    return tail


def _fit(sample: Floats, threshold: float, resamples: int, seed: int) -> Tail:
    above = np.flatnonzero(sample > threshold)
    excesses = np.sort(sample[above] - threshold)
    if np.unique(excesses).size < _FEWEST:
        raise InvalidSampleError("values", f"must have {_FEWEST} distinct ones above {threshold:g}")
    n = excesses.size
    shape, scale = maximum_likelihood(excesses)
    distance = anderson_darling(excesses, shape, scale)
    p = bootstrap_p(distance, n, shape, resamples, seed)
    index = _extremal_index(above)
    independent = n * index
    trust, reason = _judge(shape, p, independent)
    return Tail(
        threshold=threshold,
        shape=shape,
        scale=scale,
        exceedance_ratio=n / sample.size,
        values=sample.size,
        exceedances=n,
        extremal_index=index,
        shape_error=(1.0 + shape) / math.sqrt(independent),
        scale_error=scale * math.sqrt(2.0 * (1.0 + shape) / independent),
        anderson_darling=distance,
        p=p,
        mean_excess_shape=mean_excess_shape(excesses),
        is_trustworthy=trust,
        reason=reason,
        excesses=excesses,
    )


def _judge(shape: float, p: float, independent: float) -> tuple[bool, str]:
    if independent < _ENOUGH:
        return False, f"only {independent:.0f} independent excesses"
    if p < _REJECTED:
        return False, f"the excesses do not follow the fitted tail, p = {p:.2g}"
    if shape >= 1.0:
        return False, f"the mean is infinite at a shape of {shape:.2f}"
    if shape <= SHAPES[0] + 1e-3:
        return False, "the values end abruptly"
    return True, f"{independent:.0f} independent excesses follow the fitted tail, p = {p:.2g}"


def _extremal_index(above: npt.NDArray[np.intp]) -> float:
    """Return the intervals estimator, from the distances between exceedances.

    References
    ----------
    .. [1] Ferro and Segers, "Inference for clusters of extreme values", Journal of the Royal
       Statistical Society B 65 (2003), doi:10.1111/1467-9868.00401.
    """
    gaps = np.diff(above).astype(np.float64)
    if gaps.max() <= 2.0:
        moment, square = gaps.sum(), (gaps * gaps).sum()
    else:
        moment, square = (gaps - 1.0).sum(), ((gaps - 1.0) * (gaps - 2.0)).sum()
    return float(min(1.0, 2.0 * moment**2 / (gaps.size * square)))


def _quantile(tail: Tail, rarity: float) -> float:
    growth = math.log(1.0 / rarity)
    if abs(tail.shape) < 1e-12:
        return tail.threshold + tail.scale * growth
    return tail.threshold + tail.scale * math.expm1(tail.shape * growth) / tail.shape


def return_level(tail: Tail, exceedance_ratio: float, confidence: float = 0.95) -> ReturnLevel:
    """Return the value that this share of all values exceeds, seen or not.

    Parameters
    ----------
    tail : Tail
    exceedance_ratio : float
        Above 1e-100 and below `tail.exceedance_ratio`; 0.0001 for p99.99.
    confidence : float
        Of the interval, above 0 and below 1.

    Returns
    -------
    ReturnLevel

    Raises
    ------
    InvalidSampleError
        A ratio is out of range: below the threshold ask the sample itself.

    Notes
    -----
    The interval is that of the profile likelihood, divided by the size of clusters; the share
    above the threshold is taken as known, as its part is small beyond it.

    References
    ----------
    .. [1] Coles, "An Introduction to Statistical Modeling of Extreme Values", Springer 2001,
       section 4.3.3, doi:10.1007/978-1-4471-3675-0.
    """
    if not _RAREST < exceedance_ratio < tail.exceedance_ratio:
        raise InvalidSampleError(
            "exceedance_ratio", f"must be above {_RAREST:g} and below {tail.exceedance_ratio:g}"
        )
    if not 0.0 < confidence < 1.0:
        raise InvalidSampleError("confidence", "must be above 0 and below 1")
    rarity = exceedance_ratio / tail.exceedance_ratio
    value = _quantile(tail, rarity)
    low, high = _interval(tail, value - tail.threshold, rarity, confidence)
    trust, reason = tail.is_trustworthy, tail.reason
    expected = exceedance_ratio * tail.values
    if trust and expected < _FARTHEST:
        trust, reason = False, f"the sample is too short by {1.0 / expected:.0f} times"
    return ReturnLevel(value, tail.threshold + low, tail.threshold + high, trust, reason)


def _interval(tail: Tail, excess: float, rarity: float, confidence: float) -> tuple[float, float]:
    growth = math.log(1.0 / rarity)
    n = tail.exceedances

    def fit_at(level: float) -> float:
        """Return the least negative log likelihood of all tails with this return level."""

        def negative(shape: float) -> float:
            stretch = math.expm1(shape * growth) / shape if abs(shape) > 1e-9 else growth
            scale = level / stretch
            terms = 1.0 + shape * tail.excesses / scale
            if terms[0] <= 0.0 or terms[-1] <= 0.0:
                return 1e300  # such a tail ends below the sample
            if abs(shape) <= 1e-9:
                return n * math.log(scale) + float(tail.excesses.sum()) / scale
            return n * math.log(scale) + (1.0 + 1.0 / shape) * float(np.log(terms).sum())

        found = minimize_scalar(negative, bounds=SHAPES, method="bounded")
        return float(found.fun)

    allowed = float(chi2.ppf(confidence, 1)) / (2.0 * tail.extremal_index)
    best = fit_at(excess)

    def beyond(log_level: float) -> float:
        return fit_at(math.exp(log_level)) - best - allowed

    middle = math.log(excess)
    ends: list[float] = []
    for step in (-0.25, 0.25):
        end = middle + step
        while beyond(end) < 0.0 and abs(end - middle) < 12.0:
            end += step
        if beyond(end) < 0.0:
            ends.append(0.0 if step < 0.0 else math.inf)
        else:
            ends.append(math.exp(float(brentq(beyond, middle, end, xtol=1e-6))))
    return ends[0], ends[1]
