# SPDX-License-Identifier: MIT
"""The knobs of tasks on this kernel, turned on processes of our own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from privileged.tuning.family import Family, started
from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knobs.autogroup import Autogroup
from resonance_tuning.knobs.nice import Nice
from resonance_tuning.knobs.realtime import Realtime
from resonance_tuning.knobs.task_idle import TaskIdle
from resonance_tuning.records import Setting, Target
from resonance_tuning.surfaces.realtime_guard import GUARD_NAME
from resonance_tuning.surfaces.threads import Schedule, Scheduler
from resonance_tuning.tuner import Tuner

HOST = Host()
KERNEL = Scheduler()
OTHER, IDLE = Schedule("other"), Schedule("idle")
OURS = Schedule("rr", 1, resets_on_fork=True)


@pytest.fixture
def family() -> Iterator[Family]:
    with started() as family:
        yield family


def schedules(*tids: int) -> list[Schedule]:
    return [KERNEL.read(tid) for tid in tids]


def wait_until(is_so: Callable[[], bool], patience_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + patience_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def guards() -> set[int]:
    """Return the guards that live; one that has ended may wait long for the first process."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if f"({GUARD_NAME}) " in (text := stat.read_text()) and ") Z " not in text:
                found.add(int(stat.parent.name))
    return found


@pytest.fixture
def no_guard_left() -> Iterator[None]:
    before = guards()
    yield
    wait_until(lambda: guards() <= before)


def test_a_family_made_idle_is_put_back_to_the_last_thread(family: Family) -> None:
    knob, early = TaskIdle(HOST), family.child()
    batch, real = family.thread(), family.thread()
    KERNEL.set_policy(batch, Schedule("batch", resets_on_fork=True))
    KERNEL.set_nice(batch, 7)
    KERNEL.set_policy(real, Schedule("fifo", 1))
    before = schedules(family.pid, batch, real, early)

    assert not knob.unavailable(family.target)
    prior = knob.read(family.target)
    knob.write(family.target, "1")
    born = (family.thread(), family.child(), family.orphan())
    assert schedules(family.pid, batch) == [
        IDLE,
        Schedule("idle", nice=7, resets_on_fork=True),
    ]
    assert schedules(*born) == [IDLE] * 3
    assert schedules(real, early) == [Schedule("fifo", 1), OTHER]

    knob.restore(family.target, prior)
    assert schedules(family.pid, batch, real, early) == before
    assert schedules(*born) == [OTHER] * 3


def test_nice_of_a_family_is_put_back_to_the_last_thread(family: Family) -> None:
    knob, other = Nice(HOST), family.thread()
    KERNEL.set_nice(other, 3)
    prior = knob.read(family.target)
    knob.write(family.target, "-5")
    born = (family.thread(), family.child(), family.orphan())
    assert [each.nice for each in schedules(family.pid, other, *born)] == [-5] * 5
    knob.restore(family.target, prior)
    assert [each.nice for each in schedules(family.pid, other, *born)] == [0, 3, 0, 0, 0]


def test_a_journalled_change_outlives_its_process_and_is_taken_back(
    family: Family, tmp_path: Path
) -> None:
    dies, stays = family.thread(), family.child()
    knobs = {"task_idle": TaskIdle(HOST), "nice": Nice(HOST)}

    def apply_and_die() -> None:
        with Journal(tmp_path, HOST.boot_id) as journal:
            tuner = Tuner(HOST, journal, knobs)
            settings = [
                Setting("task_idle", family.target, "1"),
                Setting("nice", family.target, "9"),
            ]
            for setting in settings:
                tuner.apply("test", [tuner.preview(setting, "test")], "test")
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        apply_and_die()
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    born = (family.thread(), family.child())
    assert schedules(family.pid, dies, *born) == [Schedule("idle", nice=9)] * 4
    KERNEL.set_policy(stays, IDLE)  # its own choice: it was there before
    with Journal(tmp_path, HOST.boot_id) as journal:
        tuner = Tuner(HOST, journal, knobs)
        assert {receipt.outcome for receipt in tuner.verify()} == {"ok"}
        assert [receipt.outcome for receipt in tuner.recover()] == ["restored", "restored"]
        assert not tuner.live()
    assert schedules(family.pid, dies, *born) == [OTHER] * 4
    assert schedules(stays) == [IDLE]


