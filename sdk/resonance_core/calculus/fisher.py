# SPDX-License-Identifier: MIT
"""How well can a phase or a frequency be known at all? Fisher information, and what it bounds.

No unbiased estimate has a variance below 1 / (n * information). Needs scipy, for Bessel
functions.
"""

from __future__ import annotations

import math
from typing import Final

from scipy.special import ive

from resonance_core.calculus.arguments import non_negative, positive
from resonance_core.errors import InvalidSampleError

__all__ = [
    "poisson_information",
    "sinusoid_frequency_bound_hz",
    "sinusoid_phase_bound_rad",
    "von_mises_information",
    "von_mises_resultant",
    "wrapped_normal_resultant",
]

_TURN: Final = 2.0 * math.pi


def wrapped_normal_resultant(deviation_rad: float) -> float:
    """Return the mean resultant exp(-sigma^2/2) of a wrapped normal.

    `phasor.spread` inverts it.

    Parameters
    ----------
    deviation_rad : float
        sigma, zero or more.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    InvalidSampleError
        The deviation is negative or not finite.

    References
    ----------
    .. [1] Mardia and Jupp, "Directional Statistics", Wiley 2000, section 3.5.7.
    """
    return math.exp(-0.5 * non_negative("deviation_rad", deviation_rad) ** 2)


def von_mises_resultant(concentration: float) -> float:
    """Return the mean resultant A(k) = I1(k)/I0(k) of a von Mises distribution.

    Parameters
    ----------
    concentration : float
        k, zero or more.

    Returns
    -------
    float
        0 to below 1.

    Raises
    ------
    InvalidSampleError
        The concentration is negative or not finite.

    References
    ----------
    .. [1] Mardia and Jupp, "Directional Statistics", Wiley 2000, section 3.5.4.
    """
    kappa = non_negative("concentration", concentration)
    return float(ive(1, kappa) / ive(0, kappa))  # scaled, or both overflow above 700


def von_mises_information(concentration: float) -> float:
    """Return what one von Mises event tells of the mean phase, k A(k).

    Parameters
    ----------
    concentration : float
        k, zero or more.

    Returns
    -------
    float
        Fisher information in 1/rad^2, zero or more.

    Raises
    ------
    InvalidSampleError
        The concentration is negative or not finite.

    References
    ----------
    .. [1] Mardia and Jupp, "Directional Statistics", Wiley 2000, section 5.3.
    """
    return concentration * von_mises_resultant(concentration)


def poisson_information(depth: float) -> float:
    """Return what one event of a modulated Poisson process tells of its phase.

    The rate is lam (1 + m cos(w t + phase)), seen over whole periods.

    Parameters
    ----------
    depth : float
        m, 0 to 1.

    Returns
    -------
    float
        1 - sqrt(1 - m^2), in 1/rad^2, 0 to 1: the mean of m^2 sin^2 x / (1 + m cos x) over x.

    Raises
    ------
    InvalidSampleError
        The depth is out of range or NaN.

    References
    ----------
    .. [1] Snyder and Miller, "Random Point Processes in Time and Space", Springer 1991, chapter 2
       (information of the parameters of an intensity), doi:10.1007/978-1-4612-3166-0.
    """
    if not 0.0 <= depth <= 1.0:
        raise InvalidSampleError("depth", f"must be 0 to 1, not {depth}")
    return 1.0 - math.sqrt((1.0 - depth) * (1.0 + depth))


def sinusoid_frequency_bound_hz(samples: int, snr_ratio: float, sample_rate_hz: float) -> float:
    """Return the least deviation of the frequency of a sinusoid in noise.

    A real sinusoid in white noise, phase and amplitude unknown; by the Cramer-Rao bound.

    Parameters
    ----------
    samples : int
        N, at least 2.
    snr_ratio : float
        eta = A^2 / (2 s^2), above 0; 1 is 0 dB.
    sample_rate_hz : float
        Above 0.

    Returns
    -------
    float
        Standard deviation in Hz: var(w) >= 12 / (eta N (N^2 - 1)) in rad^2 per sample^2.

    Raises
    ------
    InvalidSampleError
        Out of these ranges.

    References
    ----------
    .. [1] Kay, "Fundamentals of Statistical Signal Processing: Estimation Theory", Prentice
       Hall 1993, example 3.14.
    """
    n, eta = _samples(samples), positive("snr_ratio", snr_ratio)
    deviation = math.sqrt(12.0 / (eta * n * (n * n - 1.0)))
    return deviation * positive("sample_rate_hz", sample_rate_hz) / _TURN


def sinusoid_phase_bound_rad(samples: int, snr_ratio: float) -> float:
    """Return the least deviation of the phase of a sinusoid in noise.

    At the first sample, frequency and amplitude unknown.

    Parameters
    ----------
    samples : int
        N, at least 2.
    snr_ratio : float
        eta = A^2 / (2 s^2), above 0; 1 is 0 dB.

    Returns
    -------
    float
        Standard deviation in rad: var >= 2 (2N - 1) / (eta N (N + 1)).

    Raises
    ------
    InvalidSampleError
        Out of these ranges.

    References
    ----------
    .. [1] Kay, "Fundamentals of Statistical Signal Processing: Estimation Theory", Prentice
       Hall 1993, example 3.14.
    """
    n, eta = _samples(samples), positive("snr_ratio", snr_ratio)
    return math.sqrt(2.0 * (2.0 * n - 1.0) / (eta * n * (n + 1.0)))


def _samples(samples: int) -> float:
    if samples < 2:
        raise InvalidSampleError("samples", "must be at least 2")
    return float(samples)
