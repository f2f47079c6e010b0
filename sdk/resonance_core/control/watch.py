# SPDX-License-Identifier: MIT
"""What did sources and others do while nothing was held, and what would they have done else?

Bursts are reported when they are over, bins when they are closed. Both are kept until a stretch
of time is known entirely; then its waits are counted by what they met.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.counterfactual import (
    BACKLOG_EDGES,
    IN_FLIGHT_EDGES,
    LEVELS,
    Counterfactual,
    Ints,
    levels,
)
from resonance_core.control.records import Floats, Releases
from resonance_core.control.replay import (
    backlog,
    backlog_again,
    cores_left,
    in_flight,
    in_flight_again,
)
from resonance_core.control.series import Begun, Series

__all__ = ["Watch"]

MOST_BURSTS: Final = 12_288
"""*Chosen*: kept per group, the newest."""
MOST_WAITING: Final = 16_384
"""*Chosen*: reported, and of a time of which the waits are not known yet; with more of them what
follows is left out until the next chunk."""
MOST_AT_ONCE: Final = 8192
"""*Chosen*: bins of one stretch; after a longer silence the newest will do."""
MOST_REPLAYED: Final = 512
MOST_CYCLES: Final = 16
"""*Chosen*: bursts and periods of a replay; enough for chance to show, and cheap."""
LEARNT_PERIODS: Final = 600.0
"""*Chosen*: what others need is a mean over half as many periods at least, once it is known."""
MOST_FITTED: Final = 256
"""*Chosen*: bursts by which the CPUs are found that are left to the sources."""
_ALONE: Final = 0.95
"""Quantile of work by completion that is taken for the CPUs one burst can use."""


class Watch:
    """The bursts of one group, beside the waits of others.

    Parameters
    ----------
    period_seconds : float
        Of the group.
    series : Series
        The waits of others.
    cores : float
    """

    def __init__(self, period_seconds: float, series: Series, cores: float) -> None:
        self._cores = cores
        self._period = period_seconds
        self._series = series
        self._since = self._until = math.inf
        self._is_paused = True
        self._fresh: list[Floats] = []
        self._waiting = 0
        self._bursts: Floats = np.empty((4, 0))
        """Row of the source, release, work, and end."""
        self._done = self._counted = 0
        self._before = 0.0
        self._spent = self._events = self._watched = 0.0
        """Of others: CPU time, waits, and in how many seconds."""

    def pause(self, now_seconds: float) -> None:
        """Leave out what begins from now on: it is held, or of another membership."""
        if not self._is_paused:
            self._is_paused = True
            self._until = now_seconds

    def resume(self, now_seconds: float) -> None:
        """Count what begins from now on, as nothing is held; goes on where that was so before."""
        if self._is_paused:
            self._is_paused = False
            self._since, self._until = now_seconds, math.inf
            self._fresh.clear()
            self._waiting = 0
            self._bursts = np.empty((4, 0))
            self._done = -1

    def add(self, row: int, releases: Releases) -> None:
        """Take in what one source did."""
        at = releases.at_seconds
        if at[-1] < self._since or at[0] >= self._until:
            return
        self._waiting += len(at)
        if self._waiting > MOST_WAITING:
            self.pause(float(at[0]))
            return
        rows = np.full(len(at), float(row))
        ends = at + releases.completion_seconds
        self._fresh.append(np.stack((rows, at, releases.work_seconds, ends)))

    def advance(self, known_seconds: float, busy_ratio: float, waits: Counterfactual) -> None:
        """Count what has become known.

        Parameters
        ----------
        known_seconds : float
            All bursts that began before are reported.
        busy_ratio : float
            Share of the CPUs' time in use; NaN where not known.
        waits : Counterfactual
            That they are counted in.
        """
        series = self._series
        if math.isinf(self._since) or math.isnan(series.bin_seconds):
            return
        if self._done < series.first:
            self._begin()
        known = min(known_seconds, self._until)
        end = min(series.end, series.number(known)) if math.isfinite(known) else self._done
        if end - self._done > MOST_AT_ONCE:
            self._begin(end - MOST_AT_ONCE)
        if end <= self._done:
            return  # while sources are held there is nothing to learn
        begun = self._series.begun(self._done, end)
        if begun.bins > 0:
            self._gather(begun.bins)
            self._count(begun, busy_ratio, waits)

    def _count(self, begun: Begun, busy_ratio: float, waits: Counterfactual) -> None:
        """Count a stretch by the levels that its waits met."""
        first, bins, width = self._done, begun.bins, self._series.bin_seconds
        is_known = np.isfinite(self._bursts[2:]).all(axis=0)
        _, at, work, ends = self._bursts[:, is_known]
        at, ends = at - self._series.start_seconds(first), ends - self._series.start_seconds(first)
        place = np.floor(at / width)
        inside = (place >= 0.0) & (place < bins)
        load: Floats = np.bincount(place[inside].astype(np.intp), work[inside], bins).astype(
            np.float64
        )
        self._learn(begun, busy_ratio, float(load.sum()))
        load += begun.load(self._each_seconds)
        left = backlog(load, self._cores * width, self._before)
        self._done, self._before = first + bins, float(left[-1])
        if not is_known.all():
            return
        flight = levels(in_flight(at, ends, bins, width), IN_FLIGHT_EDGES)
        behind = levels(left / self._cores, BACKLOG_EDGES)
        passed = np.flatnonzero(begun.is_seen & (np.arange(first, first + bins) >= self._counted))
        some = begun.place >= max(self._counted - first, 0)
        met = begun.place[some]
        waits.add(
            (flight[passed], behind[passed]),
            (flight[met], behind[met]),
            begun.mean_seconds[some],
            begun.events[some],
        )

    def planned(self, holds_seconds: dict[int, float]) -> tuple[Floats, Floats] | None:
        """Replay the last periods with other holds.

        Parameters
        ----------
        holds_seconds : dict of int to float
            By row; rows that are not in it are not held.

        Returns
        -------
        in_flight_bins, backlog_bins : (LEVELS,) float64
            For how long each level is there; ``None`` where too little is known: no whole
            period, or bursts of which work or end is not.
        """
        series, width = self._series, self._series.bin_seconds
        if self._done <= max(series.first, self._counted):
            return None
        end = series.start_seconds(self._done)
        row, at, work, ends = self._bursts
        cycles = self._cycles(end - at)
        bins = round(cycles * self._period / width)
        if not cycles or self._done - bins < max(series.first, self._counted):
            return None
        start = end - bins * width
        chosen = (at >= start) & (at < end)
        row, at, work, taken = row[chosen], at[chosen], work[chosen], (ends - at)[chosen]
        begun = series.begun(self._done - bins, self._done)
        is_known = np.isfinite(work).all() and np.isfinite(taken).all()
        if not len(at) or not is_known or begun.bins < bins:
            return None
        widest = self._widest(work / np.maximum(taken, 1e-9))
        left = self._cores_left(at - start, work, taken, widest)
        held = np.array([holds_seconds.get(each, 0.0) for each in row.astype(np.intp).tolist()])
        begin = np.mod(at - start + held, bins * width)
        order = np.argsort(begin, kind="stable")
        begin, work = begin[order], work[order]
        flight = in_flight_again(
            begin,
            work,
            bins=bins,
            bin_seconds=width,
            overlap_bins=round(self._period / width),
            cores=left,
            widest_cores=widest,
        )
        load = begun.load(self._each_seconds)
        load += np.bincount(np.minimum(begin / width, bins - 1).astype(np.intp), work, bins)
        behind = backlog_again(load, self._cores * width) / self._cores
        return _counted(levels(flight, IN_FLIGHT_EDGES)), _counted(levels(behind, BACKLOG_EDGES))

    def _cores_left(self, begin: Floats, work: Floats, taken: Floats, widest: float) -> float:
        order = np.argsort(begin, kind="stable")[-MOST_FITTED:]
        mean = float(taken[order].mean())
        return cores_left(begin[order], work[order], mean, self._cores, widest)

    def _widest(self, used_cores: Floats) -> float:
        """Return the CPUs that one burst can use: a process with one thread, one."""
        most = float(np.sort(used_cores)[int(_ALONE * (len(used_cores) - 1))])
        return min(max(most, 1.0), self._cores)

    def _begin(self, number: int | None = None) -> None:
        """Start a stretch, in which a period passes before anything counts."""
        series = self._series
        first = series.number(self._since) if number is None else number
        self._done = max(first, series.first)
        self._counted = self._done + math.ceil(self._period / series.bin_seconds)
        self._before = 0.0

    def _learn(self, begun: Begun, busy_ratio: float, own_seconds: float) -> None:
        """Take note of how much work comes with one wait of others."""
        if math.isnan(busy_ratio):
            return
        seconds = begun.bins * self._series.bin_seconds
        self._spent += busy_ratio * self._cores * seconds - own_seconds
        self._events += float(begun.events.sum())
        self._watched += seconds
        if self._watched > LEARNT_PERIODS * self._period:
            self._spent, self._events, self._watched = (
                each / 2.0 for each in (self._spent, self._events, self._watched)
            )

    @property
    def _each_seconds(self) -> float:
        """Work that comes with one wait of others."""
        return max(self._spent, 0.0) / self._events if self._events else 0.0

    def _gather(self, bins: int) -> None:
        """Put what was reported with the rest, and drop what is too old for a stretch."""
        bursts = np.concatenate([self._bursts, *self._fresh], axis=1)
        self._fresh.clear()
        self._waiting = 0
        kept = max(MOST_CYCLES * self._period, bins * self._series.bin_seconds) + self._period
        oldest = self._series.start_seconds(self._done + bins) - kept
        is_there = (bursts[1] >= max(oldest, self._since)) & (bursts[1] < self._until)
        bursts = bursts[:, is_there]
        if bursts.shape[1] > MOST_BURSTS:
            bursts = bursts[:, np.argsort(bursts[1])[-MOST_BURSTS:]]
            whole = self._series.number(float(bursts[1, 0]) + self._period)
            self._counted = max(self._counted, whole)
        self._bursts = bursts

    def _cycles(self, ages_seconds: Floats) -> int:
        """Return how many of the last periods are replayed."""
        per_cycle = int(np.count_nonzero(ages_seconds <= self._period))
        known = (self._done - self._counted) * self._series.bin_seconds / self._period
        return min(MOST_CYCLES, max(MOST_REPLAYED // max(per_cycle, 1), 1), math.floor(known))


def _counted(level: Ints) -> Floats:
    return np.bincount(level, minlength=LEVELS).astype(np.float64)
