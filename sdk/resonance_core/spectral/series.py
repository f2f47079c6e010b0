# SPDX-License-Identifier: MIT
"""What happened in each of the last bins of time, and which of them did nobody see?

Three things look alike and are not: a bin in which nothing happened (count 0, no latency), a
bin in which nobody waited (count above 0, wait 0), and a bin that was never read (NaN in
both). They are kept apart here, because a zero where nothing was measured makes a rhythm of
its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError

__all__ = ["BinRing", "Bins", "coarsen", "mean_waits"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bins:
    """A stretch of bins, oldest first; a copy, so it stays true.

    Attributes
    ----------
    start_index : int
        Number of the first bin; its time is ``start_index * bin_seconds``.
    bin_seconds : float
    counts : (channels, n) float32
        Events per bin; NaN where missing.
    waits : (channels, n) float32
        Sum of the waits that ended in the bin, in seconds; 0 where nobody waited or nothing
        happened, NaN where missing.
    missing : (n,) bool
        Bins nobody has read.
    """

    start_index: int
    bin_seconds: float
    counts: Singles
    waits: Singles
    missing: Bools


class BinRing:
    """The last bins of several channels.

    Parameters
    ----------
    channels : int
        At least 1.
    bins : int
        How many are kept, at least 1.
    bin_seconds : float
        Width of each, above 0.

    Attributes
    ----------
    end_index : int
        Number of the bin that comes next; 0 before the first append.
    length : int
        Bins held, at most `bins`; missing ones count.

    Raises
    ------
    InvalidSampleError
        A size is not positive.

    Notes
    -----
    Memory is at most ``8 * channels * bins`` bytes: 256 channels of 4,096 bins take 8.4 MB. A
    channel takes its share with its first event. In float32 a count is exact to 2**24 and a
    wait to a ten-millionth.
    """

    def __init__(self, channels: int, bins: int, bin_seconds: float) -> None:
        _require_positive("channels", channels)
        _require_positive("bins", bins)
        _require_positive("bin_seconds", bin_seconds)
        self.channels = channels
        self.bins = bins
        self.bin_seconds = bin_seconds
        self.end_index = 0
        self.length = 0
        # Pages of channels that see no event are never touched, so never resident.
        self._cells = np.zeros((2, channels, bins), np.float32)
        self._is_filled = np.zeros(channels, np.bool_)
        self._unseen = np.zeros(bins, np.bool_)
        self._since = np.zeros(channels, np.int64)

    def append(
        self,
        start_index: int,
        counts: npt.ArrayLike,
        waits: npt.ArrayLike,
        missing: npt.ArrayLike | None = None,
    ) -> None:
        """Add bins after the last; a gap before them is missing.

        Parameters
        ----------
        start_index : int
            Number of the first new bin, not before `end_index`.
        counts, waits : (channels, k) array_like
            Events, and the sum of their waits in seconds; finite and not negative, but for
            the missing bins, where anything may stand.
        missing : (k,) array_like of bool, optional
            Bins nobody has read.

        Raises
        ------
        InvalidSampleError
            A shape is wrong, a bin was already there, or a value is not finite or negative.
        """
        fresh, unseen = self._checked(counts, waits, missing)
        if self.length and start_index < self.end_index:
            raise InvalidSampleError("start_index", f"bins up to {self.end_index} are already here")
        gap = start_index - self.end_index if self.length else 0
        if gap > 0:
            self._unseen[self._places(self.end_index, min(gap, self.bins))] = True
        width = fresh.shape[2]
        fresh[:, :, unseen] = 0.0
        kept = min(width, self.bins)
        end = start_index + width
        places = self._places(end - kept, kept)
        self._is_filled |= fresh.any(axis=(0, 2))
        filled = np.flatnonzero(self._is_filled)
        self._cells[:, filled[:, np.newaxis], places] = fresh[:, filled, width - kept :]
        self._unseen[places] = unseen[width - kept :]
        self.length = min(self.bins, self.length + gap + width)
        self.end_index = end

    def clear(self, channel: int) -> None:
        """Forget one channel, as when a cgroup's slot gets a new owner: its past is missing."""
        self._since[channel] = self.end_index

    def latest(self, count: int) -> Bins:
        """Return the last bins, at most `length` of them.

        Parameters
        ----------
        count : int
            At least 1.

        Returns
        -------
        Bins
            Of ``min(count, length)`` bins.

        Raises
        ------
        InvalidSampleError
            Less than one bin is asked for.
        """
        _require_positive("count", count)
        taken = min(count, self.length)
        start = self.end_index - taken
        places = self._places(start, taken)
        cells = self._cells[:, :, places]
        unseen = self._unseen[places]
        cells[:, :, unseen] = np.nan
        for channel in np.flatnonzero(self._since > start).tolist():
            cells[:, channel, : self._since[channel] - start] = np.nan
        missing = unseen | (np.arange(start, self.end_index) < self._since.min())
        return Bins(start, self.bin_seconds, cells[0], cells[1], missing)

    def _places(self, start: int, count: int) -> npt.NDArray[np.intp]:
        return np.arange(start, start + count, dtype=np.intp) % self.bins

    def _checked(
        self, counts: npt.ArrayLike, waits: npt.ArrayLike, missing: npt.ArrayLike | None
    ) -> tuple[Singles, Bools]:
        columns = np.shape(counts)[-1:]
        expected = (self.channels, *columns)
        for name, array in (("counts", counts), ("waits", waits)):
            if np.shape(array) != expected or len(expected) != 2:
                raise InvalidSampleError(name, f"must have the shape ({self.channels}, bins)")
        if missing is not None and np.shape(missing) != columns:
            raise InvalidSampleError("missing", "must have one flag per bin")
        unseen = np.zeros(columns, np.bool_) if missing is None else np.array(missing, np.bool_)
        fresh = np.array([counts, waits], np.float32)
        seen = fresh[:, :, ~unseen]
        if not (np.isfinite(seen).all() and (seen >= 0.0).all()):
            raise InvalidSampleError("counts, waits", "must be finite and not negative")
        return fresh, unseen


def mean_waits(bins: Bins) -> Floats:
    """Return the mean wait per bin; NaN where nothing happened.

    Parameters
    ----------
    bins : Bins
        n bins of several channels.

    Returns
    -------
    (channels, n) float64
        Seconds.

    References
    ----------
    Little, Operations Research 9 (1961), doi:10.1287/opre.9.3.383.
    """
    means = np.full(bins.counts.shape, np.nan)
    np.divide(bins.waits, bins.counts, out=means, where=bins.counts > 0.0)
    return means


def coarsen(cells: npt.ArrayLike, factor: int) -> Floats:
    """Add up groups of neighbouring bins; a group with a missing bin is missing.

    Parameters
    ----------
    cells : (..., n) array_like
        NaN where missing. What is left over at the end is not used.
    factor : int
        Bins per group, at least 1.

    Returns
    -------
    (..., n // factor) float64

    Raises
    ------
    InvalidSampleError
        The factor is not positive.
    """
    _require_positive("factor", factor)
    fine = np.asarray(cells, np.float64)
    groups = fine.shape[-1] // factor
    whole = fine[..., : groups * factor].reshape(*fine.shape[:-1], groups, factor)
    return np.asarray(whole.sum(axis=-1))


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InvalidSampleError(name, "must be a positive number")
