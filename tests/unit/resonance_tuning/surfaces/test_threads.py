# SPDX-License-Identifier: MIT
"""Threads and the processes that came out of one, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.tasks import FakeTasks
from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.records import Target
from resonance_tuning.surfaces.threads import Schedule, Scheduler, family, process, threads


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    return FakeTasks(tmp_path)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Schedule("other"), "other nice 0"),
        (Schedule("batch", nice=-5), "batch nice -5"),
        (Schedule("rr", 7, 3, resets_on_fork=True), "rr 7 reset-on-fork nice 3"),
        (Schedule("idle", resets_on_fork=True), "idle reset-on-fork nice 0"),
    ],
)
def test_a_schedule_is_written_for_people_and_read_again(schedule: Schedule, text: str) -> None:
    assert str(schedule) == text
    assert Schedule.parse(text) == schedule
    assert Schedule.parse(schedule.scheduling_class).scheduling_class == schedule.scheduling_class


def test_our_own_process_is_read_as_the_kernel_tells_it() -> None:
    host = Host()
    own = process(host, Target("process", str(os.getpid())))
    assert (own.number, own.parent) == (os.getpid(), os.getppid())
    assert (own.group, own.session) == (os.getpgid(0), os.getsid(0))
    assert not own.is_kernel_thread
    first, *_ = threads(host, Scheduler(), os.getpid())
    assert first.task.key == own.key
    assert first.schedule.nice == os.nice(0)


def test_a_name_may_hold_parentheses_and_blanks(tasks: FakeTasks) -> None:
    tasks.make_process(7, parent=3, group=5, session=4)
    found = process(tasks.host, Target("process", "7"))
    assert (found.number, found.parent, found.group, found.session) == (7, 3, 5, 4)


def test_the_first_thread_comes_first_and_one_that_has_ended_not_at_all(tasks: FakeTasks) -> None:
    tasks.make_process(70)
    for tid in (8, 80):  # numbers begin anew once they have gone round
        tasks.make_thread(70, tid)
    del tasks.schedules[80]
    assert [thread.tid for thread in threads(tasks.host, tasks, 70)] == [70, 8]


def test_a_process_that_only_waits_for_its_parent_is_gone(tasks: FakeTasks) -> None:
    tasks.make_process(7)
    for stat in tasks.host.path("/proc/7").rglob("stat"):
        stat.write_text(stat.read_text().replace(") S", ") Z"))
    with pytest.raises(TargetVanishedError, match="it has ended"):
        process(tasks.host, Target("process", "7"))


def test_a_process_whose_first_thread_has_ended_is_there(tasks: FakeTasks) -> None:
    tasks.make_process(7)
    tasks.make_thread(7, 8)
    for path in ("/proc/7/stat", "/proc/7/task/7/stat"):
        stat = tasks.host.path(path)
        stat.write_text(stat.read_text().replace(") S", ") Z"))
    assert process(tasks.host, Target("process", "7")).number == 7
    assert [thread.tid for thread in threads(tasks.host, tasks, 7)] == [8]


def test_a_family_holds_descendants_and_who_stayed_in_its_session(tasks: FakeTasks) -> None:
    tasks.make_process(7)
    tasks.make_process(8, parent=7, session=8, group=8)
    tasks.make_process(9, parent=8, session=8, group=9)
    tasks.make_process(10, parent=1, session=7, group=10)  # its parent has ended
    tasks.make_process(11, parent=1, session=11, group=7)  # as in a pipeline
    tasks.make_process(12)
    tasks.make_process(13, parent=12)
    assert set(family(tasks.host, process(tasks.host, Target("process", "7")))) == {8, 9, 10, 11}


def test_who_leads_no_session_has_no_family_there(tasks: FakeTasks) -> None:
    tasks.make_process(6)
    tasks.make_process(7, parent=6, session=6, group=6)
    tasks.make_process(8, parent=6, session=6, group=6)
    assert not family(tasks.host, process(tasks.host, Target("process", "7")))