def test_what_its_owner_takes_out_is_drift_and_stays(family: Family, tmp_path: Path) -> None:
    other = family.thread()
    with Journal(tmp_path, HOST.boot_id) as journal:
        tuner = Tuner(HOST, journal, {"task_idle": TaskIdle(HOST)})
        setting = Setting("task_idle", family.target, "1")
        tuner.apply("test", [tuner.preview(setting, "test")], "test")
        subprocess.run(["chrt", "--batch", "--pid", "0", str(family.pid)], check=True)
        assert [receipt.outcome for receipt in tuner.verify()] == ["drifted"]
        tuner.release_drifted()
        assert not tuner.live()
    assert schedules(family.pid, other) == [Schedule("batch"), OTHER]


def test_the_commands_for_an_operator_do_what_they_say(family: Family) -> None:
    batch = family.thread()
    KERNEL.set_policy(batch, Schedule("batch", resets_on_fork=True))
    KERNEL.set_nice(batch, 4)
    before = schedules(family.pid, batch)
    for knob, value in ((TaskIdle(HOST), "1"), (Nice(HOST), "12")):
        prior = knob.read(family.target)
        commands = knob.commands(family.target, prior)
        knob.write(family.target, value)
        for command in commands:
            subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
        assert schedules(family.pid, batch) == before
        assert knob.read(family.target) == prior


