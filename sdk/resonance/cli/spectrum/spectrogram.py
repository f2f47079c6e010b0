# SPDX-License-Identifier: MIT
"""At which frequencies did tasks queue, over time: the spectrum of each window, in dB.

The signal is the mean number of tasks that wait for a CPU, per bin. 0 dB is the median over the
frequencies of the same window: what noise has. So a busy second, which is loud at all of them,
hides no rhythm: that stands above as a line, and so do its multiples.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from resonance_core.spectral import stft
from resonance_core.spectral.frames import MAX_MISSING_RATIO

__all__ = ["LEAST_BINS", "Spectrogram", "banded", "spectrogram"]

_WINDOW_BINS = 512
"""*Chosen*: at 5 ms per bin it holds two turns of a rhythm of one second."""
_WINDOWS_AT_LEAST = 4
"""*Chosen*: a short recording is cut into shorter windows, so that it still moves."""
_LEVEL_BINS = 2
"""A Hann window smears the level of the series, which is no rhythm, over so many frequencies."""
LEAST_BINS = 64
"""*Chosen*: below, a window resolves nothing that could be called a frequency."""
_OVERLAP = 8
_NOTHING = 1e-20
"""What rounding leaves of a constant; a single wait of 1 us has more."""
_SILENCE_RATIO = 1e-4
"""*Chosen*: a window 40 dB below the others has no noise to stand above."""


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """Power over frequency and time.

    Attributes
    ----------
    hz : tuple of float
        Frequencies, ascending, without those of the level.
    seconds : tuple of float
        Middle of each window, from the start of the series.
    decibels : tuple of (tuple of float, or None)
        Per window, power per frequency above its median; None where too many bins of the
        window are missing.
    """

    hz: tuple[float, ...]
    seconds: tuple[float, ...]
    decibels: tuple[tuple[float, ...] | None, ...]


def spectrogram(series: Sequence[float], bin_seconds: float) -> Spectrogram | None:
    """Return the spectrogram of a series with NaN where bins are missing.

    None where the series is too short, too torn, or constant: there is nothing to show.
    """
    if len(series) < LEAST_BINS:
        return None
    window = min(_WINDOW_BINS, 1 << ((len(series) // _WINDOWS_AT_LEAST).bit_length() - 1))
    hop = window // _OVERLAP
    if all(math.isnan(value) for value in series):
        return None
    found = stft.spectrogram(series, bin_seconds, window, hop)
    powers: list[list[float]] = found.power[_LEVEL_BINS:].T.tolist()  # per window
    floors = [statistics.median(each) for each in powers]
    if max(map(max, powers)) <= _NOTHING:
        return None
    least = max(_SILENCE_RATIO * statistics.median(floors), _NOTHING)
    return Spectrogram(
        hz=tuple(found.frequencies_hz.tolist()[_LEVEL_BINS:]),
        seconds=tuple(found.times_seconds.tolist()),
        decibels=tuple(
            None
            if _is_torn(series[at * hop : at * hop + window])
            else tuple(_decibels(power, max(floor, least)) for power in each)
            for at, (each, floor) in enumerate(zip(powers, floors, strict=True))
        ),
    )


def _is_torn(window: Sequence[float]) -> bool:
    """Return whether so much of a window was filled in that its spectrum says little."""
    return sum(map(math.isnan, window)) > MAX_MISSING_RATIO * len(window)


def _decibels(power: float, floor: float) -> float:
    return 10.0 * math.log10(power / floor) if power > _NOTHING else -math.inf


def banded(
    picture: Spectrogram, rows: int, columns: int
) -> tuple[list[float], list[list[float | None]]]:
    """Fit a spectrogram to so many rows and at most so many columns.

    Returns
    -------
    hz : (rows,) list
        Middle of each row, highest first; equal steps of pitch, not of frequency, so that
        a rhythm of seconds gets as much room as one of milliseconds.
    cells : (rows, columns) list
        The strongest of what falls into a cell, dB; None where nothing is known.
    """
    low, high = math.log(picture.hz[0]), math.log(picture.hz[-1])
    edges = [math.exp(high - (high - low) * row / rows) for row in range(rows + 1)]
    bands = [_band(picture.hz, edges[row + 1], edges[row]) for row in range(rows)]
    columns = min(columns, len(picture.decibels))
    spans = [_span(len(picture.decibels), column, columns) for column in range(columns)]
    cells = [[_strongest(picture, band, span) for span in spans] for band in bands]
    return [math.sqrt(edges[row] * edges[row + 1]) for row in range(rows)], cells


def _band(hz: Sequence[float], low: float, high: float) -> range:
    """Return the frequencies of a band, or the nearest where none lies in it."""
    inside = [at for at, each in enumerate(hz) if low <= each < high]
    if inside:
        return range(inside[0], inside[-1] + 1)
    middle = math.sqrt(low * high)
    nearest = min(range(len(hz)), key=lambda at: abs(hz[at] - middle))
    return range(nearest, nearest + 1)


def _span(length: int, column: int, columns: int) -> range:
    return range(length * column // columns, length * (column + 1) // columns)


def _strongest(picture: Spectrogram, band: range, span: range) -> float | None:
    known = [each for at in span if (each := picture.decibels[at]) is not None]
    if not known:
        return None
    return max(window[at] for window in known for at in band)
