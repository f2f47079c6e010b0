# SPDX-License-Identifier: MIT
"""The idle class of every thread of a process, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.tasks import FakeTasks
from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knobs.task_idle import TaskIdle
from resonance_tuning.records import State, Target
from resonance_tuning.surfaces.threads import Schedule

BATCH = Target("process", "7")
OTHER, IDLE = Schedule("other"), Schedule("idle")


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    tasks = FakeTasks(tmp_path)
    tasks.make_process(7)
    tasks.make_thread(7, 71)
    return tasks


@pytest.fixture
def knob(tasks: FakeTasks) -> TaskIdle:
    return TaskIdle(tasks.host, tasks)


def test_every_thread_is_made_idle_and_put_back(tasks: FakeTasks, knob: TaskIdle) -> None:
    prior = knob.read(BATCH)
    assert prior.value == "0"
    knob.write(BATCH, "1")
    assert tasks.schedules == {7: IDLE, 71: IDLE}
    assert knob.read(BATCH).value == knob.canonical(BATCH, "1") == "1"
    knob.restore(BATCH, prior)
    assert tasks.schedules == {7: OTHER, 71: OTHER}
    assert knob.read(BATCH) == prior


def test_class_and_flag_of_each_thread_come_back_and_nice_is_never_touched(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.schedules[7] = Schedule("other", nice=5, resets_on_fork=True)
    tasks.schedules[71] = Schedule("batch", nice=-3)
    before = dict(tasks.schedules)
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    assert tasks.schedules == {
        7: Schedule("idle", nice=5, resets_on_fork=True),
        71: Schedule("idle", nice=-3),
    }
    knob.restore(BATCH, prior)
    assert tasks.schedules == before


def test_threads_born_while_it_is_written_are_made_idle_too(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    born = iter([72, 73])

    def give_birth(_tid: int) -> None:
        if tid := next(born, 0):
            tasks.make_thread(7, tid, OTHER)

    tasks.on_write = give_birth
    knob.write(BATCH, "1")
    assert set(tasks.schedules.values()) == {IDLE}
    assert len(tasks.schedules) == 4


def test_threads_and_children_born_since_inherited_it_and_are_put_back(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.schedules[7] = tasks.schedules[71] = Schedule("batch", nice=4)
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    tasks.make_thread(7, 72)
    tasks.make_process(8, parent=7, session=7, schedule=tasks.inherited(7))
    tasks.make_process(9, parent=8, session=9, schedule=tasks.inherited(7))
    tasks.make_process(10, parent=1, session=7, schedule=tasks.inherited(7))  # an orphan
    tasks.make_thread(10, 101, Schedule("idle", nice=4, resets_on_fork=True))
    knob.restore(BATCH, prior)
    assert {tid: tasks.schedules[tid].policy for tid in tasks.schedules} == dict.fromkeys(
        (7, 71, 72, 8, 9, 10, 101), "batch"
    )
    assert tasks.schedules[101] == Schedule("batch", nice=4, resets_on_fork=True)


def test_children_that_were_there_keep_what_they_chose(tasks: FakeTasks, knob: TaskIdle) -> None:
    tasks.make_process(8, parent=7, schedule=IDLE)
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    tasks.make_process(9, parent=8, schedule=IDLE)
    knob.restore(BATCH, prior)
    assert tasks.schedules == {7: OTHER, 71: OTHER, 8: IDLE, 9: IDLE}


def test_a_child_with_the_number_of_one_that_ended_is_a_new_one(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.make_process(8, parent=7)
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    tasks.end(8)
    tasks.make_process(8, parent=7, schedule=IDLE)
    knob.restore(BATCH, prior)
    assert tasks.schedules[8] == OTHER


def test_what_its_owner_took_out_stays_and_the_others_are_put_back(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    assert not knob.contradiction(BATCH, "1")
    tasks.schedules[7] = Schedule("batch")
    assert knob.read(BATCH).value == "1"  # still ours
    assert knob.contradiction(BATCH, "1") == "its first thread is batch"
    knob.restore(BATCH, prior)
    assert tasks.schedules == {7: Schedule("batch"), 71: OTHER}


def test_real_time_threads_are_left_alone_and_told(tasks: FakeTasks, knob: TaskIdle) -> None:
    tasks.make_thread(7, 72, Schedule("fifo", 10))
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    assert tasks.schedules[72] == Schedule("fifo", 10)
    left = {name: text for name, text in prior.coupled.items() if name.startswith("left alone")}
    assert list(left.values()) == ["fifo 10"]
    assert next(iter(left)).startswith("left alone: thread 72:")
    tasks.schedules[72] = IDLE  # by its owner, later
    knob.restore(BATCH, prior)
    assert tasks.schedules == {7: OTHER, 71: OTHER, 72: IDLE}


def test_a_process_of_real_time_threads_only_cannot_be_turned(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.schedules[7] = tasks.schedules[71] = Schedule("rr", 1)
    assert knob.unavailable(BATCH) == "none of its threads is of a class that is turned: rr"


def test_a_process_that_makes_some_threads_idle_itself_is_left_to_it(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.schedules[71] = IDLE
    assert knob.unavailable(BATCH) == "1 of its 2 threads are idle by its own choice"


def test_without_the_right_to_leave_the_class_it_is_not_entered(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    assert not knob.unavailable(BATCH)
    tasks.set_capabilities("000001ffff7fffff")  # all but CAP_SYS_NICE, bit 23
    assert "CAP_SYS_NICE" in TaskIdle(tasks.host, tasks).unavailable(BATCH)


def test_shadow_that_gave_its_rights_up_says_what_would_be_done_with_them(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.set_capabilities("0" * 16)
    assert not knob.unavailable(BATCH)


def test_a_look_at_it_reads_neither_other_threads_nor_other_processes(
    tasks: FakeTasks, knob: TaskIdle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in range(100, 120):
        tasks.make_process(pid)
    knob.write(BATCH, "1")
    read, names = Host.read, list[str]()
    monkeypatch.setattr(
        Host, "read", lambda self, path: names.append(str(path)) or read(self, path)
    )
    assert (knob.look(BATCH), knob.contradiction(BATCH, "1")) == ("1", "")
    assert {name.partition("/proc")[2] for name in names} == {"/7/task/7/stat"}


def test_a_look_at_what_its_owner_took_out_in_part_reads_as_a_whole_read(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    knob.write(BATCH, "1")
    tasks.schedules[7] = OTHER
    assert knob.look(BATCH) == knob.read(BATCH).value == "1"
    tasks.end(7, 7)
    assert knob.look(BATCH) == "1"
    tasks.schedules[71] = OTHER
    assert knob.look(BATCH) == knob.read(BATCH).value == "0"
    tasks.end(7)
    with pytest.raises(TargetVanishedError):
        knob.look(BATCH)


def test_kernel_threads_and_processes_of_another_tree_are_refused(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.make_process(9, flags=0x0020_8040)
    assert knob.unavailable(Target("process", "9")) == "it is a thread of the kernel"
    assert "is not this machine" in TaskIdle(tasks.host).unavailable(BATCH)


def test_a_number_that_came_again_is_another_process(tasks: FakeTasks, knob: TaskIdle) -> None:
    before = knob.identity(BATCH)
    tasks.end(7)
    with pytest.raises(TargetVanishedError):
        knob.identity(BATCH)
    assert knob.unavailable(BATCH) == "it is gone"
    tasks.make_process(7)
    assert knob.identity(BATCH) != before


def test_a_thread_that_ends_while_it_is_turned_needs_nothing(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    prior = knob.read(BATCH)
    tasks.on_write = lambda tid: tasks.end(7, tid) if tid == 71 else None
    knob.write(BATCH, "1")
    assert tasks.schedules == {7: IDLE}
    knob.restore(BATCH, prior)
    assert tasks.schedules == {7: OTHER}


def test_a_process_that_never_stops_making_threads_is_an_error(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.on_write = lambda _tid: tasks.make_thread(7, max(tasks.schedules) + 1, OTHER)
    with pytest.raises(OSError, match="faster"):
        knob.write(BATCH, "1")


@pytest.mark.parametrize("value", [0, False, "1", 2, 1.0, None])
def test_a_profile_says_one(knob: TaskIdle, value: object) -> None:
    assert knob.parse(1) == knob.parse(True) == "1"
    with pytest.raises(ValueError, match="made idle with 1"):
        knob.parse(value)


def test_commands_put_back_the_whole_or_each_thread(tasks: FakeTasks, knob: TaskIdle) -> None:
    assert knob.commands(BATCH, knob.read(BATCH)) == ("chrt --all-tasks --other --pid 0 7",)
    tasks.schedules[71] = Schedule("batch", resets_on_fork=True)
    assert knob.commands(BATCH, knob.read(BATCH)) == (
        "chrt --other --pid 0 7",
        "chrt --reset-on-fork --batch --pid 0 71",
    )


def test_what_ended_since_needs_nothing_and_what_was_turned_since_is_told(
    tasks: FakeTasks, knob: TaskIdle
) -> None:
    tasks.make_process(8, parent=7)
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    tasks.end(7, 71)
    tasks.end(8)
    knob.restore(BATCH, prior)
    assert not knob.unsettled(BATCH, prior, knob.read(BATCH))
    tasks.schedules[7] = Schedule("batch")
    assert knob.unsettled(BATCH, prior, knob.read(BATCH)) == (
        "thread 7:1001 is 'batch', was 'other'"
    )


def test_nothing_of_a_thread_is_recorded_that_it_does_not_put_back(knob: TaskIdle) -> None:
    state = knob.read(BATCH)
    assert state == State("0", {"thread 7:1001": "other", "thread 71:1002": "other"})


def test_the_kernel_is_asked_where_nobody_stands_in_for_it() -> None:
    assert TaskIdle(Host()).unavailable(Target("process", "2")) == "it is a thread of the kernel"
