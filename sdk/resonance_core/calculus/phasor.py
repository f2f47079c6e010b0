# SPDX-License-Identifier: MIT
"""How aligned are phases, and how much queue does their work make?

A phase is a point of the period as an angle, 0 to 2 pi; a burst of work is a weight at a phase.
The order parameter says how close phases are to one point. It is no measure of queueing: two
clusters on opposite sides have none of it and queue all the same. That measure is the workload
discrepancy, which sees every harmonic.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats, finite, positive, weighing
from resonance_core.errors import InvalidSampleError

__all__ = [
    "debiased",
    "debiased_r",
    "discrepancy",
    "effective_number",
    "fold",
    "folded_histogram",
    "mean_phase",
    "order_parameters",
    "peak_to_peak",
    "rayleigh",
    "spread",
    "workload_profile",
    "wrap",
]

_TURN: Final = 2.0 * math.pi


def wrap(phase_rad: npt.ArrayLike) -> Floats:
    """Bring angles into 0 <= phase < 2 pi.

    Parameters
    ----------
    phase_rad : array_like
        Any shape; NaN stays NaN.

    Returns
    -------
    float64, of the same shape
    """
    turned = np.mod(np.asarray(phase_rad, dtype=np.float64), _TURN)
    # An angle just below zero is rounded up to a whole turn.
    wrapped: Floats = np.where(turned >= _TURN, 0.0, turned)
    return wrapped


def fold(
    times_seconds: npt.ArrayLike, period_seconds: float, origin_seconds: float = 0.0
) -> Floats:
    """Turn times into phases of a period.

    Parameters
    ----------
    times_seconds : (n,) array_like
    period_seconds : float
        Above 0.
    origin_seconds : float
        Where phase 0 is.

    Returns
    -------
    (n,) float64
        Radians, 0 to 2 pi.

    Raises
    ------
    InvalidSampleError
        A time is not finite, or the period is not positive, or too short to divide by.
    """
    period = positive("period_seconds", period_seconds)
    if period < np.finfo(np.float64).tiny:
        raise InvalidSampleError("period_seconds", f"is too short to divide by: {period:g}")
    elapsed = finite("times_seconds", times_seconds) - origin_seconds
    return wrap(np.mod(elapsed, period) * (_TURN / period))


def folded_histogram(
    times_seconds: npt.ArrayLike,
    period_seconds: float,
    bins: int = 64,
    weights: npt.ArrayLike | None = None,
) -> Floats:
    """Count events by their phase of a period.

    Parameters
    ----------
    times_seconds : (n,) array_like
    period_seconds : float
        Above 0.
    bins : int
        Equal parts of the period; the first begins at time 0.
    weights : (n,) array_like, optional
        What each event counts; 1 by default.

    Returns
    -------
    (bins,) float64

    Raises
    ------
    InvalidSampleError
        As `fold`; or a weight is negative, or there is not even one bin.
    """
    if bins < 1:
        raise InvalidSampleError("bins", "must be at least 1")
    phases = fold(times_seconds, period_seconds)
    counts = weighing("weights", weights, phases.size)
    indices = np.minimum((phases * (bins / _TURN)).astype(np.int64), bins - 1)
    return np.bincount(indices, weights=counts, minlength=bins).astype(np.float64)


def _weighed(
    phases_rad: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Floats, Floats, float]:
    phases = finite("phases_rad", phases_rad)
    if not phases.size:
        raise InvalidSampleError("phases_rad", "must not be empty")
    weighed = weighing("weights", weights, phases.size)
    total = float(weighed.sum())
    if total <= 0.0:
        raise InvalidSampleError("weights", "are all zero")
    return phases, weighed, total


def order_parameters(
    phases_rad: npt.ArrayLike, harmonics: int = 1, weights: npt.ArrayLike | None = None
) -> npt.NDArray[np.complex128]:
    """Return the order parameters Z_1 to Z_M: the mean of exp(i m phase).

    Parameters
    ----------
    phases_rad : (n,) array_like
        At least one.
    harmonics : int
        M, at least 1. The first is Kuramoto's, the others Daido's.
    weights : (n,) array_like, optional
        Zero or more, not all zero; equal by default.

    Returns
    -------
    (harmonics,) complex128
        Modulus 0 (spread) to 1 (aligned, or in m equal clusters).

    Raises
    ------
    InvalidSampleError
        Empty, not finite, or without any weight.

    References
    ----------
    .. [1] Daido, "Onset of cooperative entrainment in limit-cycle oscillators with uniform
       all-to-all interactions", Physica D 91 (1996), doi:10.1016/0167-2789(95)00260-X.
    """
    if harmonics < 1:
        raise InvalidSampleError("harmonics", "must be at least 1")
    phases, weighed, total = _weighed(phases_rad, weights)
    turns = np.exp(1j * np.outer(np.arange(1, harmonics + 1), phases))
    return np.asarray(turns @ weighed / total, dtype=np.complex128)


def effective_number(weights: npt.ArrayLike) -> float:
    """Return how many equal weights are worth as much as these: W^2 / sum w^2; 0 for none."""
    weighed = finite("weights", weights)
    weighed = weighing("weights", weighed, weighed.size)
    largest = float(weighed.max(initial=0.0))
    if largest <= 0.0:
        return 0.0
    scaled = weighed / largest  # so that no square underflows
    return float(scaled.sum() ** 2 / (scaled @ scaled))


def debiased(phases_rad: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return R^2 without what chance adds: (|sum w e^{i phase}|^2 - sum w^2) / (W^2 - sum w^2).

    Its expectation is 0 for independent uniform phases, whatever the weights; it is 1 for
    aligned ones and may be negative.

    Parameters
    ----------
    phases_rad : (n,) array_like
    weights : (n,) array_like, optional
        Zero or more, not all zero; equal by default.

    Returns
    -------
    float
        -1 to 1; NaN where only one phase has weight, of which nothing can be said.

    Raises
    ------
    InvalidSampleError
        Empty, not finite, or without any weight.
    """
    phases, weighed, total = _weighed(phases_rad, weights)
    shares = weighed / total
    chance = float(shares @ shares)
    if np.count_nonzero(shares) < 2:
        return math.nan
    squared = abs(complex(shares @ np.exp(1j * phases))) ** 2
    return (squared - chance) / (1.0 - chance)


