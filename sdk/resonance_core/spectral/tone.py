# SPDX-License-Identifier: MIT
"""What are the frequency, the amplitude and the phase of one sinusoid in noise?

As exactly as the noise allows: within 2 % of the Cramer-Rao bound, where a parabola through
three bins of a Hann spectrum misses it by 2.4 times.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats, finite, positive
from resonance_core.errors import InvalidSampleError

__all__ = ["Tone", "aboutanios_mulgrew", "fourier_sum", "phase_at"]

_LEAST_SAMPLES: Final = 8
_ROW: Final = 64


@dataclass(frozen=True, slots=True)
class Tone:
    """The sinusoid ``amplitude * cos(2 pi cycles_per_sample k + phase_rad)``, k = 0, 1, ...

    Attributes
    ----------
    cycles_per_sample : float
        Above 0 and below 0.5, by at least half a cycle in the whole series.
    amplitude : float
        Not negative.
    phase_rad : float
        At the first sample, -pi to pi.
    """

    cycles_per_sample: float
    amplitude: float
    phase_rad: float


def aboutanios_mulgrew(
    samples: npt.ArrayLike,
    iterations: int = 3,
    band: tuple[float, float] = (0.0, 0.5),
) -> Tone:
    """Fit the strongest sinusoid of a real series.

    Parameters
    ----------
    samples : (n,) array_like
        At least 8; the mean is taken off.
    iterations : int
        Each halves what is left of the bias and more; 3 reach the bound.
    band : (float, float)
        Cycles per sample, between which the search begins.

    Returns
    -------
    Tone
        With amplitude 0 where all samples are the same.

    Raises
    ------
    InvalidSampleError
        Too few samples, one is not finite, no iteration, or no frequency in the band.

    Notes
    -----
    A real sinusoid has an image at the negative frequency, whose leakage biases the fit from
    20 dB upwards. The image is known as soon as the tone is, so it is taken off in every
    iteration [2]_.

    References
    ----------
    .. [1] Aboutanios, Mulgrew, "Iterative frequency estimation by interpolation on Fourier
       coefficients", IEEE Trans. Signal Process. 53 (2005), doi:10.1109/TSP.2005.843719.
    .. [2] Ye, Aboutanios, "Rapid accurate frequency estimation of multiple resolved
       exponentials in noise", Signal Process. 132 (2017), doi:10.1016/j.sigpro.2016.09.010.
    """
    series = finite("samples", samples)
    count = len(series)
    if count < _LEAST_SAMPLES or iterations < 1:
        raise InvalidSampleError("samples, iterations", "must be at least 8 and 1")
    series = series - series.mean()
    cycles = _strongest(series, band)
    half = complex(0.0)
    for _ in range(iterations):
        half = _half_amplitude(series, cycles, half)
        above, below = (
            fourier_sum(series, cycles + step)
            - half.conjugate() * _kernel(2.0 * cycles + step, count)
            for step in (0.5 / count, -0.5 / count)
        )
        if above == below:
            break
        shift = ((above + below) / (above - below)).real / (2.0 * count)
        # A step of more than a bin is no interpolation: that happens only without a line.
        step = max(-1.0, min(1.0, shift * count)) / count
        cycles = min(max(cycles + step, 0.5 / count), 0.5 - 0.5 / count)
    half = _half_amplitude(series, cycles, half)
    return Tone(cycles, 2.0 * abs(half), cmath.phase(half))


def phase_at(series: npt.ArrayLike, bin_seconds: float, frequency_hz: float) -> float:
    """Return the phase of a binned series at a frequency that is known.

    Parameters
    ----------
    series : (n,) array_like
        For instance events per bin; the times are the middles of the bins.
    bin_seconds, frequency_hz : float

    Returns
    -------
    float
        -pi to pi: that of ``cos(2 pi f t + phase)``, t from the start of the series; so the
        peaks are at ``t = -phase / (2 pi f)`` and a period later.

    Raises
    ------
    InvalidSampleError
        Empty, not finite, or not positive.
    """
    samples = finite("series", series)
    if not len(samples):
        raise InvalidSampleError("series", "must have at least one bin")
    cycles = positive("frequency_hz", frequency_hz) * positive("bin_seconds", bin_seconds)
    total = fourier_sum(samples - samples.mean(), cycles)
    return cmath.phase(total * cmath.exp(-1j * math.pi * cycles))


def fourier_sum(series: Floats, cycles: float) -> complex:
    """Return sum of ``x_k exp(-2 pi i cycles k)``, at any frequency.

    The exponential of a sum is a product, so a table of 64 and one of n / 64 do for all n.

    Parameters
    ----------
    series : (n,) float64
    cycles : float
        Per sample.

    Returns
    -------
    complex
        In the unit of the series.
    """
    rows = len(series) // _ROW
    angles = 2.0 * math.pi * cycles * np.arange(_ROW)
    table = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    starts = np.exp(-2j * math.pi * cycles * _ROW * np.arange(rows + 1))
    sums = np.empty((rows + 1, 2))
    np.matmul(series[: rows * _ROW].reshape(rows, _ROW), table, out=sums[:rows])
    rest = series[rows * _ROW :]
    sums[rows] = rest @ table[: len(rest)]
    return complex(starts @ (sums[:, 0] - 1j * sums[:, 1]))


def _strongest(series: Floats, band: tuple[float, float]) -> float:
    count = len(series)
    low, high = max(1, math.ceil(band[0] * count)), min((count - 1) // 2, int(band[1] * count))
    if low > high:
        raise InvalidSampleError("band", "has no frequency of the series between its ends")
    power = np.abs(np.fft.rfft(series)[low : high + 1])
    return (low + int(power.argmax())) / count


def _half_amplitude(series: Floats, cycles: float, half: complex) -> complex:
    """Return A/2 exp(i phase), less what the image of the last one leaks into it."""
    count = len(series)
    total = fourier_sum(series, cycles)
    return (total - half.conjugate() * _kernel(2.0 * cycles, count)) / count


def _kernel(cycles: float, count: int) -> complex:
    """Return sum of ``exp(-2 pi i cycles k)`` over k = 0 .. count - 1."""
    ratio = cmath.exp(-2j * math.pi * cycles)
    if abs(1.0 - ratio) < 1e-12:
        return complex(count)
    return (1.0 - cmath.exp(-2j * math.pi * cycles * count)) / (1.0 - ratio)
