# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.counterfactual import Counterfactual
from resonance_core.control.records import Floats, Releases
from resonance_core.control.series import Series
from resonance_core.control.watch import MOST_BURSTS, MOST_WAITING, Watch

PERIOD = 0.1
WIDTH = 0.001
WORK = 0.01
SOURCES = 4
BUSY = SOURCES * WORK / PERIOD


def releases(key: int, first: int, last: int, at: float = 0.05) -> Releases:
    times: Floats = at + PERIOD * np.arange(float(first), float(last))
    size = len(times)
    # alone on one CPU, one after the other
    return Releases(
        key=key,
        at_seconds=times,
        work_seconds=np.full(size, WORK),
        completion_seconds=np.full(size, WORK * (key + 1)),
    )


class Node:
    """Four bursts of 10 ms begin together, and others wait as long as the last of them takes."""

    def __init__(self) -> None:
        self.series = Series()
        self.waits = Counterfactual()
        self.watch = Watch(PERIOD, self.series, 1.0)
        self.cycle = 0

    def run(self, cycles: int, keys: range = range(SOURCES)) -> None:
        for key in keys:
            self.watch.add(key, releases(key, self.cycle, self.cycle + cycles))
        began = np.arange(0, 100)
        wait = np.clip(0.09 - (began + 0.5) * WIDTH, 0.0, 0.04) * (began >= 50)
        ended = np.clip((began + wait / WIDTH).astype(np.intp), 0, 99)
        events = np.bincount(ended, minlength=100).astype(np.float64)
        summed = np.bincount(ended, wait, 100)
        start = self.cycle * PERIOD
        self.series.add(start, WIDTH, np.tile(events, cycles), np.tile(summed, cycles))
        self.cycle += cycles
        self.advance()

    def advance(self) -> None:
        known = (self.cycle - 1) * PERIOD + 0.05
        self.watch.advance(known, BUSY, self.waits)

    @property
    def counted(self) -> float:
        return float(self.waits.in_flight.waits.sum())

    @property
    def shares(self) -> Floats:
        bins = self.waits.in_flight.bins
        shares: Floats = bins / bins.sum()
        return shares


def node(cycles: int = 20) -> Node:
    made = Node()
    made.watch.resume(0.0)
    made.run(cycles)
    return made


def test_moments_are_told_apart_by_how_many_bursts_are_there() -> None:
    assert node().shares[:5] == pytest.approx([0.6, 0.1, 0.1, 0.1, 0.1], abs=0.02)


def test_waits_are_counted_once_and_only_when_all_bursts_are_known() -> None:
    made = node(20)
    before = made.counted
    made.advance()
    assert made.counted == before
    made.run(10, range(SOURCES - 1))
    made.watch.add(3, releases(3, 20, 30))
    made.advance()
    assert made.counted == pytest.approx(before + 1000.0)


def test_other_holds_are_other_numbers_in_flight() -> None:
    made = node()
    planned = made.watch.planned({key: 0.02 * key for key in range(SOURCES)})
    assert planned is not None
    flight, behind = planned
    assert flight[:2] / flight.sum() == pytest.approx([0.6, 0.4], abs=0.02)
    together = made.watch.planned({})
    assert together is not None
    assert together[0][4] / together[0].sum() == pytest.approx(0.4, abs=0.02)
    # the same work is backlog for as long, whatever is shared
    assert np.flatnonzero(together[1]).max() > np.flatnonzero(behind).max()


def test_what_is_held_is_not_counted() -> None:
    made = node()
    before = made.counted
    made.watch.pause(made.cycle * PERIOD)
    made.run(10)
    assert made.counted - before <= 100.0  # of the last cycle before
    made.watch.resume(made.cycle * PERIOD)
    made.run(10)
    # a period until it is known who is there, and one that lasts still
    assert made.counted - before == pytest.approx(900.0, abs=150.0)


def test_the_last_moment_without_holds_can_still_be_replayed() -> None:
    made = node()
    made.watch.pause(made.cycle * PERIOD)
    assert made.watch.planned({0: 0.02}) is not None


def test_nothing_is_known_before_there_are_bins_or_bursts() -> None:
    silent = Node()
    silent.watch.resume(0.0)
    silent.advance()
    assert silent.watch.planned({}) is None
    silent.run(1)
    assert silent.watch.planned({}) is None
    assert silent.counted == 0.0


@pytest.mark.parametrize("field", ["work", "completion"])
def test_a_burst_of_which_nothing_is_known_spoils_what_is_counted(field: str) -> None:
    made = Node()
    made.watch.resume(0.0)
    unknown, known = np.full(20, math.nan), np.full(20, WORK)
    made.watch.add(
        9,
        Releases(
            key=9,
            at_seconds=0.06 + PERIOD * np.arange(20.0),
            work_seconds=unknown if field == "work" else known,
            completion_seconds=unknown if field == "completion" else known,
        ),
    )
    made.run(20)
    assert made.counted == 0.0
    assert made.watch.planned({}) is None


def test_a_gap_in_the_bins_begins_anew() -> None:
    made = node()
    before = made.counted
    made.cycle += 3  # nobody looked
    made.run(10)
    assert made.counted - before == pytest.approx(900.0, abs=150.0)


def test_bursts_without_bins_are_not_kept_for_ever() -> None:
    watch = Watch(PERIOD, Series(), 1.0)
    watch.resume(0.0)
    for first in range(0, 10 * MOST_WAITING, 1000):
        watch.add(0, releases(0, first, first + 1000))
    assert sum(each.shape[1] for each in watch._fresh) <= MOST_WAITING


def test_more_bursts_than_are_kept_are_not_taken_for_few() -> None:
    made = Node()
    made.watch.resume(0.0)
    crowd = 800
    for _ in range(crowd):
        made.watch.add(0, releases(0, 0, 20))
    made.run(20, range(0))
    assert made.watch._bursts.shape[1] <= MOST_BURSTS
    assert 1000.0 < made.waits.in_flight.bins.sum() < 1500.0
    # one level for nobody, one for the crowd, which is there for 10 ms of 100
    assert sorted(made.shares)[-2:] == pytest.approx([0.1, 0.9], abs=0.02)