def debiased_r(phases_rad: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return `debiased` as R: its root, with its sign. Raises as `debiased`."""
    squared = debiased(phases_rad, weights)
    return math.copysign(math.sqrt(abs(squared)), squared)


def mean_phase(phases_rad: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the direction of Z_1; noise where its modulus is small.

    Parameters
    ----------
    phases_rad : (n,) array_like
        At least one.
    weights : (n,) array_like, optional
        Zero or more, not all zero; equal by default.

    Returns
    -------
    float
        Radians, 0 to below 2 pi.

    Raises
    ------
    InvalidSampleError
        Empty, not finite, or without any weight.

    References
    ----------
    .. [1] Mardia and Jupp, "Directional Statistics", Wiley 2000, section 2.2.1.
    """
    first = order_parameters(phases_rad, 1, weights)[0]
    return float(wrap(np.angle(first)))


def spread(resultant: float) -> float:
    """Return the deviation of a wrapped normal with this mean resultant.

    sigma = sqrt(-2 ln rho).

    Parameters
    ----------
    resultant : float
        rho, the modulus of Z_1, at most 1.

    Returns
    -------
    float
        Radians, zero or more; infinite for a resultant of 0 and below.

    Raises
    ------
    InvalidSampleError
        NaN, or above 1.

    References
    ----------
    .. [1] Mardia and Jupp, "Directional Statistics", Wiley 2000, section 3.5.7.
    """
    if math.isnan(resultant) or resultant > 1.0:
        raise InvalidSampleError("resultant", f"must be at most 1, not {resultant}")
    return math.sqrt(-2.0 * math.log(resultant)) if resultant > 0.0 else math.inf


def rayleigh(phases_rad: npt.ArrayLike) -> tuple[float, float]:
    """Test phases against the uniform distribution on the circle.

    Parameters
    ----------
    phases_rad : (n,) array_like
        At least one.

    Returns
    -------
    z : float
        n R^2.
    p : float
        Probability that uniform phases have a larger one.

    Raises
    ------
    InvalidSampleError
        Empty or not finite.

    Notes
    -----
    The series of Mardia and Jupp [1]_ in z / n; where its first correction exceeds a half, as
    for few and very sharp phases, Wilkie's approximation [2]_, which never turns negative. It errs
    to the safe side: of 400,000 uniform samples of 16 phases 0.96e-3 had p < 1e-3.

    References
    ----------
    .. [1] Mardia and Jupp, "Directional Statistics", Wiley 2000, equation 6.3.6.
    .. [2] Wilkie, "Rayleigh test for randomness of circular data", Applied Statistics 32
       (1983), doi:10.2307/2347954.
    """
    n = np.size(phases_rad)
    z = n * float(abs(order_parameters(phases_rad)[0])) ** 2
    first = (2.0 * z - z * z) / (4.0 * n)
    if abs(first) > 0.5:
        return z, min(1.0, math.exp(math.sqrt(1.0 + 4.0 * n * (1.0 + n - z)) - (1.0 + 2.0 * n)))
    second = z * (24.0 - z * (132.0 - z * (76.0 - 9.0 * z))) / (288.0 * n * n)
    return z, min(1.0, math.exp(-z) * (1.0 + first - second))


def _ramps(phases_rad: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return where the bursts are in turns, ascending, and D just after each, with its gap.

    Between bursts D falls with the slope -W per turn, so these determine it; its mean is 0.
    """
    phases = wrap(finite("phases_rad", phases_rad)) / _TURN
    weighed = weighing("weights", weights, phases.size)
    order = np.argsort(phases, kind="stable")
    starts, jumps = phases[order], weighed[order]
    gaps = np.diff(starts, append=starts[:1] + 1.0)
    total = jumps.sum()
    after = np.cumsum(jumps) - total * starts
    after -= gaps @ (after - 0.5 * total * gaps)
    return starts, after, gaps


def discrepancy(phases_rad: npt.ArrayLike, weights: npt.ArrayLike) -> float:
    """Return <D^2>, the mean square of the workload discrepancy over one period.

    D(t) is the work released until t, less its mean rate, less its mean. With Y_m = sum_i w_i
    exp(-i m phase_i) it is sum_m |Y_m|^2 / m^2 / (2 pi^2). It is computed exactly, as the
    integral of a function that is linear between bursts, not as a truncated sum.

    Parameters
    ----------
    phases_rad : (n,) array_like
        None gives 0.
    weights : (n,) array_like
        Work of each burst, zero or more.

    Returns
    -------
    float
        In the unit of the weights, squared: W^2/12 aligned, sum w^2/12 for random phases in the
        mean, sum w^3/(12 W) and no less where they are splayed.

    Raises
    ------
    InvalidSampleError
        Not finite, negative, or of different lengths.
    """
    _, after, gaps = _ramps(phases_rad, weights)
    fall = np.sum(weights) * gaps
    return float(gaps @ (after * (after - fall) + fall * fall / 3.0))


def peak_to_peak(phases_rad: npt.ArrayLike, weights: npt.ArrayLike) -> float:
    """Return sup D - inf D, which no backlog served at W per period or faster exceeds.

    It is also the burst of the smallest token bucket at that rate. At least the largest weight,
    which `placement.weighted_splay` attains. Parameters and errors as `discrepancy`; the unit
    is that of the weights.

    References
    ----------
    .. [1] Le Boudec and Thiran, "Network Calculus", Springer 2001, section 1.2,
       doi:10.1007/3-540-45318-0.
    """
    _, after, gaps = _ramps(phases_rad, weights)
    if not after.size:
        return 0.0
    return float(after.max() - (after - np.sum(weights) * gaps).min())


def workload_profile(phases_rad: npt.ArrayLike, weights: npt.ArrayLike, bins: int = 64) -> Floats:
    """Sample D(t) at the middle of equal parts of the period.

    Parameters
    ----------
    phases_rad : (n,) array_like
    weights : (n,) array_like
    bins : int
        At least 1; the first part begins at phase 0.

    Returns
    -------
    (bins,) float64
        In the unit of the weights.

    Raises
    ------
    InvalidSampleError
        As `discrepancy`.
    """
    if bins < 1:
        raise InvalidSampleError("bins", "must be at least 1")
    starts, after, _ = _ramps(phases_rad, weights)
    if not starts.size:
        return np.zeros(bins)
    at = (np.arange(bins) + 0.5) / bins
    last = np.searchsorted(starts, at, side="right") - 1
    # Before the first burst the last one of the lap before is in force.
    elapsed = (at - starts[last]) % 1.0
    profile: Floats = after[last] - np.sum(weights) * elapsed
    return profile
