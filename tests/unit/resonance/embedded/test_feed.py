# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from resonance.embedded import _feed
from resonance.embedded._feed import Feed

START = 1_000.0


class Heard:
    """Keeps what a controller is given."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.bins: list[tuple[float, float, list[float], list[float]]] = []

    def observe_waits(self, now_seconds: float, seconds: Any, counts: Any) -> None:
        assert counts.tolist() == [1.0] * len(seconds)
        self.waits += seconds.tolist()

    def observe_bins(
        self, start_seconds: float, bin_seconds: float, events: Any, wait_seconds: Any
    ) -> None:
        self.bins.append((start_seconds, bin_seconds, events.tolist(), wait_seconds.tolist()))


class Clock:
    now = START

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_feed, "time", clock)
    return clock


def hand_over(feed: Feed, now: float) -> Heard:
    heard = Heard()
    feed.hand_over(heard, now)  # type: ignore[arg-type]
    return heard


def test_latencies_are_handed_over_once(clock: Clock) -> None:
    feed = Feed(START)
    feed.record(0.01)
    feed.record(0.02)
    assert hand_over(feed, START).waits == [0.01, 0.02]
    assert hand_over(feed, START).waits == []


def test_a_request_counts_in_the_bin_in_which_it_arrived(clock: Clock) -> None:
    feed = Feed(START)
    clock.now = START + 0.0125
    feed.record(0.010)
    feed.record(0.004)
    ((start, width, events, waits),) = hand_over(feed, START + 1.0205).bins
    assert (start, width, len(events)) == (START, 0.001, 20)
    assert [at for at, count in enumerate(events) if count] == [2, 8]
    assert waits[2] == pytest.approx(0.010)
    assert waits[8] == pytest.approx(0.004)


def test_bins_follow_each_other_without_a_gap(clock: Clock) -> None:
    feed = Feed(START)
    starts, counts = [], []
    for tick in range(15, 30):
        for start, _, events, _ in hand_over(feed, START + tick / 10).bins:
            starts.append(start)
            counts.append(len(events))
    ends = np.asarray(starts) + np.asarray(counts) * 0.001
    assert starts[1:] == pytest.approx(ends[:-1].tolist())


def test_after_a_day_without_a_look_only_the_newest_bins_are_handed_over(clock: Clock) -> None:
    feed = Feed(START)
    clock.now = START + 86_400.0 - 2.0
    feed.record(0.01)
    ((start, width, events, _),) = hand_over(feed, START + 86_400.0).bins
    assert start + len(events) * width == pytest.approx(START + 86_400.0 - 1.0)
    assert (len(events), sum(events)) == (10_000, 1.0)
    ((start, _, events, _),) = hand_over(feed, START + 86_400.1).bins
    assert start == pytest.approx(START + 86_400.0 - 1.0)
    assert len(events) == 100


def test_a_request_that_took_too_long_counts_in_the_oldest_bin(clock: Clock) -> None:
    feed = Feed(START)
    hand_over(feed, START + 2.0)
    clock.now = START + 2.5
    feed.record(2.4)
    ((start, _, events, _),) = hand_over(feed, START + 2.5).bins
    assert start == pytest.approx(START + 1.0)
    assert (events[0], sum(events)) == (1.0, 1.0)


@pytest.mark.parametrize("latency", [-0.001, math.nan, math.inf])
def test_a_latency_that_cannot_be_is_refused(latency: float) -> None:
    with pytest.raises(ValueError, match="a latency must be"):
        Feed(time.monotonic()).record(latency)


def test_what_nobody_takes_is_kept_in_bounds() -> None:
    feed = Feed(time.monotonic())
    for _ in range(70_000):
        feed.record(0.0)
    assert len(hand_over(feed, time.monotonic()).waits) == 65_536
