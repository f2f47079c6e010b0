# SPDX-License-Identifier: MIT
from __future__ import annotations

from fakes.tuned_node import setting
from resonance_tuning.guard import Guard
from resonance_tuning.records import Target
from resonance_tuning.trials.limits import Limits

IDLE = setting("idle")


def test_a_trial_needs_room_for_all_its_changes_and_for_going_back() -> None:
    limits = Limits(Guard(max_changes_per_hour=6, min_change_interval_seconds=10.0))
    assert limits.why_no_trial(0.0, 0) == ""
    assert limits.why_no_trial(0.0, 3) == "0 changes in an hour and 7 for a trial; 6 are allowed"
    for at in (0.0, 20.0, 40.0):
        limits.count(at)
    told = "3 changes in an hour and 4 for a trial; 6 are allowed"
    assert limits.why_no_trial(100.0, 0) == told
    assert limits.why_no_trial(3_600.0, 0) == ""


def test_changes_are_apart() -> None:
    limits = Limits(Guard(min_change_interval_seconds=10.0))
    limits.count(5.0)
    assert not limits.is_time(14.9)
    assert limits.why_no_trial(14.9, 0) == "the last change was a moment ago"
    assert limits.is_time(15.0)


def test_a_failure_rests_for_longer_each_time_and_only_itself() -> None:
    limits = Limits(Guard())
    limits.rest(0.0, [IDLE], 100.0)
    assert limits.is_resting(99.0, IDLE)
    assert not limits.is_resting(100.0, IDLE)
    limits.rest(100.0, [IDLE], 100.0)
    assert limits.is_resting(299.0, IDLE)
    assert not limits.is_resting(299.0, setting("idle", target=Target("cgroup", "/other")))
    assert not limits.is_resting(299.0, setting("weight"))


def test_a_rest_that_is_no_failure_does_not_double() -> None:
    limits = Limits(Guard())
    for at in (0.0, 100.0):
        limits.rest(at, [IDLE], 100.0, doubles=False)
    assert not limits.is_resting(200.0, IDLE)
