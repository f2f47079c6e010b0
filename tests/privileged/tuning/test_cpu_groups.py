# SPDX-License-Identifier: MIT
"""The knobs of CPU groups on this kernel, in child cgroups that are ours."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resonance_tuning.errors import KnobRefusedError, TargetVanishedError
from resonance_tuning.host import Host, parse_cpus
from resonance_tuning.journal import Journal
from resonance_tuning.knob import CgroupFileKnob
from resonance_tuning.knobs.cpu_bandwidth import CpuBandwidth
from resonance_tuning.knobs.cpu_idle import CpuIdle
from resonance_tuning.knobs.cpu_weight import CpuWeight
from resonance_tuning.knobs.cpuset import Cpuset
from resonance_tuning.knobs.cpuset_partition import CpusetPartition
from resonance_tuning.planning.placement import place
from resonance_tuning.records import Setting, State, Target
from resonance_tuning.tuner import Tuner

HOST = Host()
GROUP = Target("cgroup", f"/resonance-test-cpu-{os.getpid()}")
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
SPIN = [sys.executable, "-c", "while True: pass"]
Start = Callable[..., subprocess.Popen[bytes]]


def hierarchies() -> set[Path]:
    mounts = [HOST.controller("cpu"), HOST.controller("cpuset")]
    return {mount.directory for mount in mounts if mount}


def version(controller: str) -> int:
    mount = HOST.controller(controller)
    assert mount
    return mount.version


@contextlib.contextmanager
def made(target: Target) -> Iterator[Target]:
    paths = [directory / target.name.lstrip("/") for directory in hierarchies()]
    try:
        for path in paths:
            path.mkdir()
        yield target
    finally:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()


@pytest.fixture
def group() -> Iterator[Target]:
    with made(GROUP) as target:
        yield target


@pytest.fixture
def start(group: Target) -> Iterator[Start]:
    """Give a function that starts a process in the group; they end before the group does."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(command: list[str], *knobs: CgroupFileKnob) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command)
        processes.append(process)
        for knob in knobs:
            HOST.write(knob.directory(group) / "cgroup.procs", str(process.pid))
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()


def shares_cpus(directory: Path) -> bool:
    """Tell whether a sibling has asked for some of a group's CPUs."""
    ours = parse_cpus(HOST.read(directory / "cpuset.cpus"))
    return any(
        ours & parse_cpus(HOST.read(path))
        for path in directory.parent.glob("*/cpuset.cpus")
        if path.parent != directory
    )


def surfaces(target: Target) -> dict[Path, str]:
    """Return what every file of CPUs reads, of a group and of those below it."""
    return {
        path: HOST.read(path)
        for directory in hierarchies()
        for pattern in ("cpu.[!ps]*", "cpu.shares", "cpuset.*")
        for path in (directory / target.name.lstrip("/")).glob(f"**/{pattern}")
        if "pressure" not in path.name
    }


def weight(target: Target) -> str:
    return CpuWeight(HOST).read(target).value


def test_shares_are_clamped_and_that_is_no_drift(group: Target) -> None:
    knob = CpuWeight(HOST)
    prior = knob.read(group)
    written = {1: ["1", "999999999", "700"], 2: ["1", "10000", "700"]}[version("cpu")]
    for value in written:
        knob.write(group, value)
        assert weight(group) == knob.canonical(group, value)
    if version("cpu") == 1:
        assert knob.canonical(group, "1") == "2"
    knob.restore(group, prior)
    assert knob.read(group) == prior


@pytest.mark.parametrize("value", [1, 33, 100, 1000, 10_000])
def test_every_weight_of_a_profile_reads_back_as_foretold(group: Target, value: int) -> None:
    knob = CpuWeight(HOST)
    text = knob.parse(value)
    knob.write(group, text)
    assert weight(group) == knob.canonical(group, text) == text


def test_an_untouched_group_has_the_weight_a_profile_calls_100(group: Target) -> None:
    assert weight(group) == CpuWeight(HOST).parse(100)


def test_idle_on_and_off_keeps_the_weight(group: Target) -> None:
    knob = CpuIdle(HOST)
    HOST.write(CpuWeight(HOST).path(group), "700")
    assert not knob.unavailable(group)
    prior = knob.read(group)
    knob.write(group, "1")
    assert weight(group) == ("3" if version("cpu") == 1 else "0")
    knob.restore(group, prior)
    assert knob.read(group) == prior
    assert weight(group) == "700"


def test_an_undo_of_idle_that_was_killed_half_way_is_finished(group: Target) -> None:
    knob = CpuIdle(HOST)
    HOST.write(CpuWeight(HOST).path(group), "700")
    prior = knob.read(group)
    knob.write(group, "1")
    HOST.write(knob.path(group), "0")
    assert weight(group) == ("1024" if version("cpu") == 1 else "100")
    knob.restore(group, prior)
    assert weight(group) == "700"


