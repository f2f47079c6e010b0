# SPDX-License-Identifier: MIT
"""How rarely is a queue longer than this? Between the maximum and the mean: log-sum-exp.

At temperature 0 the sum is the maximum of `trop`. At temperature 1/theta, averaged over chance,
it is the logarithm of a moment generating function, and the best theta gives Chernoff's bound.
A cumulant function is given as a callable of theta > 0 that returns ln E exp(theta X), infinite
where that does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import non_negative, positive
from resonance_core.errors import InvalidSampleError, UnstableQueueError

__all__ = [
    "Cumulants",
    "chernoff",
    "decay_rate",
    "effective_bandwidth",
    "log_sum_exp",
    "maslov_temperature",
    "quantile_bound",
]

Cumulants = Callable[[float], float]

_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_STEPS: Final = 80
"""Of the golden section and of the bisection: 0.618^80 is below the rounding of a double."""


def log_sum_exp(x: npt.ArrayLike, temperature: float = 1.0) -> float:
    """Return tau ln sum exp(x / tau), between max x and max x + tau ln n.

    Parameters
    ----------
    x : (n,) array_like
        At least one; -inf adds nothing.
    temperature : float
        tau, zero or more, in the unit of x. At 0 it is the maximum.

    Returns
    -------
    float
        In the unit of x; -inf where all of them are.

    Raises
    ------
    InvalidSampleError
        Empty, NaN or +inf, or a negative temperature.

    References
    ----------
    .. [1] Litvinov, "The Maslov dequantization, idempotent and tropical mathematics", Journal
       of Mathematical Sciences 140 (2007), doi:10.1007/s10958-007-0450-5.
    """
    values = np.asarray(x, dtype=np.float64)
    tau = non_negative("temperature", temperature)
    if not values.size:
        raise InvalidSampleError("x", "must not be empty")
    largest = float(values.max())
    if math.isnan(largest) or largest == math.inf:
        raise InvalidSampleError("x", "must hold finite numbers, or -inf")
    if tau == 0.0 or largest == -math.inf:
        return largest
    with np.errstate(over="ignore", under="ignore"):  # far below the largest is nothing
        return largest + tau * math.log(np.exp((values - largest) / tau).sum())


def maslov_temperature(terms: int, error: float) -> float:
    """Return the highest temperature at which log-sum-exp is near enough.

    tau = error / ln n: the sum exceeds the maximum by at most `error`.

    Parameters
    ----------
    terms : int
        n, at least 2.
    error : float
        Above 0, in the unit of the terms.

    Returns
    -------
    float
        tau, above 0, in the unit of the terms.

    Raises
    ------
    InvalidSampleError
        Out of these ranges.

    References
    ----------
    .. [1] Litvinov, "The Maslov dequantization, idempotent and tropical mathematics", Journal
       of Mathematical Sciences 140 (2007), doi:10.1007/s10958-007-0450-5.
    """
    if terms < 2:
        raise InvalidSampleError("terms", "must be at least 2")
    return positive("error", error) / math.log(terms)


def _cumulant(log_mgf: Cumulants, theta: float) -> float:
    value = log_mgf(theta)
    if math.isnan(value):
        raise InvalidSampleError("log_mgf", f"is NaN at theta = {theta:g}")
    return value


def _least(function: Cumulants, end: float) -> tuple[float, float]:
    """Minimise a function with one valley on (0, end); infinite values may follow it."""
    low, high = 0.0, end
    left, right = high - _GOLDEN * high, _GOLDEN * high
    at_left, at_right = function(left), function(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return (left, at_left) if at_left <= at_right else (right, at_right)


def chernoff(log_mgf: Cumulants, threshold: float, theta_max: float) -> tuple[float, float]:
    """Bound a tail: P(X > x) <= inf exp(ln E exp(theta X) - theta x) over 0 < theta < theta_max.

    Parameters
    ----------
    log_mgf : callable
        ln E exp(theta X).
    threshold : float
        x.
    theta_max : float
        Above 0; the end of the range in which `log_mgf` exists, or any value beyond it if it is
        infinite there.

    Returns
    -------
    bound : float
        0 to 1.
    theta : float
        Where it was found; 0 where no theta says more than "at most 1".

    Raises
    ------
    InvalidSampleError
        A parameter is not finite, or `log_mgf` gives NaN.

    References
    ----------
    .. [1] Chernoff, "A measure of asymptotic efficiency for tests of a hypothesis based on the
       sum of observations", Annals of Mathematical Statistics 23 (1952),
       doi:10.1214/aoms/1177729330.
    """
    end = positive("theta_max", theta_max)
    if not math.isfinite(threshold):
        raise InvalidSampleError("threshold", "must be a finite number")
    theta, exponent = _least(lambda at: _cumulant(log_mgf, at) - at * threshold, end)
    return (math.exp(exponent), theta) if exponent < 0.0 else (1.0, 0.0)


def quantile_bound(log_mgf: Cumulants, exceedance_ratio: float, theta_max: float) -> float:
    """Return the least x for which Chernoff's bound is `exceedance_ratio`.

    It is inf (ln E exp(theta X) - ln ratio) / theta, so no root is searched.

    Parameters
    ----------
    log_mgf : callable
        ln E exp(theta X).
    exceedance_ratio : float
        Above 0 and below 1; 0.001 for p99.9.
    theta_max : float
        Above 0, in 1/x; the end of the range in which `log_mgf` exists, or any value beyond it if
        it is infinite there.

    Returns
    -------
    float
        In the unit of X.

    Raises
    ------
    InvalidSampleError
        A parameter is out of range, or `log_mgf` gives NaN.

    References
    ----------
    .. [1] Chernoff, "A measure of asymptotic efficiency for tests of a hypothesis based on the
       sum of observations", Annals of Mathematical Statistics 23 (1952),
       doi:10.1214/aoms/1177729330.
    """
    end = positive("theta_max", theta_max)
    if not 0.0 < exceedance_ratio < 1.0:
        raise InvalidSampleError("exceedance_ratio", "must be above 0 and below 1")
    surprise = -math.log(exceedance_ratio)
    return _least(lambda at: (_cumulant(log_mgf, at) + surprise) / at, end)[1]


def effective_bandwidth(log_mgf: Cumulants, theta: float) -> float:
    """Return ln E exp(theta A) / theta, the constant rate arrivals are worth.

    Parameters
    ----------
    log_mgf : callable
        Of the work A that arrives in one unit of time.
    theta : float
        Above 0, in 1/work.

    Returns
    -------
    float
        Work by time; from the mean rate as theta goes to 0, to the peak rate.

    Raises
    ------
    InvalidSampleError
        `theta` is not positive, or `log_mgf` gives NaN.

    References
    ----------
    .. [1] Kelly, "Notes on effective bandwidths", in "Stochastic Networks: Theory and
       Applications", Oxford 1996.
    """
    at = positive("theta", theta)
    return _cumulant(log_mgf, at) / at


def decay_rate(log_mgf: Cumulants, service_rate: float, theta_max: float) -> float:
    """Return the theta at which the effective bandwidth is the service rate.

    Then P(backlog > x) <= exp(-theta x).

    Parameters
    ----------
    log_mgf : callable
        Of the work that arrives in one unit of time.
    service_rate : float
        Work served in one unit of time, above 0.
    theta_max : float
        End of the search, above 0, in 1/work; returned where the bandwidth is below the service
        rate even there.

    Returns
    -------
    float
        theta, in 1/work, above 0 and at most `theta_max`.

    Raises
    ------
    InvalidSampleError
        A parameter is not positive, or `log_mgf` gives NaN.
    UnstableQueueError
        Even the mean rate is not below the service rate.

    References
    ----------
    .. [1] Kingman, "A martingale inequality in the theory of queues", Mathematical Proceedings
       of the Cambridge Philosophical Society 60 (1964), doi:10.1017/S0305004100037841.
    """
    rate, high = positive("service_rate", service_rate), positive("theta_max", theta_max)
    if effective_bandwidth(log_mgf, high) <= rate:
        return high
    low = high * 2.0**-40
    lowest = effective_bandwidth(log_mgf, low)
    if lowest >= rate:
        raise UnstableQueueError(lowest, rate)
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if effective_bandwidth(log_mgf, middle) <= rate:
            low = middle
        else:
            high = middle
    return low
