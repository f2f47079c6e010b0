# SPDX-License-Identifier: MIT
"""Whose rhythm does the queue of the others follow?

For each candidate the magnitude-squared coherence of its events with the waits of everybody
else, its own taken off: who fills a queue waits in it too, and would be coherent with himself.
Coherence, not correlation, since a queue follows its cause after a lag; and not the number of
events, which names the busiest, not the culprit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.frames import (
    WINDOW_BINS,
    OnlineFrames,
    frame,
    frequencies_hz,
)
from resonance_core.spectral.lines import is_known
from resonance_core.spectral.scores import Score, scored
from resonance_core.spectral.spectra import CrossSpectra

__all__ = ["HOP_BINS", "NeighbourWatch", "Score", "rank", "waits_of_others"]

Bools = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float32] | npt.NDArray[np.float64]

HOP_BINS: Final = 128
"""Half a window. A quarter would be 9 % more evidence for twice the transforms."""


def waits_of_others(waits: npt.ArrayLike) -> Reals:
    """Return for each channel the sum of what all the others waited.

    Parameters
    ----------
    waits : (channels, n) array_like
        NaN where missing: such a bin is missing for all, as its sum is not known.

    Returns
    -------
    (channels, n) float32 or float64
        As the waits are; summed in float64.

    Raises
    ------
    InvalidSampleError
        The shape is wrong.
    """
    own = np.asarray(waits)
    if own.dtype != np.float32:
        own = own.astype(np.float64)
    if own.ndim != 2:
        raise InvalidSampleError("waits", "must have the shape (channels, bins)")
    others: Reals = np.empty_like(own)
    np.subtract(own.sum(axis=0, dtype=np.float64), own, out=others, casting="same_kind")
    return others


def rank(
    counts: npt.ArrayLike,
    waits_of_others: npt.ArrayLike,
    bin_seconds: float,
    *,
    window: int = WINDOW_BINS,
    hop: int = HOP_BINS,
    known_lines: Sequence[float] = (),
) -> list[Score]:
    """Rank channels by how much the queue of the others follows them.

    Parameters
    ----------
    counts : (channels, n) array_like
        Events (wake-ups, bursts) of each channel per bin; NaN where missing.
    waits_of_others : (channels, n) array_like
        Row k is the queue without channel k, see the function of this name.
    bin_seconds : float
    window, hop : int
        In bins.
    known_lines : sequence of float
        Frequencies in Hz to pass over.

    Returns
    -------
    list of Score
        One per channel, the highest score first; all 0 where n is below a window.

    Raises
    ------
    InvalidSampleError
        The shapes differ, a value is infinite, or a size impossible.
    """
    events, queues = np.asarray(counts), np.asarray(waits_of_others)
    if events.ndim != 2 or events.shape != queues.shape:
        raise InvalidSampleError("counts, waits_of_others", "must be of one shape (channels, bins)")
    spectra = CrossSpectra(len(events), window, hop)
    for start in range(0, events.shape[1] - window + 1, hop):
        bins = slice(start, start + window)
        _add(spectra, frame(np.concatenate([events[:, bins], queues[:, bins]])))
    return scored(
        spectra, frequencies_hz(window, bin_seconds), _band(window, bin_seconds, known_lines)
    )


class NeighbourWatch:
    """The same while the bins come in: one frame per hop, old ones fade.

    Parameters
    ----------
    channels : int
    bin_seconds : float
    window, hop : int
        In bins.
    memory_frames : float
        Time constant in hops; ``inf`` keeps everything, as `rank` does.
    known_lines : sequence of float
        Frequencies in Hz to pass over.

    Raises
    ------
    InvalidSampleError
        A size is impossible.
    """

    def __init__(
        self,
        channels: int,
        bin_seconds: float,
        *,
        window: int = WINDOW_BINS,
        hop: int = HOP_BINS,
        memory_frames: float = math.inf,
        known_lines: Sequence[float] = (),
    ) -> None:
        # Events and queues go through one transform, so that a hole is a hole in both.
        self._frames = OnlineFrames(2 * channels, bin_seconds, window, hop)
        self._spectra = CrossSpectra(channels, window, hop, memory_frames)
        self._channels = channels
        self._band = _band(window, bin_seconds, known_lines)

    def push(self, counts: npt.ArrayLike, waits_of_others: npt.ArrayLike) -> None:
        """Add new bins.

        Parameters
        ----------
        counts : (channels, k) array_like
            Events in each bin; NaN where missing.
        waits_of_others : (channels, k) array_like
            Seconds that the others of each channel waited, as for `rank`.

        Raises
        ------
        InvalidSampleError
            The shape is wrong or a value infinite; nothing was added then.
        """
        both = [np.asarray(each, np.float32) for each in (counts, waits_of_others)]
        if any(each.ndim != 2 or each.shape != both[0].shape for each in both):
            raise InvalidSampleError("counts, waits_of_others", "must be (channels, bins) both")
        for spectrum in self._frames.push(np.concatenate(both)):
            _add(self._spectra, spectrum)

    def clear(self, channel: int) -> None:
        """Forget a channel, as when a slot gets a new owner."""
        self._frames.clear(channel)
        self._frames.clear(self._channels + channel)
        self._spectra.clear(channel)

    def ranking(self) -> list[Score]:
        """Return one score per channel as of now, the highest first; see `scores.scored`."""
        return scored(self._spectra, self._frames.frequencies_hz, self._band)


def _add(spectra: CrossSpectra, both: npt.NDArray[np.complex64] | None) -> None:
    if both is not None:
        half = len(both) // 2
        spectra.update(both[:half], both[half:])


def _band(window: int, bin_seconds: float, known_lines: Sequence[float]) -> Bools:
    """Return which frequencies of a frame count: not DC, not Nyquist, no known line."""
    frequencies = frequencies_hz(window, bin_seconds)
    free = [not is_known(each, known_lines, 1.5 * float(frequencies[1])) for each in frequencies]
    free[0] = free[-1] = False
    return np.array(free)