def test_without_the_right_to_leave_it_the_idle_class_is_refused_up_front(family: Family) -> None:
    program = (
        "import os, sys; from resonance_tuning import capabilities\n"
        "from resonance_tuning.host import Host\n"
        "from resonance_tuning.knobs.task_idle import TaskIdle\n"
        "from resonance_tuning.records import Target\n"
        "capabilities.drop_all_but(set(capabilities.ALL) - {'CAP_SYS_NICE'})\n"
        "print(TaskIdle(Host()).unavailable(Target('process', sys.argv[1])))\n"
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        "try: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\n"
        "except PermissionError: print('and the kernel would not let it out')\n"
    )
    words = [sys.executable, "-c", program, str(family.pid)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert answer == [
        "without CAP_SYS_NICE the kernel would refuse to take it back",
        "and the kernel would not let it out",
    ]
    assert schedules(family.pid) == [OTHER]


def test_a_session_is_turned_and_put_back_even_without_its_leader(family: Family) -> None:
    knob, child = Autogroup(HOST), family.child()
    assert knob.targets([Target("process", str(child)), family.target]) == [family.target]
    assert not knob.unavailable(family.target)
    prior, identity = knob.read(family.target), knob.identity(family.target)
    assert prior.value == "0"
    for value in ("5", "6", "7"):
        knob.write(family.target, value)
    assert Path(f"/proc/{child}/autogroup").read_text() == f"{identity} nice 7\n"
    family.leave()
    assert knob.identity(family.target) == identity
    assert knob.read(family.target).value == "7"
    knob.restore(family.target, prior)
    assert Path(f"/proc/{child}/autogroup").read_text() == f"{identity} nice 0\n"


def test_a_session_that_has_ended_has_vanished() -> None:
    with started() as family:
        target = family.target
    with pytest.raises(TargetVanishedError):
        Autogroup(HOST).read(target)


@pytest.mark.usefixtures("no_guard_left")
def test_real_time_threads_are_guarded_and_what_they_make_is_ordinary(family: Family) -> None:
    before, knob, thread = guards(), Realtime(HOST), family.thread()
    assert not knob.unavailable(family.target)
    prior = knob.read(family.target)
    knob.write(family.target, "1")
    assert schedules(family.pid, thread) == [OURS, OURS]
    (guard,) = guards() - before
    assert KERNEL.read(guard).priority == 2
    born = (family.thread(), family.child())
    assert schedules(*born) == [OTHER, OTHER]
    knob.restore(family.target, prior)
    wait_until(lambda: guards() == before)
    assert schedules(family.pid, thread, *born) == [OTHER] * 4


@pytest.mark.usefixtures("no_guard_left")
def test_real_time_upon_nice_comes_back_in_any_order(family: Family, tmp_path: Path) -> None:
    knobs = {"nice": Nice(HOST), "realtime": Realtime(HOST)}
    settings = [Setting("nice", family.target, "-20"), Setting("realtime", family.target, "1")]
    with Journal(tmp_path, HOST.boot_id) as journal:
        tuner = Tuner(HOST, journal, knobs)
        for first in (1, 2):
            changes = [tuner.preview(setting, "test") for setting in settings]
            tuner.apply("test", changes, "test")
            assert schedules(family.pid) == [Schedule("rr", 1, -20, resets_on_fork=True)]
            born = (family.thread(), family.child())
            assert {receipt.outcome for receipt in tuner.verify()} == {"ok"}
            tuner.undo({tuner.live()[-first].step})
            tuner.undo()
            assert schedules(family.pid, *born) == [OTHER] * 3


@pytest.mark.usefixtures("no_guard_left")
def test_the_guard_takes_back_a_thread_that_never_sleeps(family: Family) -> None:
    knob, spinning = Realtime(HOST), family.spin()
    prior = knob.read(family.target)
    since = time.monotonic()
    knob.write(family.target, "1")
    wait_until(lambda: schedules(family.pid, spinning) == [OTHER, OTHER])
    assert time.monotonic() - since > 1.5  # a window; more is this test's own wait for a CPU
    assert knob.read(family.target) == prior
    knob.restore(family.target, prior)


APPLY = (
    "import sys; from resonance_tuning.host import Host\n"
    "from resonance_tuning.knobs.realtime import Realtime\n"
    "from resonance_tuning.records import Target\n"
    "Realtime(Host()).write(Target('process', sys.argv[1]), '1')\n"
    "print('turned', flush=True); sys.stdin.read()\n"
)


def apply_elsewhere(family: Family) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", APPLY, str(family.pid)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"turned\n"
    return process


@pytest.mark.usefixtures("no_guard_left")
def test_the_guard_takes_back_what_a_killed_process_turned(family: Family) -> None:
    with apply_elsewhere(family) as process:
        assert schedules(family.pid) == [OURS]
        process.kill()
        wait_until(lambda: schedules(family.pid) == [OTHER])


@pytest.mark.usefixtures("no_guard_left")
def test_what_a_process_leaves_in_force_stays_guarded_until_it_is_put_back(
    family: Family,
) -> None:
    before, knob = guards(), Realtime(HOST)
    prior = knob.read(family.target)
    with apply_elsewhere(family) as process:
        process.communicate(timeout=10)  # its output ends though the guard lives
    assert process.returncode == 0
    time.sleep(0.6)
    assert schedules(family.pid) == [OURS]
    assert guards() > before
    knob.restore(family.target, prior)
    wait_until(lambda: guards() == before)


@pytest.mark.usefixtures("no_guard_left")
def test_a_group_without_a_real_time_budget_is_told_up_front_and_by_the_kernel(
    family: Family,
) -> None:
    mount = HOST.controller("cpu")
    assert mount
    group = mount.directory / f"resonance-test-{os.getpid()}-rt"
    group.mkdir()
    try:
        assert (group / "cpu.rt_runtime_us").read_text() == "0\n"
        (group / "cgroup.procs").write_text(f"{family.pid}\n")
        knob = Realtime(HOST)
        assert "RT_GROUP_SCHED" in knob.unavailable(family.target)
        with pytest.raises(KnobUnavailableError, match="RT_GROUP_SCHED"):
            knob.write(family.target, "1")
        assert schedules(family.pid) == [OTHER]
        assert f"it is in /{group.name}" in Autogroup(HOST).unavailable(family.target)
    finally:
        (mount.directory / "cgroup.procs").write_text(f"{family.pid}\n")
        group.rmdir()
