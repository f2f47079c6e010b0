# SPDX-License-Identifier: MIT
"""Which sources are there, and what did each do of late?

One row per source in arrays that grow by doubling, so that a tick works on all of them at
once. A row that its source has left is given to the next one. Nothing is judged here.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Floats, Releases, Source
from resonance_core.errors import InvalidSampleError, SourceRefusedError

__all__ = ["LONGEST_NAME", "Roster", "Rows", "check_source"]

Rows = npt.NDArray[np.intp]

LONGEST_NAME: Final = 256
"""*Chosen*: names are kept for every source; bounds their memory."""


def check_source(source: Source, parameters: Parameters) -> None:
    """Refuse a source that cannot be one.

    Parameters
    ----------
    source : Source
    parameters : Parameters
        Of which the shortest and longest period count.

    Raises
    ------
    SourceRefusedError
        If a time is not finite or out of range, or the name too long.
    """
    period = source.period_seconds
    if not math.isfinite(period) or period <= 0.0:
        raise SourceRefusedError(source.name, "its period must be a positive number of seconds")
    if not parameters.min_period_seconds <= period <= parameters.max_period_seconds:
        raise SourceRefusedError(
            source.name,
            f"its period of {period:g} s is not within {parameters.min_period_seconds:g} to "
            f"{parameters.max_period_seconds:g} s",
        )
    if not math.isfinite(source.origin_seconds):
        raise SourceRefusedError(source.name, "its origin must be a finite time")
    if not (math.isfinite(source.slack_seconds) and source.slack_seconds >= 0.0):
        raise SourceRefusedError(source.name, "its slack must be a finite time, not below 0")
    if not (math.isfinite(source.offset_seconds) and 0.0 <= source.offset_seconds < period):
        raise SourceRefusedError(source.name, "its hold must be at least 0 and below its period")
    if len(source.name) > LONGEST_NAME:
        raise SourceRefusedError(
            source.name[:32], f"its name is longer than {LONGEST_NAME} characters"
        )


class Roster:
    """Sources by row.

    Parameters
    ----------
    parameters : Parameters

    Attributes
    ----------
    sources : list of Source or None
        By row; ``None`` where nobody is.
    row_of : dict of int to int
        By key.
    times, works : (rows, estimate_cycles) float64
        Rings of natural releases and of the work of each; NaN where there is none.
    counts : (rows,) int64
        Releases since the source registered, or since its estimates were thrown away.
    total : (rows,) int64
        Releases since it registered.
    last_seconds, since_seconds : (rows,) float64
        Its newest release; when it registered.
    lots : (rows,) float64
        A number in [0, 1) drawn for each at registration.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._depth = parameters.estimate_cycles
        self.sources: list[Source | None] = []
        self.row_of: dict[int, int] = {}
        self._free: list[int] = []
        self.times: Floats = np.empty((0, self._depth))
        self.works: Floats = np.empty((0, self._depth))
        self.counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.total: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.last_seconds: Floats = np.empty(0)
        self.since_seconds: Floats = np.empty(0)
        self.lots: Floats = np.empty(0)

    @property
    def capacity(self) -> int:
        """Rows that the arrays have."""
        return len(self.sources)

    def source(self, row: int) -> Source:
        """Return who is in a row that is taken."""
        source = self.sources[row]
        assert source is not None, row
        return source

    def add(self, source: Source, now_seconds: float, lot: float) -> int:
        """Give a row to a source.

        Parameters
        ----------
        source : Source
        now_seconds : float
            When it registers.
        lot : float
            0 to below 1, drawn once: the lowest are moved first.

        Returns
        -------
        int
            The row.

        Raises
        ------
        SourceRefusedError
            If it cannot be one, its key is taken, or there are too many.
        """
        check_source(source, self._parameters)
        if source.key in self.row_of:
            raise SourceRefusedError(source.name, f"the key {source.key} is taken")
        if len(self.row_of) >= self._parameters.max_sources:
            raise SourceRefusedError(
                source.name, f"there are {self._parameters.max_sources} sources already"
            )
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.sources[row] = source
        self.row_of[source.key] = row
        self.forget(row)
        self.total[row] = 0
        self.last_seconds[row] = -math.inf
        self.since_seconds[row] = now_seconds
        self.lots[row] = lot
        return row

    def remove(self, key: int) -> int | None:
        """Take a source out and return the row it had; ``None`` if it is not there."""
        row = self.row_of.pop(key, None)
        if row is not None:
            self.sources[row] = None
            self._free.append(row)
        return row

    def forget(self, row: int) -> None:
        """Throw away what was seen of a source; its newest release stays known."""
        self.times[row] = math.nan
        self.works[row] = math.nan
        self.counts[row] = 0

    def forget_all(self) -> None:
        """Throw away what was seen of all sources, and when: time itself has changed."""
        for row in self.row_of.values():
            self.forget(row)
        self.last_seconds[:] = -math.inf

    @property
    def rows(self) -> Rows:
        """Rows that are taken, in the order of registration."""
        return np.fromiter(self.row_of.values(), np.intp, len(self.row_of))

    def silent(self, before_seconds: Floats) -> list[int]:
        """Return the rows of which something is known, but nothing newer than a time of each."""
        late = (self.last_seconds < before_seconds) & (self.counts > 0)
        return [row for row in np.flatnonzero(late).tolist() if self.sources[row] is not None]

    def record(self, releases: Releases) -> int:
        """Take in what a source did, and return its row.

        Parameters
        ----------
        releases : Releases
            After those of the last report.

        Returns
        -------
        int
            The row.

        Raises
        ------
        InvalidSampleError
            If the key is unknown, or a series is not ascending, not finite, or negative.
        """
        row = self.row_of.get(releases.key)
        if row is None:
            raise InvalidSampleError("key", f"no source has the key {releases.key}")
        at, work = releases.at_seconds, releases.work_seconds
        if not at.shape == work.shape == releases.completion_seconds.shape or at.ndim != 1:
            raise InvalidSampleError("releases", "the series must be of one length")
        size = len(at)
        if size == 0:
            return row
        if not np.isfinite(at).all() or at[0] <= self.last_seconds[row]:
            raise InvalidSampleError("at_seconds", "must be finite and after the last report")
        if size > 1 and not (at[1:] > at[:-1]).all():
            raise InvalidSampleError("at_seconds", "must be ascending")
        if _is_absurd(work) or np.isinf(releases.completion_seconds).any():
            raise InvalidSampleError("work_seconds", "must be at least 0 and finite, or NaN")
        kept = min(size, self._depth)
        self.counts[row] += size - kept
        self._store(row, at[-kept:], work[-kept:])
        self.counts[row] += kept
        self.total[row] += size
        self.last_seconds[row] = at[-1]
        return row

    def newest(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the rings of some rows, oldest first.

        Parameters
        ----------
        rows : (n,) intp

        Returns
        -------
        times, works : (n, estimate_cycles) float64
            Seconds; NaN where fewer were seen.
        """
        order = (self.counts[rows][:, None] + np.arange(self._depth)) % self._depth
        return (
            np.take_along_axis(self.times[rows], order, axis=1),
            np.take_along_axis(self.works[rows], order, axis=1),
        )

    def _store(self, row: int, at: Floats, work: Floats) -> None:
        places = (int(self.counts[row]) + np.arange(len(at))) % self._depth
        self.times[row, places] = at
        self.works[row, places] = work

    def _grow(self) -> None:
        old = self.capacity
        size = max(16, old)
        self.sources.extend([None] * size)
        self._free.extend(range(old + size - 1, old - 1, -1))
        blank = np.full((size, self._depth), math.nan)
        self.times = np.concatenate([self.times, blank])
        self.works = np.concatenate([self.works, blank])
        self.counts = np.concatenate([self.counts, np.zeros(size, np.int64)])
        self.total = np.concatenate([self.total, np.zeros(size, np.int64)])
        self.last_seconds = np.concatenate([self.last_seconds, np.full(size, -math.inf)])
        self.since_seconds = np.concatenate([self.since_seconds, np.zeros(size)])
        self.lots = np.concatenate([self.lots, np.zeros(size)])


def _is_absurd(work_seconds: Floats) -> bool:
    return bool((work_seconds < 0.0).any() or np.isinf(work_seconds).any())
