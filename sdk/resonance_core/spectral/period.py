# SPDX-License-Identifier: MIT
"""Does a series have a period, which one, and is that more than chance?

Three questions in turn, and each must be answered with yes: is the spectrum less random than
white noise, is there a line, and do the events agree on its phase? The first alone would take
any slow wave for a rhythm, the second alone finds a peak in everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats, positive
from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.entropy import entropy_excess
from resonance_core.spectral.frames import MAX_MISSING_RATIO, stack_frames
from resonance_core.spectral.lines import is_known
from resonance_core.spectral.series import coarsen
from resonance_core.spectral.significance import LineTest
from resonance_core.spectral.spectra import independent_frames
from resonance_core.spectral.tone import aboutanios_mulgrew

__all__ = ["Period", "averaged_periodogram", "dominant_period"]

LEAST_EXCESS: Final = 0.15
"""Of the entropy; *chosen*, as the next, with the generators of the tests: bursts are above,
white noise and slow waves are not, or fail the second."""
LARGEST_P: Final = 1e-3
FUNDAMENTAL_P: Final = 0.01
"""*Chosen* larger: that there is a rhythm, its harmonic has shown already."""
LEAST_BINS: Final = 64
LEAST_CYCLES: Final = 4
"""*Chosen*: fewer cycles are no rhythm yet."""
MAX_DIVISOR: Final = 64
"""Of the strongest line to the fundamental; *chosen*: short bursts have dozens of harmonics of
one height, and noise decides which is the highest."""
LEAST_SHARE: Final = 0.1
"""*Chosen*: a fundamental has at least a tenth of the power of the strongest harmonic."""
_FACTORS: Final = (1, 4, 16)
"""Bins are added up by so many; *chosen*: a period of a second in bins of 5 ms is lost among the
noise of all the frequencies above it, and stands out in bins of 80 ms."""
_PARTS: Final = (8, 2)
"""The windows are such parts of the series: one averages more, one parts the lines of a long
period."""


@dataclass(frozen=True, slots=True)
class Period:
    """What is known of the rhythm of a series.

    Attributes
    ----------
    seconds, frequency_hz : float
        The best candidate, confirmed or not; NaN where the series does not move.
    amplitude : float
        Of the fundamental, in the unit of the series.
    entropy_excess : float
        How much less random than white noise, at most 1; NaN where not known.
    rayleigh_p : float
        Probability that noise of the same colour has such a line anywhere; 1 where not known.
    is_confirmed : bool
    reason : str
        Why, or why not; one clause.
    """

    seconds: float
    frequency_hz: float
    amplitude: float
    entropy_excess: float
    rayleigh_p: float
    is_confirmed: bool
    reason: str


_NOTHING: Final = Period(math.nan, math.nan, 0.0, math.nan, 1.0, is_confirmed=False, reason="")


def averaged_periodogram(series: npt.ArrayLike, window: int, hop: int) -> tuple[Floats, float]:
    """Return the mean power of overlapping Hann windows (Welch).

    Parameters
    ----------
    series : (n,) array_like
        NaN where missing.
    window, hop : int
        In bins.

    Returns
    -------
    power : (window // 2 - 1,) float64
        Without DC and Nyquist: frequency ``k / window`` per bin at index k - 1. Zero where
        no window was whole enough.
    segments : float
        Independent periodograms the mean is worth; 0 without any.

    Raises
    ------
    InvalidSampleError
        Not one-dimensional, infinite, or an impossible size.

    References
    ----------
    Welch, IEEE Trans. Audio Electroacoust. 15 (1967), doi:10.1109/TAU.1967.1161901.
    """
    samples = np.asarray(series, np.float64)
    if samples.ndim != 1:
        raise InvalidSampleError("series", "must have one dimension")
    frames = stack_frames(samples[None], window, hop)[0]
    if not len(frames):
        return np.zeros(window // 2 - 1), 0.0
    power = (np.abs(frames[:, 1:-1]) ** 2).mean(axis=0, dtype=np.float64)
    return power, independent_frames(np.ones(len(frames)), window, hop)


def dominant_period(
    series: npt.ArrayLike, bin_seconds: float, known_lines: Sequence[float] = ()
) -> Period:
    """Find the strongest rhythm of a series of bins.

    Parameters
    ----------
    series : (n,) array_like
        Events or waits per bin; NaN where missing. The shortest period found is two bins;
        a long one is found from 4 cycles on, and confirmed from about 20.
    bin_seconds : float
    known_lines : sequence of float
        Frequencies in Hz that are nobody's, from `lines.known_lines`; they are passed over.

    Returns
    -------
    Period

    Raises
    ------
    InvalidSampleError
        Not one-dimensional or infinite, or a width that is not positive.

    Notes
    -----
    1. Welch periodograms of the series as it is and of its bins added up by 4 and 16, with
       windows of an eighth and of half of it. The one with the largest entropy excess is used.
    2. Its highest peak, refined by Aboutanios and Mulgrew on the whole series. If a whole
       fraction of that frequency has a line too, that is the fundamental.
    3. Rayleigh's test at the fundamental, see `significance.LineTest`; its p is multiplied by
       the number of frequencies that were searched.
    """
    width = positive("bin_seconds", bin_seconds)
    samples = np.asarray(series, np.float64)
    if samples.ndim != 1 or np.isinf(samples).any():
        raise InvalidSampleError(
            "series", "must be one vector of finite numbers, NaN where missing"
        )
    seen = ~np.isnan(samples)
    if seen.sum() < LEAST_BINS:
        return replace(_NOTHING, reason=f"fewer than {LEAST_BINS} bins were seen")
    largest = float(np.abs(samples[seen]).max())
    if not np.ptp(samples[seen]):
        return replace(_NOTHING, reason="every bin is the same")
    samples = samples / largest  # squares of very small or large numbers do not exist
    filled = np.where(seen, samples - samples[seen].mean(), 0.0)
    found = max(_searched(filled, seen, known_lines, width), key=lambda each: each.excess)
    if found.excess == -math.inf:
        return replace(_NOTHING, reason="too much is missing, or all there is are known lines")
    test, margin = LineTest(filled), 1.5 / len(filled)
    lowest = _fundamental(
        test, aboutanios_mulgrew(filled, band=found.band).cycles_per_sample, len(filled)
    )
    tone = aboutanios_mulgrew(filled, band=(lowest - margin, lowest + margin))
    p = min(1.0, test.p(tone.cycles_per_sample) * len(filled) / 2.0)
    is_rhythm, is_line = found.excess > LEAST_EXCESS, p < LARGEST_P
    frequency = tone.cycles_per_sample / width
    return Period(
        1.0 / frequency,
        frequency,
        tone.amplitude * largest,
        found.excess,
        p,
        is_confirmed=is_rhythm and is_line,
        reason=_REASONS[is_rhythm, is_line],
    )


_REASONS: Final = {
    (True, True): "a line far above the noise, and events that agree on its phase",
    (True, False): "it comes in waves, but they keep no phase",
    (False, True): "there is a line, but most of it is noise",
    (False, False): "it is as random as noise",
}


@dataclass(frozen=True, slots=True)
class _Peak:
    """The highest peak of one periodogram, and how far that is from white noise."""

    excess: float
    band: tuple[float, float]


def _searched(
    filled: Floats, seen: npt.NDArray[np.bool_], known_lines: Sequence[float], bin_seconds: float
) -> Iterator[_Peak]:
    for factor in _FACTORS:
        series = coarsen(filled, factor)
        series[coarsen(seen, factor) < (1.0 - MAX_MISSING_RATIO) * factor] = math.nan
        if factor > 1 and len(series) < LEAST_BINS:
            return
        cycles_hz = 1.0 / (factor * bin_seconds)
        known = [abs(line - cycles_hz * round(line / cycles_hz)) for line in known_lines]
        for parts in _PARTS:
            window = max(16, 1 << int(math.log2(len(series) / parts)))
            yield _peak(series, window, factor, [line / cycles_hz for line in known])


def _peak(series: Floats, window: int, factor: int, known_cycles: Sequence[float]) -> _Peak:
    power, segments = averaged_periodogram(series, window, window // 2)
    places = np.arange(1, len(power) + 1)
    free = ~np.array([is_known(k / window, known_cycles, 1.5 / window) for k in places.tolist()])
    power = power[free]
    if segments < 1.0 or len(power) < 2 or not power.any():
        return _Peak(-math.inf, (0.0, 0.0))
    peak = int(places[free][power.argmax()])
    scale = 1.0 / (window * factor)
    return _Peak(float(entropy_excess(power, segments)), ((peak - 1) * scale, (peak + 1) * scale))


def _fundamental(test: LineTest, cycles: float, count: int) -> float:
    """Return the lowest whole fraction of a frequency that has a line of its own."""
    if not _is_line(test, cycles):
        return cycles  # noise has no harmonics
    least = LEAST_SHARE * test.power(cycles)
    for divisor in range(min(MAX_DIVISOR, int(cycles * count / LEAST_CYCLES)), 1, -1):
        lower = cycles / divisor
        if test.power(lower) >= least and _is_line(test, lower):
            return lower
    return cycles


def _is_line(test: LineTest, cycles: float) -> bool:
    return test.p(cycles) * MAX_DIVISOR < FUNDAMENTAL_P