def test_the_weight_an_administrator_set_after_idling_stays(group: Target) -> None:
    knob = CpuIdle(HOST)
    prior = knob.read(group)
    knob.write(group, "1")
    HOST.write(knob.path(group), "0")
    HOST.write(CpuWeight(HOST).path(group), "900")
    knob.restore(group, prior)
    assert weight(group) == "900"


def test_a_group_that_was_idle_is_idle_again(group: Target) -> None:
    knob = CpuIdle(HOST)
    HOST.write(knob.path(group), "1")
    prior = knob.read(group)
    knob.write(group, "0")
    knob.restore(group, prior)
    assert knob.read(group) == prior


def test_weight_and_idle_exclude_each_other(group: Target) -> None:
    idle, heavy = CpuIdle(HOST), CpuWeight(HOST)
    idle.write(group, "1")
    assert "cpu.idle 1" in heavy.unavailable(group)
    with pytest.raises(OSError) as caught:
        heavy.write(group, heavy.parse(200))
    assert caught.value.errno == errno.EINVAL


def test_weight_then_idle_unwind_to_what_was_there(group: Target) -> None:
    idle, heavy = CpuIdle(HOST), CpuWeight(HOST)
    HOST.write(heavy.path(group), "700")
    before_weight = heavy.read(group)
    heavy.write(group, "300")
    before_idle = idle.read(group)
    idle.write(group, "1")
    idle.restore(group, before_idle)
    assert weight(group) == "300"
    heavy.restore(group, before_weight)
    assert weight(group) == "700"


def test_a_group_made_anew_is_another(group: Target) -> None:
    for knob in (CpuWeight(HOST), Cpuset(HOST)):
        before = knob.identity(group)
        directory = knob.directory(group)
        directory.rmdir()
        with pytest.raises(TargetVanishedError):
            knob.identity(group)
        for action in (knob.read, lambda target, knob=knob: knob.write(target, "1")):
            with pytest.raises(TargetVanishedError):
                action(group)
        directory.mkdir()
        assert knob.identity(group) != before


