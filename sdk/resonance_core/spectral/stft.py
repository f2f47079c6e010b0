# SPDX-License-Identifier: MIT
"""What did the spectrum look like over time? The whole picture at once, for people.

This is the one module of the room that needs scipy; the frames of a running process come from
`frames`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import ShortTimeFFT

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.frames import HOP_BINS, WINDOW_BINS, hann

__all__ = ["Spectrogram", "spectrogram"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """Power over time and frequency.

    Attributes
    ----------
    times_seconds : (frames,) float64
        Middle of each window, from the start of the series.
    frequencies_hz : (bins,) float64
        From 0 to Nyquist.
    power : (..., bins, frames) float64
        Squared magnitude; a sinusoid of amplitude A on a bin shows A^2 / 4 there (half of it
        is at the negative frequency).
    """

    times_seconds: Floats
    frequencies_hz: Floats
    power: Floats


def spectrogram(
    series: npt.ArrayLike, bin_seconds: float, window: int = WINDOW_BINS, hop: int = HOP_BINS
) -> Spectrogram:
    """Return the spectrogram of one or several series, without padding.

    Parameters
    ----------
    series : (..., n) array_like
        At least a window of bins; NaN where missing, which becomes the mean of the rest.
    bin_seconds : float
        Above 0.
    window, hop : int
        In bins, 1 <= hop <= window; the window is Hann's, less the mean of each series.

    Returns
    -------
    Spectrogram

    Raises
    ------
    InvalidSampleError
        The series is shorter than a window or has infinities, or a size is impossible.
    """
    samples = np.array(series, np.float64)
    if samples.ndim == 0 or samples.shape[-1] < window:
        raise InvalidSampleError("series", f"must have at least one window of {window} bins")
    if np.isinf(samples).any():
        raise InvalidSampleError("series", "must be finite, or NaN where missing")
    if not 1 <= hop <= window:
        raise InvalidSampleError("hop", "must be from 1 bin to the window")
    if not (np.isfinite(bin_seconds) and bin_seconds > 0.0):
        raise InvalidSampleError("bin_seconds", "must be a positive number")
    seen = ~np.isnan(samples)
    count = np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    mean = np.where(seen, samples, 0.0).sum(axis=-1, keepdims=True) / count
    samples = np.where(seen, samples - mean, 0.0)
    taper = hann(window).astype(np.float64)
    transform = ShortTimeFFT(taper, hop, 1.0 / bin_seconds, scale_to="magnitude")
    first, last = transform.lower_border_end[1], transform.upper_border_begin(samples.shape[-1])[1]
    spectra = transform.stft(samples, p0=first, p1=last)
    times = transform.t(samples.shape[-1], p0=first, p1=last)
    return Spectrogram(np.asarray(times), np.asarray(transform.f), np.abs(spectra) ** 2)
