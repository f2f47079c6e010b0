# SPDX-License-Identifier: MIT
"""How much less random than white noise is a spectrum?

Flat noise does not reach the largest entropy, ln K: a periodogram of finite length scatters,
and the scatter looks like structure. So an entropy says nothing by itself; what is judged is
how far it lies below what white noise of the same length would show.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError

__all__ = ["digamma", "entropy_excess", "entropy_floor", "spectral_entropy"]

Floats = npt.NDArray[np.float64]


def digamma(x: float) -> float:
    """Return the logarithmic derivative of the gamma function, to 1e-12.

    Here so that a process that needs one number need not load scipy.

    Parameters
    ----------
    x : float
        Above 0.

    Returns
    -------
    float

    Raises
    ------
    InvalidSampleError
        x is not positive.

    References
    ----------
    Abramowitz, Stegun, Handbook of Mathematical Functions, 6.3.5 and 6.3.18.
    """
    if not (math.isfinite(x) and x > 0.0):
        raise InvalidSampleError("x", "must be a positive number")
    shifted = 0.0
    while x < 10.0:
        shifted -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    series = square * (
        1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132)))
    )
    return shifted + math.log(x) - 0.5 / x - series


def entropy_floor(bins: int, segments: float = 1.0) -> float:
    """Return the expected spectral entropy of white noise, 0 to 1.

    Parameters
    ----------
    bins : int
        In the band, at least 2: without DC and Nyquist.
    segments : float
        Independent periodograms that were averaged, at least 1; overlapping ones count as
        `spectra.independent_frames` says.

    Returns
    -------
    float
        ``(psi(M K + 1) - psi(M + 1)) / ln K``: the mean entropy of K equal shares of
        independent gamma variables of shape M.

    Raises
    ------
    InvalidSampleError
        A number is too small.

    References
    ----------
    Entropy of a symmetric Dirichlet distribution of parameter M: Wolpert, Wolf, Phys. Rev. E 52
    (1995), doi:10.1103/PhysRevE.52.6841.

    >>> round(entropy_floor(127), 6)
    0.913535
    """
    if bins < 2:
        raise InvalidSampleError("bins", "must be at least 2")
    if not (math.isfinite(segments) and segments >= 1.0):
        raise InvalidSampleError("segments", "must be at least 1")
    return (digamma(segments * bins + 1.0) - digamma(segments + 1.0)) / math.log(bins)


def spectral_entropy(power: npt.ArrayLike) -> Floats:
    """Return the entropy of spectra as a share of the largest possible, 0 to 1.

    Parameters
    ----------
    power : (..., K) array_like
        Of the K >= 2 bins in the band, not negative.

    Returns
    -------
    (...,) float64
        NaN for a spectrum without power: where nothing happened there is nothing to order.

    Raises
    ------
    InvalidSampleError
        Fewer than two bins, or a power is negative or not finite.

    References
    ----------
    Inouye et al., Electroencephalogr. Clin. Neurophysiol. 79 (1991),
    doi:10.1016/0013-4694(91)90138-T.
    """
    powers = np.asarray(power, np.float64)
    if powers.ndim == 0 or powers.shape[-1] < 2:
        raise InvalidSampleError("power", "must have at least 2 bins")
    if not (np.isfinite(powers).all() and (powers >= 0.0).all()):
        raise InvalidSampleError("power", "must be finite and not negative")
    largest = powers.max(axis=-1, keepdims=True)
    scaled = np.divide(powers, largest, out=np.zeros_like(powers), where=largest > 0.0)
    total = scaled.sum(axis=-1, keepdims=True)
    shares = np.divide(scaled, total, out=np.zeros_like(scaled), where=total > 0.0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0.0)
    entropy = -(shares * logs).sum(axis=-1) / math.log(powers.shape[-1])
    return np.where(largest[..., 0] > 0.0, entropy, np.nan)


def entropy_excess(power: npt.ArrayLike, segments: float = 1.0) -> Floats:
    """Return how far spectra lie below white noise, as a share of what white noise has.

    Parameters
    ----------
    power : (..., K) array_like
        As for `spectral_entropy`.
    segments : float
        As for `entropy_floor`.

    Returns
    -------
    (...,) float64
        1 for a single line, around 0 and a little to either side for white noise; NaN
        without power.
    """
    powers = np.asarray(power, np.float64)
    entropy = spectral_entropy(powers)
    floor = entropy_floor(powers.shape[-1], segments)
    return (floor - entropy) / floor
