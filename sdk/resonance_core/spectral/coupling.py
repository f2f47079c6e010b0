# SPDX-License-Identifier: MIT
"""How firmly do two rhythms hold on to each other?

Zero lag counts: the measures that discard it (imaginary coherence, PLI) answer a question
about volume conduction in heads. A scheduler couples instantly.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError

__all__ = ["coherence", "coherence_floor", "coupling_matrix", "plv", "ppc"]

Floats = npt.NDArray[np.float64]
Kind = Literal["coherence", "plv", "ppc"]


def plv(phases_x_rad: npt.ArrayLike, phases_y_rad: npt.ArrayLike) -> float:
    """Return the phase locking value, 0 to 1, of n pairs of phases.

    It is biased: independent phases give ``sqrt(pi / (4 n))`` on average. To decide, use `ppc`.

    Parameters
    ----------
    phases_x_rad, phases_y_rad : (n,) array_like
        n >= 1.

    Returns
    -------
    float
        |mean exp(i (x - y))|, 0 to 1.

    Raises
    ------
    InvalidSampleError
        The lengths differ, there are none, or one is not finite.

    References
    ----------
    Lachaux et al., Human Brain Mapping 8 (1999),
    doi:10.1002/(SICI)1097-0193(1999)8:4<194::AID-HBM4>3.0.CO;2-C.
    """
    return float(abs(np.exp(1j * _differences(phases_x_rad, phases_y_rad)).mean()))


def ppc(phases_x_rad: npt.ArrayLike, phases_y_rad: npt.ArrayLike) -> float:
    """Return the pairwise phase consistency: PLV squared, without its bias.

    Parameters
    ----------
    phases_x_rad, phases_y_rad : (n,) array_like
        n >= 2.

    Returns
    -------
    float
        ``(n PLV^2 - 1) / (n - 1)``, from ``-1 / (n - 1)`` to 1, and 0 on average for
        independent phases.

    Raises
    ------
    InvalidSampleError
        The lengths differ, there are fewer than two, or one is not finite.

    References
    ----------
    Vinck et al., NeuroImage 51 (2010), doi:10.1016/j.neuroimage.2010.01.073.
    """
    differences = _differences(phases_x_rad, phases_y_rad)
    count = len(differences)
    if count < 2:
        raise InvalidSampleError("phases_x_rad", "must be at least 2")
    squared = float(abs(np.exp(1j * differences).mean()) ** 2)
    return (count * squared - 1.0) / (count - 1.0)


def _differences(phases_x_rad: npt.ArrayLike, phases_y_rad: npt.ArrayLike) -> Floats:
    x, y = np.asarray(phases_x_rad, np.float64), np.asarray(phases_y_rad, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise InvalidSampleError("phases_x_rad, phases_y_rad", "must be as many, at least 1")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InvalidSampleError("phases_x_rad, phases_y_rad", "must be finite")
    return np.asarray(x - y, np.float64)


def coherence(x_frames: npt.ArrayLike, y_frames: npt.ArrayLike) -> Floats:
    """Return the magnitude-squared coherence of two sets of frames, per frequency.

    Parameters
    ----------
    x_frames, y_frames : (..., frames, bins) array_like of complex
        At least one frame; leading axes broadcast.

    Returns
    -------
    (..., bins) float64
        0 to 1; NaN where one of the two has no power. It is biased up: see `coherence_floor`.

    Raises
    ------
    InvalidSampleError
        There is no frame, or one is not finite.

    References
    ----------
    Carter, Proc. IEEE 75 (1987), doi:10.1109/PROC.1987.13723.
    """
    x, y = _frames("x_frames", x_frames), _frames("y_frames", y_frames)
    cross = np.abs((np.conj(x) * y).sum(axis=-2)) ** 2
    powers = (np.abs(x) ** 2).sum(axis=-2) * (np.abs(y) ** 2).sum(axis=-2)
    return _quotient(cross, powers)


def coherence_floor(frames: float) -> float:
    """Return the coherence of series that have nothing to do with each other.

    Parameters
    ----------
    frames : float
        Independent ones, see `spectra.independent_frames`; at least 1.

    Returns
    -------
    float
        ``1 / frames``: the mean of Beta(1, frames - 1). Take it off as
        ``(frames C - 1) / (frames - 1)``.

    Raises
    ------
    InvalidSampleError
        Fewer than one.
    """
    if not frames >= 1.0:
        raise InvalidSampleError("frames", "must be at least 1")
    return 1.0 / frames


def coupling_matrix(frames: npt.ArrayLike, kind: Kind = "ppc") -> Floats:
    """Return how firmly every channel is coupled to every other one.

    Parameters
    ----------
    frames : (channels, frames) or (channels, frames, bins) array_like of complex
        Of one frequency, or of several.
    kind : {"ppc", "plv", "coherence"}

    Returns
    -------
    (channels, channels) or (bins, channels, channels) float64
        Symmetric. A frame without power has no phase and is left out of its pairs; NaN for a
        pair that has none left, or fewer than two for `ppc`.

    Raises
    ------
    InvalidSampleError
        The shape is wrong, there is no frame, or one is not finite.
    """
    spectra = np.asarray(frames)
    if spectra.ndim not in {2, 3} or not spectra.shape[1]:
        raise InvalidSampleError("frames", "must have the shape (channels, frames[, bins])")
    if not np.isfinite(spectra).all():
        raise InvalidSampleError("frames", "must be finite")
    rows = spectra if spectra.ndim == 2 else np.moveaxis(spectra, 2, 0)
    return _coherences(rows) if kind == "coherence" else _lockings(rows, kind)


def _lockings(rows: npt.NDArray[np.complexfloating], kind: Kind) -> Floats:
    lengths = np.abs(rows)
    has_phase = lengths > 0.0
    units = np.divide(rows, lengths, out=np.zeros_like(rows), where=has_phase)
    seen = has_phase.astype(lengths.dtype)
    counts = (seen @ np.swapaxes(seen, -1, -2)).astype(np.float64)
    sums = np.abs(units @ np.conj(np.swapaxes(units, -1, -2))).astype(np.float64)
    if kind == "plv":
        return _quotient(sums, counts)
    return _quotient(sums**2 - counts, counts * (counts - 1.0))


def _coherences(rows: npt.NDArray[np.complexfloating]) -> Floats:
    power = (np.abs(rows) ** 2).sum(axis=-1, dtype=np.float64)
    cross = np.abs(rows @ np.conj(np.swapaxes(rows, -1, -2))).astype(np.float64) ** 2
    powers = power[..., :, None] * power[..., None, :]
    return _quotient(cross, powers)


def _frames(name: str, frames: npt.ArrayLike) -> npt.NDArray[np.complexfloating]:
    spectra = np.asarray(frames)
    if spectra.ndim < 2 or not spectra.shape[-2]:
        raise InvalidSampleError(name, "must have the shape (..., frames, bins), at least 1 frame")
    if not np.isfinite(spectra).all():
        raise InvalidSampleError(name, "must be finite")
    return spectra


def _quotient(above: Floats, below: Floats) -> Floats:
    """Return above / below, NaN where that does not exist."""
    quotient = np.full(above.shape, np.nan)
    np.divide(above, below, out=quotient, where=below > 0.0)
    return quotient
