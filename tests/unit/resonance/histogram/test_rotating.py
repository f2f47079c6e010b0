# SPDX-License-Identifier: MIT
from __future__ import annotations

from math import inf, nan

import pytest

from resonance.histogram import Rotating


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_window_under_way_counts(clock: Clock) -> None:
    rotating = Rotating(10.0, 3, clock=clock)
    rotating.record(0.1)
    rotating.record_ns(5_000_000)
    assert rotating.merged().count == 2
    assert rotating.last() is None


def test_the_oldest_window_is_dropped_as_one_begins(clock: Clock) -> None:
    rotating = Rotating(10.0, 3, clock=clock)
    counts: list[int] = []
    for number in range(1, 6):
        rotating.record(0.001 * number)
        counts.append(rotating.merged().count)
        clock.now += 10.0
        rotating.fold()
    assert counts == [1, 2, 3, 3, 3]
    rest = rotating.merged()
    assert rest.count == 2
    assert rest.quantile(0.0) == pytest.approx(0.004, rel=0.001)


def test_the_last_window_is_the_one_that_just_ended(clock: Clock) -> None:
    rotating = Rotating(10.0, 3, clock=clock)
    rotating.record(0.1)
    rotating.record(0.1)
    rotating.fold()
    clock.now += 10.0
    last = rotating.last()
    assert last is not None
    assert last.count == 2
    rotating.record(0.2)
    assert last.count == 2


def test_a_function_kept_in_a_variable_records_into_whatever_window_is_under_way(
    clock: Clock,
) -> None:
    rotating = Rotating(10.0, 2, clock=clock)
    record = rotating.record
    record(0.1)
    rotating.fold()
    clock.now += 10.0
    rotating.fold()
    record(0.2)
    assert rotating.merged().count == 2
    clock.now += 10.0
    last = rotating.last()
    assert last is not None
    assert last.count == 1


def test_after_a_pause_of_all_windows_nothing_of_before_is_left(clock: Clock) -> None:
    rotating = Rotating(10.0, 3, clock=clock)
    rotating.record(0.1)
    rotating.fold()
    clock.now += 35.0
    assert rotating.merged().count == 0


def test_a_pause_leaves_empty_windows(clock: Clock) -> None:
    rotating = Rotating(10.0, 4, clock=clock)
    rotating.record(0.1)
    rotating.fold()
    clock.now += 25.0
    last = rotating.last()
    assert last is not None
    assert last.count == 0
    assert rotating.merged().count == 1


def test_windows_stay_on_their_grid(clock: Clock) -> None:
    rotating = Rotating(10.0, 2, clock=clock)
    clock.now += 19.0
    rotating.fold()
    rotating.record(0.1)
    rotating.fold()
    clock.now += 1.0
    last = rotating.last()
    assert last is not None
    assert last.count == 1


def test_a_single_window_begins_empty_each_time(clock: Clock) -> None:
    rotating = Rotating(10.0, 1, clock=clock)
    rotating.record(0.1)
    assert rotating.merged().count == 1
    clock.now += 10.0
    assert rotating.merged().count == 0
    assert rotating.last() is None


def test_what_was_not_taken_in_yet_counts_to_the_window_that_was_under_way(clock: Clock) -> None:
    rotating = Rotating(10.0, 2, clock=clock)
    rotating.record(0.1)
    clock.now += 10.0
    rotating.record(0.1)
    last = rotating.last()
    assert last is not None
    assert last.count == 2


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_a_clock_that_stands_still_or_goes_back_ends_no_window(
    clock: Clock, seconds: float
) -> None:
    rotating = Rotating(10.0, 2, clock=clock)
    rotating.record(0.1)
    clock.now += seconds
    assert rotating.last() is None
    assert rotating.merged().count == 1


@pytest.mark.parametrize("seconds", [0.0, -1.0, inf, nan])
def test_a_window_needs_a_length(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Rotating(seconds)


def test_at_least_one_window_is_kept() -> None:
    with pytest.raises(ValueError, match="windows"):
        Rotating(10.0, 0)


def test_it_has_the_layout_it_was_given(clock: Clock) -> None:
    rotating = Rotating(lowest_ns=1, highest_ns=10**9, digits=2, clock=clock)
    assert rotating.merged().layout.digits == 2
