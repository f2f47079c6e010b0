# SPDX-License-Identifier: MIT
from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from fakes.snapshots import OTHER, snapshot
from resonance_bpf.catalogue import SLOTS
from resonanced.model import Slot
from resonanced.phase.bins import BinReader, Bins
from resonanced.phase.listener import Listener

CULPRIT = Slot(7, 3, "/batch", 77)
VICTIM = Slot(4, 1, "/web", 44)
LENGTH = 750
PERIOD_BINS = 80


class Reader:
    """A node on which one cgroup makes all others wait every 80 ms, and says so 20 ms later."""

    reach_seconds = 1.0

    def __init__(self) -> None:
        self.first = 5_000
        self.missed = 0
        self.culprit = CULPRIT.index
        self.wait_seconds = 0.002
        self.long_waits = 0
        self._random = np.random.default_rng(11)

    def read(self, now_ns: int) -> Bins:
        self.first += self.missed
        at = np.arange(self.first, self.first + LENGTH)
        bursts = np.flatnonzero(at % PERIOD_BINS < 10)
        queue = np.flatnonzero((at - 20) % PERIOD_BINS < 10)
        noise = self._random.integers(0, LENGTH, 150)
        long = self._random.integers(0, LENGTH, self.long_waits)
        slot = np.concatenate(
            [
                np.full(bursts.size, self.culprit),
                np.full(queue.size, VICTIM.index),
                self._random.choice([OTHER.index, VICTIM.index], noise.size),
                np.full(long.size, OTHER.index),
            ]
        )
        wait = np.concatenate(
            [
                np.full(bursts.size, self.wait_seconds / 500),
                np.full(queue.size, self.wait_seconds),
                self._random.exponential(self.wait_seconds / 20, noise.size),
                np.full(long.size, 0.5),
            ]
        )
        bins = Bins(
            start_ns=self.first * 1_000_000 + 123,
            first=self.first,
            length=LENGTH,
            missed=self.missed,
            slot=slot,
            bin=np.concatenate([bursts, queue, noise, long]),
            count=np.ones(slot.size),
            wait_seconds=wait,
        )
        self.first += LENGTH
        self.missed = 0
        return bins


class Node:
    def __init__(self) -> None:
        self.reader = Reader()
        self.listener = Listener(cast("BinReader", self.reader))
        self.slots: tuple[Slot, ...] = (OTHER, VICTIM, CULPRIT)
        self.now_ns = 5_000_000_000

    def listen(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < end_ns:
            self.now_ns += LENGTH * 1_000_000
            self.listener.listen(snapshot(monotonic_ns=self.now_ns, slots=self.slots))


@pytest.fixture
def node() -> Node:
    return Node()


def test_the_noisy_neighbour_is_named_with_period_and_lag(node: Node) -> None:
    node.listen(20.0)
    heard = node.listener.heard
    assert heard.period_seconds == pytest.approx(0.08, rel=1e-3)
    assert heard.entropy_excess > 0.15
    first = heard.neighbours[0]
    assert first.slot == CULPRIT
    assert first.is_named
    assert first.period_seconds == pytest.approx(0.08, rel=0.05)
    assert first.lag_seconds == pytest.approx(0.02, abs=0.005)
    assert VICTIM not in {each.slot for each in heard.neighbours}


def test_a_few_very_long_waits_do_not_drown_the_rhythm(node: Node) -> None:
    node.reader.long_waits = 3
    node.listen(20.0)
    first = node.listener.heard.neighbours[0]
    assert (first.slot, first.is_named) == (CULPRIT, True)
    assert node.listener.heard.period_seconds == pytest.approx(0.08, rel=1e-3)


def test_what_is_no_single_cgroup_is_nobody_to_accuse(node: Node) -> None:
    node.reader.culprit = OTHER.index
    node.listen(20.0)
    first = node.listener.heard.neighbours[0]
    assert first.slot == OTHER
    assert not first.is_named


def test_before_enough_was_seen_nothing_is_said(node: Node) -> None:
    node.listen(2.0)
    assert np.isnan(node.listener.heard.period_seconds)
    assert node.listener.heard.neighbours == ()


def test_a_queue_in_which_nobody_waits_has_no_rhythm(node: Node) -> None:
    node.reader.wait_seconds = 1e-6
    node.listen(20.0)
    assert np.isnan(node.listener.heard.period_seconds)
    assert node.listener.heard.neighbours == ()


def test_the_former_owner_of_a_slot_is_not_held_against_the_next(node: Node) -> None:
    node.listen(20.0)
    node.slots = OTHER, VICTIM
    node.listen(0.75)
    node.reader.culprit = OTHER.index
    heir = Slot(CULPRIT.index, CULPRIT.generation + 1, "/heir", 78)
    node.slots = OTHER, VICTIM, heir
    node.listen(6.0)
    assert heir not in {each.slot for each in node.listener.heard.neighbours}
    spectrum = node.listener.spectrum()
    assert spectrum is not None
    assert spectrum.cgroups == ("other", "/web", "/heir")
    assert spectrum.events[2].sum() == 0
    assert spectrum.events[1].sum() > 0


def test_a_gap_is_missing_and_breaks_no_rhythm(node: Node) -> None:
    node.listen(10.0)
    node.reader.missed = 1_015
    node.listen(10.0)
    heard = node.listener.heard
    assert heard.missed_bins == 1_015
    assert heard.period_seconds == pytest.approx(0.08, rel=1e-2)
    assert heard.neighbours[0].slot == CULPRIT
    spectrum = node.listener.spectrum()
    assert spectrum is not None
    assert np.count_nonzero(spectrum.missing) == 1_015 // 5
    assert np.isfinite(spectrum.events).all()


def test_a_clock_that_goes_back_begins_the_series_anew(node: Node) -> None:
    node.listen(10.0)
    node.reader.first = 1_000
    node.listen(0.75)
    spectrum = node.listener.spectrum()
    assert spectrum is not None
    assert spectrum.missing.size == LENGTH // 5
    assert spectrum.start_ns == 1_000 * 1_000_000 + 123


def test_nothing_was_read_yet(node: Node) -> None:
    assert node.listener.spectrum() is None


def test_the_memory_is_bounded_however_long_it_listens(node: Node) -> None:
    node.listen(60.0)
    spectrum = node.listener.spectrum()
    assert spectrum is not None
    assert spectrum.events.shape == (3, 4_096)
    assert SLOTS * 4_096 * 8 < 3e6