def test_a_quota_is_reported_with_how_often_it_throttled(group: Target, start: Start) -> None:
    knob = CpuBandwidth(HOST)
    assert not knob.unavailable(group)
    assert knob.canonical(group, "max") == knob.read(group).value
    HOST.write(knob.path(group), "5000" if version("cpu") == 1 else "5000 100000")
    start(SPIN, knob)
    deadline = time.monotonic() + 20
    while (
        "throttled in 0 of" in (reason := knob.unavailable(group)) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert "is limited by a quota" in reason
    assert "(nr_throttled)" in reason
    assert "throttled in 0 of" not in reason


def test_cpus_of_running_tasks_change_and_come_back(group: Target, start: Start) -> None:
    knob = Cpuset(HOST)
    online = sorted(HOST.online_cpus())
    knob.write(group, f"{online[0]},{online[1]}")
    process = start(SLEEP, knob)
    assert not knob.unavailable(group)
    prior = knob.read(group)
    value = knob.parse(online[1])
    knob.write(group, value)
    assert knob.read(group).value == knob.canonical(group, value)
    assert not knob.contradiction(group, value)
    assert os.sched_getaffinity(process.pid) == {online[1]}
    knob.restore(group, prior)
    assert knob.read(group) == prior
    assert os.sched_getaffinity(process.pid) == set(online[:2])


def test_the_affinity_a_task_chose_itself_survives(group: Target, start: Start) -> None:
    knob = Cpuset(HOST)
    first, second = sorted(HOST.online_cpus())[:2]
    knob.write(group, f"{first},{second}")
    process = start(SLEEP, knob)
    os.sched_setaffinity(process.pid, {first})
    assert not knob.unavailable(group)
    prior = knob.read(group)
    knob.write(group, str(second))
    assert not knob.contradiction(group, str(second))
    assert os.sched_getaffinity(process.pid) == {second}
    knob.restore(group, prior)
    assert os.sched_getaffinity(process.pid) == {first}


def test_a_task_outside_the_set_would_be_seen(group: Target, start: Start) -> None:
    knob = Cpuset(HOST)
    first, second = sorted(HOST.online_cpus())[:2]
    knob.write(group, f"{first},{second}")
    process = start(SLEEP, knob)
    os.sched_setaffinity(process.pid, {first, second})
    assert not knob.contradiction(group, f"{first},{second}")
    assert knob.contradiction(group, str(second)).startswith(f"asked for CPUs {second}")


def test_a_new_group_takes_tasks_once_it_has_cpus(group: Target, start: Start) -> None:
    knob = Cpuset(HOST)
    process = start(SLEEP)
    prior = knob.read(group)
    assert not prior.value
    procs = knob.directory(group) / "cgroup.procs"
    if version("cpuset") == 1:
        with pytest.raises(OSError) as caught:
            HOST.write(procs, str(process.pid))
        assert caught.value.errno == errno.ENOSPC
        assert prior.coupled == {"cpuset.mems": ""}
    knob.write(group, "0")
    HOST.write(procs, str(process.pid))
    assert os.sched_getaffinity(process.pid) == {0}
    if version("cpuset") == 1:
        with pytest.raises(KnobRefusedError, match="it has tasks by now"):
            knob.restore(group, prior)
    HOST.write(knob.directory(group).parent / "cgroup.procs", str(process.pid))
    knob.restore(group, prior)
    assert knob.read(group) == prior


def test_an_empty_write_clears_nothing_and_a_newline_does(group: Target) -> None:
    knob = Cpuset(HOST)
    prior = knob.read(group)
    knob.write(group, "0")
    descriptor = os.open(knob.path(group), os.O_WRONLY)
    os.write(descriptor, b"")
    os.close(descriptor)
    assert knob.read(group).value == "0"
    knob.restore(group, prior)
    assert knob.read(group) == prior


def test_a_cpu_that_is_not_there_is_refused(group: Target) -> None:
    knob = Cpuset(HOST)
    with pytest.raises(ValueError, match="are not online"):
        knob.parse("0,9999")
    with pytest.raises(OSError) as caught:
        knob.write(group, "99999")
    assert caught.value.errno == errno.ERANGE


def test_groups_below_are_narrowed_first_and_widened_last(group: Target) -> None:
    knob = Cpuset(HOST)
    first, second = sorted(HOST.online_cpus())[:2]
    knob.write(group, f"{first},{second}")
    child = Target("cgroup", f"{group.name}/child")
    with made(child):
        knob.write(child, f"{first},{second}")
        targets = knob.targets([group])
        assert targets == ([child, group] if version("cpuset") == 1 else [group])
        priors = [(target, knob.read(target)) for target in targets]
        for target in targets:
            knob.write(target, str(second))
        for target, prior in reversed(priors):
            knob.restore(target, prior)
            assert knob.read(target) == prior


def test_a_v1_partition_is_refused_where_the_root_group_balances(group: Target) -> None:
    knob = CpusetPartition(HOST)
    assert knob.read(group).value == "member"
    if version("cpuset") == 1:
        assert "balances over all its CPUs" in knob.unavailable(group)
        assert knob.read(group) == State(
            "member", {"cpuset.sched_load_balance": "1", "cpuset.cpu_exclusive": "0"}
        )


def test_a_partition_is_made_and_taken_back(group: Target) -> None:
    knob, cpus = CpusetPartition(HOST), Cpuset(HOST)
    cpus.write(group, str(max(HOST.online_cpus())))
    prior = knob.read(group)
    for value in ("root", "isolated"):
        if shares_cpus(knob.directory(group)):  # another service's cpuset; then the kernel says no
            with contextlib.suppress(OSError):
                knob.write(group, value)
            assert knob.read(group).value != value
        else:
            knob.write(group, value)
            assert knob.read(group).value == value
        knob.restore(group, prior)
        assert knob.read(group) == prior


def test_a_ladder_with_running_tasks_is_climbed_and_taken_back(
    group: Target, start: Start, tmp_path: Path
) -> None:
    knobs = {knob.name: knob for knob in (CpuIdle(HOST), CpuWeight(HOST), Cpuset(HOST))}
    first, second = sorted(HOST.online_cpus())[:2]
    batch = Target("cgroup", f"{group.name}/batch")
    with made(batch):
        for target in (group, batch):
            Cpuset(HOST).write(target, f"{first},{second}")
        HOST.write(CpuWeight(HOST).path(batch), "700")
        process = start(SPIN, CpuWeight(HOST), Cpuset(HOST))
        before = surfaces(group)
        wanted = [
            Setting("cpu_idle", batch, "1"),
            Setting("cpu_weight", group, CpuWeight(HOST).parse(1000)),
            *(Setting("cpuset", each, str(second)) for each in Cpuset(HOST).targets([group])),
        ]
        with Journal(tmp_path, HOST.boot_id) as journal:
            tuner = Tuner(HOST, journal, knobs)
            changes = [tuner.preview(setting, "tried") for setting in wanted]
            assert {each.outcome for each in tuner.apply("test", changes, "tried")} == {"applied"}
            assert {each.outcome for each in tuner.verify()} == {"ok"}
            assert os.sched_getaffinity(process.pid) == {second}
            assert surfaces(group) != before
            assert {each.outcome for each in tuner.undo()} == {"restored"}
        assert surfaces(group) == before
        assert os.sched_getaffinity(process.pid) == {first, second}


def test_the_cpus_of_this_host_can_be_divided() -> None:
    placed = place(HOST)
    assert 0 in placed.housekeeping
    assert placed.latency_critical | placed.housekeeping | placed.batch == HOST.online_cpus()
    assert not placed.latency_critical & (placed.housekeeping | placed.batch)
