# SPDX-License-Identifier: MIT
"""Is a line at this frequency more than the noise around it would make?"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.calculus.arguments import Floats
from resonance_core.spectral.frames import hann
from resonance_core.spectral.tone import fourier_sum

__all__ = ["LineTest", "median"]

REACH: Final = 1.8
"""Noise is looked for from f / 1.8 to 1.8 f, *chosen*: a red spectrum is as much above on one
side as below on the other, and no other harmonic of f is inside."""
MAX_NEIGHBOURS: Final = 50
"""To either side; *chosen*: enough to know a median to a tenth."""
_LINE_BINS: Final = 3
"""To either side of a frequency that belong to the line: Hann's two, and one."""


class LineTest:
    """Rayleigh's test at any frequency of one series, against its own noise.

    For a series of counts c the folded phases of the events give Rayleigh's
    ``z = |sum c exp(-i w t)|^2 / sum c``, whose p is ``exp(-z)`` if events are independent.
    They seldom are: wake-ups come in clumps, load comes in waves. So the noise is taken from
    the series: once from its variance, which makes the share of the energy at a frequency
    Beta distributed, and once from the neighbouring frequencies, under a Hann window so that
    neither the line nor a trend leaks into them. The larger p counts.

    Parameters
    ----------
    series : (n,) float64
        With mean 0 and some energy.

    References
    ----------
    Brockwell, Davis, Time Series: Theory and Methods, 1991, section 10.2. The median of m
    exponential variables is worth a mean of about m / 2 of them.
    """

    def __init__(self, series: Floats) -> None:
        self._series = series
        self._energy = float(series @ series)
        self._tapered = series * hann(len(series))
        self._spectrum = np.abs(np.fft.rfft(self._tapered)) ** 2

    def power(self, cycles: float) -> float:
        """Return the power of the strongest of three bins at a frequency.

        Under the Hann window that is at least 0.72 of the power of a line between two bins: 1.42 dB
        are lost halfway.

        Parameters
        ----------
        cycles : float
            Per bin, between 0 and 0.5.

        Returns
        -------
        float
            Square of the modulus under the window, in the unit of the series squared.

        References
        ----------
        Harris, Proc. IEEE 66 (1978), doi:10.1109/PROC.1978.10837, table 1 (scallop loss).
        """
        centre = round(cycles * len(self._series))
        return float(self._spectrum[max(1, centre - 1) : centre + 2].max(initial=0.0))

    def p(self, cycles: float) -> float:
        """Return the probability that noise has such a line at this frequency.

        Parameters
        ----------
        cycles : float
            Per bin, between 0 and 0.5.

        Returns
        -------
        float
            0 to 1; 1 where no neighbouring frequency is there to compare with.
        """
        count = len(self._series)
        energy = abs(fourier_sum(self._series, cycles)) ** 2
        share = min(1.0, 2.0 * energy / (count * self._energy))
        white = math.pow(1.0 - share, (count - 3.0) / 2.0)
        near = self._neighbours(cycles)
        if not len(near):
            return 1.0
        noise = float(median(near)) / math.log(2.0)
        if noise <= 0.0:
            return white
        power = abs(fourier_sum(self._tapered, cycles)) ** 2
        worth = len(near) / 2.0
        return max(white, math.pow(1.0 + power / (noise * worth), -worth))

    def _neighbours(self, cycles: float) -> Floats:
        centre = cycles * len(self._series)
        low = max(1, math.ceil(centre / REACH), round(centre) - MAX_NEIGHBOURS)
        high = min(
            len(self._spectrum) - 1, math.floor(centre * REACH), round(centre) + MAX_NEIGHBOURS
        )
        places = np.arange(low, high + 1)
        near: Floats = self._spectrum[places[np.abs(places - centre) > _LINE_BINS]]
        return near


def median(values: Floats) -> Floats:
    """Return the median along the last axis.

    ``np.median`` loads the masked arrays for that, more than a megabyte of code.

    Parameters
    ----------
    values : (..., n) float64
        Finite, n >= 1.

    Returns
    -------
    (...) float64
    """
    count = values.shape[-1]
    low, high = (count - 1) // 2, count // 2
    parts = np.partition(values, (low, high), axis=-1)
    middle: Floats = (parts[..., low] + parts[..., high]) / 2.0
    return middle
