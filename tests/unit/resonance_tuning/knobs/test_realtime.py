# SPDX-License-Identifier: MIT
"""Real-time class of a process's threads, never without a guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.tasks import FakeTasks
from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.knobs.realtime import Realtime
from resonance_tuning.records import Target
from resonance_tuning.surfaces import realtime_guard
from resonance_tuning.surfaces.realtime_guard import Watched
from resonance_tuning.surfaces.threads import Schedule

WEB = Target("process", "7")
OTHER, OURS = Schedule("other"), Schedule("rr", 1, resets_on_fork=True)


class Guards:
    """Stand in for guard processes; what they were told, in order."""

    def __init__(self) -> None:
        self.watched: list[Watched] = []
        self.told: list[str] = []
        self.fails = False

    def start(self, watched: Watched) -> Guards:
        if self.fails:
            raise ChildProcessError("no guard")
        self.watched.append(watched)
        self.told.append("start")
        return self

    def end(self) -> None:
        self.told.append("end")
        self.watched[-1].take_back()

    def stay(self) -> None:
        self.told.append("stay")


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Guards:
    guards = Guards()
    monkeypatch.setattr(realtime_guard, "start", guards.start)
    return guards


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    tasks = FakeTasks(tmp_path)
    tasks.make_process(7)
    tasks.make_thread(7, 71)
    tasks.put("/proc/7/cgroup", "2:cpu,cpuacct:/web")
    return tasks


@pytest.fixture
def knob(tasks: FakeTasks, guards: Guards) -> Realtime:
    return Realtime(tasks.host, tasks)


def test_ordinary_threads_are_turned_under_a_guard_and_put_back(
    tasks: FakeTasks, knob: Realtime, guards: Guards
) -> None:
    tasks.make_thread(7, 72, Schedule("batch"))
    before = dict(tasks.schedules)
    assert not knob.unavailable(WEB)
    prior = knob.read(WEB)
    tasks.on_write = lambda _tid: guards.told.append("turn")
    knob.write(WEB, knob.parse(1))
    assert guards.told == ["start", "turn", "turn"]
    assert tasks.schedules == {7: OURS, 71: OURS, 72: Schedule("batch")}
    assert knob.read(WEB).value == "1"
    assert not knob.contradiction(WEB, "1")
    assert not knob.unavailable(WEB)  # what is ours is not its own choice
    knob.restore(WEB, prior)
    assert tasks.schedules == before
    assert guards.told[-1] == "end"
    assert knob.read(WEB) == prior


def test_without_a_guard_nothing_is_turned(
    tasks: FakeTasks, knob: Realtime, guards: Guards
) -> None:
    guards.fails = True
    with pytest.raises(ChildProcessError):
        knob.write(WEB, "1")
    assert not tasks.writes


def test_what_was_born_since_gets_the_nice_value_it_would_have_inherited(
    tasks: FakeTasks, knob: Realtime
) -> None:
    tasks.schedules[7] = Schedule("other", nice=-20)
    prior = knob.read(WEB)
    knob.write(WEB, "1")
    assert tasks.schedules[7] == Schedule("rr", 1, -20, resets_on_fork=True)
    tasks.make_thread(7, 72)
    tasks.make_process(8, parent=7, schedule=tasks.inherited(7))
    tasks.make_process(9, parent=7, schedule=Schedule("other", nice=3))  # it chose
    knob.restore(WEB, prior)
    assert tasks.schedules[7] == tasks.schedules[72] == Schedule("other", nice=-20)
    assert tasks.schedules[8] == Schedule("other", nice=-20)
    assert tasks.schedules[9] == Schedule("other", nice=3)


def test_a_thread_turned_after_it_was_recorded_is_put_back_too(
    tasks: FakeTasks, knob: Realtime
) -> None:
    prior = knob.read(WEB)
    tasks.make_thread(7, 72)
    knob.write(WEB, "1")
    knob.restore(WEB, prior)
    assert set(tasks.schedules.values()) == {OTHER}


def test_what_its_owner_took_out_stays(tasks: FakeTasks, knob: Realtime) -> None:
    prior = knob.read(WEB)
    knob.write(WEB, "2")
    tasks.schedules[7] = Schedule("fifo", 5)
    assert knob.contradiction(WEB, "2") == "its first thread is fifo 5"
    knob.restore(WEB, prior)
    assert tasks.schedules == {7: Schedule("fifo", 5), 71: OTHER}


def test_the_guard_sees_what_is_turned_and_can_take_it_back(
    tasks: FakeTasks, knob: Realtime, guards: Guards
) -> None:
    knob.write(WEB, "1")
    watched = guards.watched[0]
    assert [thread.tid for thread in watched.turned()] == [7, 71]
    watched.take_back()
    assert tasks.schedules == {7: OTHER, 71: OTHER}
    assert not watched.turned()
    tasks.end(7)
    assert not watched.turned()


def test_a_second_value_gets_a_guard_of_its_own(
    tasks: FakeTasks, knob: Realtime, guards: Guards
) -> None:
    prior = knob.read(WEB)
    knob.write(WEB, "1")
    knob.write(WEB, "2")
    assert guards.told == ["start", "end", "start"]
    assert tasks.schedules == dict.fromkeys((7, 71), Schedule("rr", 2, resets_on_fork=True))
    guards.watched[1].take_back()
    assert tasks.schedules == dict.fromkeys((7, 71), OTHER)
    knob.restore(WEB, prior)


def test_an_older_priority_comes_back_under_a_guard_too(
    tasks: FakeTasks, knob: Realtime, guards: Guards
) -> None:
    oldest = knob.read(WEB)
    knob.write(WEB, "1")
    older = knob.read(WEB)
    knob.write(WEB, "2")
    recovering = Realtime(tasks.host, tasks)
    recovering.restore(WEB, older)
    assert recovering.read(WEB) == older
    assert guards.told[-1] == "start"
    recovering.restore(WEB, oldest)
    assert recovering.read(WEB) == oldest


def test_what_a_process_leaves_in_force_stays_guarded(knob: Realtime, guards: Guards) -> None:
    knob.write(WEB, "1")
    knob.leave_guards()
    assert guards.told == ["start", "stay"]
    knob.leave_guards()
    assert guards.told == ["start", "stay"]


def test_a_process_with_real_time_threads_of_its_own_is_left_alone(
    tasks: FakeTasks, knob: Realtime
) -> None:
    tasks.make_thread(7, 72, Schedule("fifo", 10))
    assert knob.unavailable(WEB) == "1 of its threads are real-time by its own choice"


def test_where_the_kernel_would_not_hold_it_back_it_is_refused(
    tasks: FakeTasks, knob: Realtime
) -> None:
    tasks.put("/proc/sys/kernel/sched_rt_runtime_us", "-1")
    assert "throttle is switched off" in knob.unavailable(WEB)


def test_a_group_without_a_real_time_budget_is_explained(
    tasks: FakeTasks, guards: Guards, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.put("/proc/self/mountinfo", "3 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu")
    tasks.put("/sys/fs/cgroup/cpu/web/cpu.rt_runtime_us", "0")
    tasks.put("/proc/7/cgroup", "2:cpu:/web")
    knob = Realtime(tasks.host, tasks)
    assert "RT_GROUP_SCHED" in knob.unavailable(WEB)
    assert "EINVAL" in knob.unavailable(WEB)
    tasks.put("/sys/fs/cgroup/cpu/web/cpu.rt_runtime_us", "950000")
    assert not knob.unavailable(WEB)

    def refuse(_tid: int) -> None:
        raise PermissionError

    tasks.on_write = refuse
    with pytest.raises(KnobUnavailableError, match="RT_GROUP_SCHED"):
        knob.write(WEB, "1")
    assert guards.told == ["start", "end"]


@pytest.mark.parametrize("value", [0, 11, 99, True, "1", None])
def test_only_low_priorities_are_taken(knob: Realtime, value: object) -> None:
    assert knob.parse(10) == "10"
    with pytest.raises(ValueError, match=r"whole number of 1\.\.10"):
        knob.parse(value)


def test_commands_put_back_the_whole_or_each_thread(tasks: FakeTasks, knob: Realtime) -> None:
    assert knob.commands(WEB, knob.read(WEB)) == ("chrt --all-tasks --other --pid 0 7",)
    tasks.schedules[71] = Schedule("other", nice=5, resets_on_fork=True)
    assert knob.commands(WEB, knob.read(WEB)) == (
        "chrt --other --pid 0 7",
        "chrt --reset-on-fork --other --pid 0 71",
    )
