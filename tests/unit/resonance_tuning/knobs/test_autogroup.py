# SPDX-License-Identifier: MIT
"""The nice value of a session: found through any of its processes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fakes.tasks import FakeTasks
from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.knobs import autogroup
from resonance_tuning.knobs.autogroup import Autogroup
from resonance_tuning.records import State, Target

SESSION = Target("process", "7")
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct"
V2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"


@pytest.fixture
def tasks(tmp_path: Path) -> FakeTasks:
    tasks = FakeTasks(tmp_path)
    tasks.put("/proc/sys/kernel/sched_autogroup_enabled", "1")
    for pid, parent in ((7, 1), (8, 7)):
        tasks.make_process(pid, parent=parent, session=7)
        tasks.put(f"/proc/{pid}/autogroup", "/autogroup-166 nice 0")
        tasks.put(f"/proc/{pid}/cgroup", "0::/")
    return tasks


def written(tasks: FakeTasks, pid: int) -> str:
    """Return the first line: a plain file keeps the rest of what it held."""
    return tasks.host.read(tasks.host.path(f"/proc/{pid}/autogroup")).partition("\n")[0]


@pytest.fixture
def knob(tasks: FakeTasks) -> Autogroup:
    return Autogroup(tasks.host)


def test_the_processes_of_one_session_are_one_target(tasks: FakeTasks, knob: Autogroup) -> None:
    tasks.make_process(9, session=0)
    tasks.make_process(20)
    matched = [Target("process", str(pid)) for pid in (8, 7, 9, 20, 404)]
    assert knob.targets(matched) == [SESSION, Target("process", "20")]


def test_it_is_read_and_written_through_the_leader(tasks: FakeTasks, knob: Autogroup) -> None:
    assert not knob.unavailable(SESSION)
    assert knob.read(SESSION) == State("0")
    assert knob.identity(SESSION) == "/autogroup-166"
    knob.write(SESSION, "-5")
    assert written(tasks, 7) == "-5"


def test_while_its_leader_lives_nobody_else_is_looked_at(
    knob: Autogroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance_tuning.knobs.autogroup.running", lambda _: pytest.fail("all"))
    assert knob.look(SESSION) == "0"
    assert knob.identity(SESSION) == "/autogroup-166"


def test_without_its_leader_through_anybody_in_it(tasks: FakeTasks, knob: Autogroup) -> None:
    tasks.end(7)
    assert knob.identity(SESSION) == "/autogroup-166"
    knob.restore(SESSION, State("0"))
    assert written(tasks, 8) == "0"
    assert knob.commands(SESSION, State("0")) == (
        f"echo 0 > {tasks.host.path('/proc/8/autogroup')}",
    )
    tasks.end(8)
    with pytest.raises(TargetVanishedError, match="nobody is in its session"):
        knob.identity(SESSION)
    assert "nobody" in knob.unavailable(SESSION)


def test_the_kernel_asks_for_patience(
    tasks: FakeTasks, knob: Autogroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, answers = list[float](), iter([errno.EAGAIN, errno.EAGAIN, 0])

    def write(_path: Path, _text: str) -> None:
        if number := next(answers):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(knob.host, "write", write)
    monkeypatch.setattr(autogroup.time, "sleep", waits.append)
    knob.write(SESSION, "5")
    assert waits == [0.1, 0.1]


@pytest.mark.parametrize(
    ("mounts", "cgroup", "switched", "reason"),
    [
        (V1_CPU, "2:cpu,cpuacct:/\n0::/web", "", ""),
        (V1_CPU, "2:cpu,cpuacct:/web\n0::/", "", "it is in /web"),
        (V2, "0::/system.slice/web", "memory", ""),
        (V2, "0::/system.slice/web", "cpu memory", "it is in /system.slice"),
    ],
)
def test_it_counts_in_the_root_cpu_group_only(
    tasks: FakeTasks, mounts: str, cgroup: str, switched: str, reason: str
) -> None:
    for directory in ("/sys/fs/cgroup", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/cpu"):
        tasks.put(f"{directory}/cgroup.subtree_control", "")
    tasks.put("/sys/fs/cgroup/cgroup.subtree_control", switched)
    tasks.put("/sys/fs/cgroup/cgroup.controllers", "cpu memory")
    tasks.put("/proc/self/mountinfo", mounts)
    tasks.put("/proc/7/cgroup", cgroup)
    found = Autogroup(tasks.host).unavailable(SESSION)
    assert found.endswith(reason)
    assert bool(found) == bool(reason)


def test_where_it_is_not_it_says_why(tasks: FakeTasks, knob: Autogroup) -> None:
    tasks.put("/proc/7/autogroup", "")
    assert knob.unavailable(SESSION) == "its session has no autogroup"
    own = os.getsid(0)
    tasks.make_process(own or 99, session=own)
    if own:
        assert knob.unavailable(Target("process", str(own))) == "it is our own session"
    tasks.put("/proc/sys/kernel/sched_autogroup_enabled", "0")
    assert "switched off" in knob.unavailable(SESSION)
    tasks.host.path("/proc/sys/kernel/sched_autogroup_enabled").unlink()
    assert knob.unavailable(SESSION) == "this kernel has no autogroups"


@pytest.mark.parametrize("value", [-21, 20, True, "5"])
def test_a_nice_value_out_of_range_is_refused(knob: Autogroup, value: object) -> None:
    assert knob.parse(19) == "19"
    with pytest.raises(ValueError, match="whole number of -20..19"):
        knob.parse(value)
