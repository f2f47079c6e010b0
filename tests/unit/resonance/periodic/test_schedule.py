# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.periodic._schedule import HOME, Hold, Schedule, longest_step_ns

MS = 1_000_000
PERIOD = 100 * MS


@pytest.fixture
def schedule() -> Schedule:
    schedule = Schedule(PERIOD, 1_000 * MS, "skip", PERIOD - 1)
    schedule.start(1_000 * MS)
    return schedule


def holds_ms(schedule: Schedule, count: int) -> list[float]:
    holds = []
    for _ in range(count):
        release = schedule.release(schedule.due_ns())
        assert release is not None
        holds.append((release.due_ns - release.natural_ns) / MS)
    return holds


def test_the_first_release_is_at_the_origin(schedule: Schedule) -> None:
    assert schedule.due_ns() == 1_000 * MS


def test_an_origin_ahead_is_waited_for() -> None:
    schedule = Schedule(PERIOD, 1_000 * MS, "skip", 0)
    schedule.start(150 * MS)
    assert schedule.due_ns() == 1_000 * MS


def test_an_origin_of_long_ago_gives_the_next_point() -> None:
    schedule = Schedule(PERIOD, 0, "skip", 0)
    schedule.start(10**18 + 1)
    release = schedule.release(schedule.due_ns())
    assert release is not None
    assert (release.number, release.due_ns) == (10**10 + 1, 10**18 + PERIOD)


def test_a_slew_takes_seven_milliseconds_at_a_time(schedule: Schedule) -> None:
    schedule.hold = Hold(20 * MS, 50 * MS)
    assert holds_ms(schedule, 4) == [7.0, 14.0, 20.0, 20.0]
    schedule.hold = Hold(0, 50 * MS)
    assert holds_ms(schedule, 4) == [13.0, 6.0, 0.0, 0.0]


def test_a_slew_takes_smaller_steps_where_it_is_told_so(schedule: Schedule) -> None:
    schedule.hold = Hold(5 * MS, 2 * MS)
    assert holds_ms(schedule, 4) == [2.0, 4.0, 5.0, 5.0]


def test_a_short_period_is_moved_by_seven_percent_at_a_time() -> None:
    assert longest_step_ns(10 * MS) == 700_000
    assert longest_step_ns(100 * MS) == 7 * MS
    assert longest_step_ns(3_600_000 * MS) == 7 * MS


def test_a_grant_and_a_way_home_are_taken_at_once(schedule: Schedule) -> None:
    schedule.hold = Hold(80 * MS, 7 * MS, is_at_once=True)
    assert holds_ms(schedule, 2) == [80.0, 80.0]
    schedule.hold = Hold(0, 7 * MS, is_at_once=True)
    assert holds_ms(schedule, 1) == [0.0]


def test_a_grant_that_was_obeyed_is_slewed_to_when_trust_comes_back(schedule: Schedule) -> None:
    schedule.hold = Hold(80 * MS, 7 * MS, is_at_once=True)
    holds_ms(schedule, 1)
    schedule.is_trusted = False
    assert holds_ms(schedule, 2) == [73.0, 66.0]
    schedule.is_trusted = True
    assert holds_ms(schedule, 3) == [73.0, 80.0, 80.0]


def test_without_trust_it_goes_home_in_steps(schedule: Schedule) -> None:
    schedule.hold = Hold(10 * MS, 7 * MS)
    holds_ms(schedule, 2)
    schedule.is_trusted = False
    assert holds_ms(schedule, 3) == [3.0, 0.0, 0.0]


def test_a_source_that_is_never_moved_is_not(schedule: Schedule) -> None:
    critical = Schedule(PERIOD, 0, "skip", 0)
    critical.hold = Hold(80 * MS, 7 * MS, is_at_once=True)
    assert holds_ms(critical, 2) == [0.0, 0.0]


def test_a_longer_hold_is_latency_once_and_a_shorter_one_none(schedule: Schedule) -> None:
    schedule.hold = Hold(7 * MS, 7 * MS)
    up, stays = (schedule.release(schedule.due_ns()) for _ in range(2))
    schedule.hold = HOME
    down = schedule.release(schedule.due_ns())
    assert up
    assert stays
    assert down
    assert [each.due_ns - each.expected_ns for each in (up, stays, down)] == [7 * MS, 0, 0]


def test_a_grant_is_a_new_schedule_and_no_latency(schedule: Schedule) -> None:
    schedule.hold = Hold(80 * MS, 7 * MS, is_at_once=True)
    granted = schedule.release(schedule.due_ns())
    assert granted
    assert granted.due_ns == granted.expected_ns


def test_a_slow_loop_gets_the_newest_release_and_the_count_of_the_others(
    schedule: Schedule,
) -> None:
    release = schedule.release(1_350 * MS)
    assert release
    assert (release.number, release.missed, release.due_ns) == (3, 3, 1_300 * MS)
    assert schedule.due_ns() == 1_400 * MS


def test_a_slow_loop_that_catches_up_gets_each_of_them() -> None:
    schedule = Schedule(PERIOD, 1_000 * MS, "catch_up", 0)
    schedule.start(1_000 * MS)
    releases = [schedule.release(1_250 * MS) for _ in range(4)]
    assert [each and each.number for each in releases] == [0, 1, 2, None]
