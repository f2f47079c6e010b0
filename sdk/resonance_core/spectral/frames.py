# SPDX-License-Identifier: MIT
"""What is the spectrum of the last window of bins, each time a hop of new ones has come?

One rfft over all channels per hop, in float32: nothing that was transformed once is
transformed again. A window with holes is filled with its own mean, which adds no line; one
with too many holes gives no frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError

__all__ = [
    "OnlineFrames",
    "frame",
    "frequencies_hz",
    "hann",
    "require_sizes",
    "stack_frames",
]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]

WINDOW_BINS: Final = 256
HOP_BINS: Final = 64
MAX_MISSING_RATIO: Final = 0.25
"""*Chosen*: with a quarter of a Hann window filled in, a line keeps at least half of its power."""

_ROWS: Final = 128
"""Transformed in one call; *chosen*: 512 rows take three times as long at once as in four."""


def hann(window: int) -> Singles:
    """Return the periodic Hann window: the one whose copies add up.

    Parameters
    ----------
    window : int
        Bins, at least 4.

    Returns
    -------
    (window,) float32
        0.5 - 0.5 cos(2 pi k / window), 0 to 1.

    Raises
    ------
    InvalidSampleError
        Fewer than 4 bins.

    References
    ----------
    Harris, Proc. IEEE 66 (1978), doi:10.1109/PROC.1978.10837.
    """
    if window < 4:
        raise InvalidSampleError("window", "must be at least 4 bins")
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window), np.float32)


def frequencies_hz(window: int, bin_seconds: float) -> Floats:
    """Return the frequencies of a frame, (window // 2 + 1,): from 0 to Nyquist."""
    return np.asarray(np.fft.rfftfreq(window, bin_seconds), np.float64)


def frame(samples: npt.ArrayLike) -> Complexes | None:
    """Return the spectrum of one window, or None where too much of it is missing.

    Parameters
    ----------
    samples : (channels, window) array_like
        NaN where missing.

    Returns
    -------
    (channels, window // 2 + 1) complex64, or None
        Of the samples less their mean, under a Hann window, not normalised. A channel of
        which more than a quarter is missing has a frame of zeros; None where all have.

    Raises
    ------
    InvalidSampleError
        A sample is infinite.
    """
    block = np.array(samples, np.float32)
    if np.isinf(block).any():
        raise InvalidSampleError("samples", "must be finite, or NaN where missing")
    return _frame(block)


def _frame(block: Singles) -> Complexes | None:
    """Return what `frame` does; the samples are overwritten."""
    holes = np.isnan(block)
    if holes.any():
        torn = holes.mean(axis=-1) > MAX_MISSING_RATIO
        if torn.all():
            return None
        block[holes] = 0.0
        seen = np.maximum(block.shape[-1] - holes.sum(axis=-1, keepdims=True), 1)
        block -= (block.sum(axis=-1, keepdims=True) / seen).astype(np.float32)
        block[holes] = 0.0
        block[torn] = 0.0
    else:
        block -= block.mean(axis=-1, keepdims=True)
    block *= hann(block.shape[-1])
    spectra = np.empty((len(block), block.shape[-1] // 2 + 1), np.complex64)
    for start in range(0, len(block), _ROWS):
        rows = slice(start, start + _ROWS)
        spectra[rows] = np.fft.rfft(block[rows], axis=-1)
    return spectra


def stack_frames(
    samples: npt.ArrayLike, window: int = WINDOW_BINS, hop: int = HOP_BINS
) -> Complexes:
    """Return all frames of a stretch of bins at once.

    Parameters
    ----------
    samples : (channels, n) array_like
        NaN where missing.
    window, hop : int
        In bins.

    Returns
    -------
    (channels, frames, window // 2 + 1) complex64
        Fewer frames where windows are torn; none where n is below `window`.

    Raises
    ------
    InvalidSampleError
        A sample is infinite, or a size impossible.
    """
    series = np.asarray(samples, np.float32)
    if series.ndim != 2:
        raise InvalidSampleError("samples", "must have the shape (channels, bins)")
    require_sizes(window, hop)
    starts = range(0, series.shape[1] - window + 1, hop)
    if np.isinf(series).any():
        raise InvalidSampleError("samples", "must be finite, or NaN where missing")
    frames = [_frame(series[:, start : start + window].copy()) for start in starts]
    whole = [each for each in frames if each is not None]
    if not whole:
        return np.empty((series.shape[0], 0, window // 2 + 1), np.complex64)
    return np.stack(whole, axis=1)


class OnlineFrames:
    """Makes a frame of all channels whenever a hop of new bins is complete.

    Parameters
    ----------
    channels : int
    bin_seconds : float
    window, hop : int
        In bins, 1 <= hop <= window.

    Raises
    ------
    InvalidSampleError
        A size is impossible.
    """

    def __init__(
        self,
        channels: int,
        bin_seconds: float,
        window: int = WINDOW_BINS,
        hop: int = HOP_BINS,
    ) -> None:
        require_sizes(window, hop)
        if channels < 1 or not (math.isfinite(bin_seconds) and bin_seconds > 0.0):
            raise InvalidSampleError("channels, bin_seconds", "must be positive")
        self.channels = channels
        self.window = window
        self.hop = hop
        self.frequencies_hz = frequencies_hz(window, bin_seconds)
        self._recent = np.empty((channels, window), np.float32)
        self._held = 0

    def push(self, samples: npt.ArrayLike) -> list[Complexes]:
        """Add new bins and return the frames they complete, oldest first.

        Parameters
        ----------
        samples : (channels, k) array_like
            NaN where missing.

        Returns
        -------
        list of (channels, window // 2 + 1) complex64
            One per hop that is complete and was seen.

        Raises
        ------
        InvalidSampleError
            The shape is wrong or a sample infinite; nothing was added then.
        """
        fresh = np.asarray(samples, np.float32)
        if fresh.ndim != 2 or fresh.shape[0] != self.channels:
            raise InvalidSampleError("samples", f"must have the shape ({self.channels}, bins)")
        if np.isinf(fresh).any():
            raise InvalidSampleError("samples", "must be finite, or NaN where missing")
        return [each for each in self._frames(fresh) if each is not None]

    def clear(self, channel: int) -> None:
        """Forget one channel: its past is missing from the frames to come."""
        self._recent[channel, : self._held] = np.nan

    def reset(self) -> None:
        """Forget everything, as after a gap longer than the window."""
        self._held = 0

    def _frames(self, fresh: Singles) -> Iterator[Complexes | None]:
        used = 0
        while used < fresh.shape[1]:
            taken = min(self.window - self._held, fresh.shape[1] - used)
            self._recent[:, self._held : self._held + taken] = fresh[:, used : used + taken]
            used += taken
            self._held += taken
            if self._held == self.window:
                yield _frame(self._recent.copy())
                kept = self.window - self.hop
                self._recent[:, :kept] = self._recent[:, self.hop :].copy()
                self._held = kept


def require_sizes(window: int, hop: int) -> None:
    """Raise `InvalidSampleError` unless a window can be cut into such hops, in bins."""
    if window < 4 or window % 2:
        raise InvalidSampleError("window", "must be an even number of at least 4 bins")
    if not 1 <= hop <= window:
        raise InvalidSampleError("hop", "must be from 1 bin to the window")
