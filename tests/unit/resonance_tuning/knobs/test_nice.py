# SPDX-License-Identifier: MIT
"""The nice value of every thread of a process, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.tasks import FakeTasks
from resonance_tuning.knobs.nice import Nice
from resonance_tuning.records import Target
from resonance_tuning.surfaces.threads import Schedule

WEB = Target("process", "7")


def nices(tasks: FakeTasks) -> dict[int, int]:
    return {tid: schedule.nice for tid, schedule in tasks.schedules.items()}


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    tasks = FakeTasks(tmp_path)
    tasks.make_process(7)
    tasks.make_thread(7, 71, Schedule("batch", nice=3))
    return tasks


@pytest.fixture
def knob(tasks: FakeTasks) -> Nice:
    return Nice(tasks.host, tasks)


def test_each_thread_gets_its_own_value_back(tasks: FakeTasks, knob: Nice) -> None:
    prior = knob.read(WEB)
    assert prior.value == "0"
    knob.write(WEB, "-5")
    assert nices(tasks) == {7: -5, 71: -5}
    assert knob.read(WEB).value == "-5"
    knob.restore(WEB, prior)
    assert nices(tasks) == {7: 0, 71: 3}
    assert knob.read(WEB) == prior
    assert [schedule.policy for schedule in tasks.schedules.values()] == ["other", "batch"]


def test_what_was_born_since_gets_what_the_first_thread_had(tasks: FakeTasks, knob: Nice) -> None:
    tasks.schedules[7] = Schedule("other", nice=2)
    prior = knob.read(WEB)
    knob.write(WEB, "-5")
    tasks.make_thread(7, 72)
    tasks.make_process(8, parent=7, schedule=tasks.inherited(7))
    tasks.make_process(9, parent=7, schedule=Schedule("other", nice=10))  # as nice(1) starts it
    knob.restore(WEB, prior)
    assert nices(tasks) == {7: 2, 71: 3, 72: 2, 8: 2, 9: 10}


def test_the_first_thread_is_turned_first_and_put_back_last(tasks: FakeTasks, knob: Nice) -> None:
    prior = knob.read(WEB)
    knob.write(WEB, "-5")
    assert [tid for tid, _ in tasks.writes] == [7, 71]
    tasks.writes.clear()
    knob.restore(WEB, prior)
    assert [tid for tid, _ in tasks.writes] == [71, 7]


@pytest.mark.parametrize("at", range(4))
def test_a_crash_between_two_threads_leaves_what_another_process_can_put_back(
    tasks: FakeTasks, knob: Nice, at: int
) -> None:
    prior = knob.read(WEB)

    def crash(_tid: int) -> None:
        if len(tasks.writes) == at:
            raise KeyboardInterrupt

    tasks.on_write = crash
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - wherever it comes
        knob.write(WEB, "-5")
        knob.restore(WEB, prior)
    tasks.on_write = lambda _tid: None
    Nice(tasks.host, tasks).restore(WEB, prior)
    assert nices(tasks) == {7: 0, 71: 3}


def test_who_turns_the_first_thread_keeps_that_and_the_others_are_put_back(
    tasks: FakeTasks, knob: Nice
) -> None:
    prior = knob.read(WEB)
    knob.write(WEB, "-5")
    tasks.set_nice(7, 8)  # as renice -p does
    for other in (knob, Nice(tasks.host, tasks)):
        assert knob.read(WEB).value == "8"
        assert other.is_ours(WEB, "8", {"-5"})
        other.restore(WEB, prior)
        assert nices(tasks) == {7: 8, 71: 3}
        assert not other.is_ours(WEB, "8", {"-5"})
        tasks.set_nice(71, -5)


def test_a_thread_its_owner_turned_is_left_alone(tasks: FakeTasks, knob: Nice) -> None:
    prior = knob.read(WEB)
    knob.write(WEB, "-5")
    tasks.set_nice(71, 1)
    knob.restore(WEB, prior)
    assert nices(tasks) == {7: 0, 71: 1}


def test_it_reads_the_same_while_the_knob_realtime_is_upon_it(tasks: FakeTasks, knob: Nice) -> None:
    prior = knob.read(WEB)
    knob.write(WEB, "-5")
    for tid in (7, 71):
        tasks.set_policy(tid, Schedule("rr", 1, resets_on_fork=True))
    assert knob.read(WEB).value == "-5"
    knob.restore(WEB, prior)
    assert nices(tasks) == {7: 0, 71: 3}


def test_real_time_threads_are_left_alone(tasks: FakeTasks, knob: Nice) -> None:
    tasks.schedules[7] = Schedule("rr", 2)
    prior = knob.read(WEB)
    assert prior.value == "3"  # of the first that counts
    knob.write(WEB, "-5")
    assert nices(tasks) == {7: 0, 71: -5}
    knob.restore(WEB, prior)
    assert nices(tasks) == {7: 0, 71: 3}
    tasks.schedules[71] = Schedule("fifo", 1)
    assert knob.read(WEB).value == ""
    knob.restore(WEB, prior)
    assert nices(tasks) == {7: 0, 71: 0}


@pytest.mark.parametrize("value", [-21, 20, True, "5", 1.5, None])
def test_a_nice_value_out_of_range_is_refused(knob: Nice, value: object) -> None:
    assert knob.parse(-20) == "-20"
    with pytest.raises(ValueError, match="whole number of -20..19"):
        knob.parse(value)


def test_commands_put_back_the_whole_or_each_thread(tasks: FakeTasks, knob: Nice) -> None:
    assert knob.commands(WEB, knob.read(WEB)) == ("renice -n 0 -p 7", "renice -n 3 -p 71")
    tasks.set_nice(71, 0)
    assert knob.commands(WEB, knob.read(WEB)) == ("renice -n 0 -p $(ls /proc/7/task)",)
