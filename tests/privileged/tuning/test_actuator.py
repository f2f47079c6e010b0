# SPDX-License-Identifier: MIT
"""Does the one process that writes keep its manners on the real kernel, however it ends?"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from privileged.tuning.groups import PROFILE, Groups
from privileged.tuning.inotify import Writes
from resonance_tuning import capabilities
from resonance_tuning.actuator import link, wire
from resonance_tuning.actuator.link import Actuator
from resonance_tuning.records import Receipt, Setting, Target

MAX_RSS_KILOBYTES = 25 * 1_000_000 // 1024
DRIFT_SECONDS = 5.0


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    made = Groups(tmp_path)
    yield made
    made.close()


@pytest.fixture
def before(groups: Groups) -> dict[str, bytes]:
    """What the groups hold before anything is turned; an odd weight shows a wrong default."""
    groups.file(groups.hogs, groups.weight_file).write_text("713")
    return groups.values()


def _outcomes(receipts: list[Receipt] | tuple[Receipt, ...]) -> list[str]:
    return [receipt.outcome for receipt in receipts]


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_it_applies_verifies_undoes_and_puts_all_back_at_the_end(
    groups: Groups, before: dict[str, bytes]
) -> None:
    with Actuator(groups.settings(), is_resident=True) as actuator:
        wanted = [change.setting for change in actuator.plan().changes]
        assert set(wanted) == {groups.weight, groups.idle}
        assert groups.values() == before, "a plan writes nothing"
        assert _outcomes(actuator.apply(wanted, "a test")) == ["applied"] * 2
        assert groups.file(groups.web, groups.weight_file).read_text() == f"{groups.weight.value}\n"
        assert groups.file(groups.hogs, "cpu.idle").read_text() == "1\n"
        assert _outcomes(actuator.verify()) == ["ok"] * 2
        assert _outcomes(actuator.undo([groups.idle], "a test")) == ["restored"]
        assert groups.file(groups.hogs, "cpu.idle").read_text() == "0\n"
        assert {receipt.setting for receipt in actuator.live()} == {groups.weight}
    assert actuator._process.returncode == 0
    assert groups.values() == before


def test_a_command_leaves_what_it_made_and_the_rollback_takes_it_back(
    groups: Groups, before: dict[str, bytes]
) -> None:
    with Actuator(groups.settings()) as actuator:
        actuator.apply([groups.weight, groups.idle], "a test")
    assert groups.file(groups.hogs, "cpu.idle").read_text() == "1\n"
    with Actuator(groups.settings(), is_resident=True) as service:
        assert service.begun.recovered == ()
    assert groups.file(groups.hogs, "cpu.idle").read_text() == "1\n", "an operator's own"
    assert _roll_back(groups, "--left-by-services") == 0
    assert groups.file(groups.hogs, "cpu.idle").read_text() == "1\n", "an operator's own"
    assert _roll_back(groups) == 0
    assert groups.values() == before


def _roll_back(groups: Groups, *flags: str) -> int:
    command = [sys.executable, "-I", "-m", "resonance_tuning", *flags]
    command += ["--journal-directory", str(groups.journal)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def test_what_somebody_else_writes_is_released_within_five_seconds_and_stays(
    groups: Groups, before: dict[str, bytes]
) -> None:
    process, connection, _ = link.spawn(groups.settings(), is_resident=True)
    with closing(connection), connection.makefile("rb") as lines:
        connection.sendall(wire.encode(wire.Apply(2, (groups.weight, groups.idle), "a test")))
        assert isinstance(wire.decode_said(lines.readline()), wire.Receipts)
        connection.settimeout(2 * DRIFT_SECONDS)
        groups.file(groups.web, groups.weight_file).write_text("333")
        started = time.monotonic()
        event = wire.decode_said(lines.readline())
        noticed_seconds = time.monotonic() - started
    process.wait(timeout=10)
    assert isinstance(event, wire.Drifted)
    assert [(each.setting, each.outcome, each.found) for each in event.receipts] == [
        (groups.weight, "released", "333")
    ]
    assert noticed_seconds < DRIFT_SECONDS
    changed = str(groups.file(groups.web, groups.weight_file))
    assert groups.values() == before | {changed: b"333\n"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_it_has_put_back_or_the_next_one_does(
    number: signal.Signals, groups: Groups, before: dict[str, bytes]
) -> None:
    process, connection, _ = link.spawn(groups.settings(), is_resident=True)
    with closing(connection), connection.makefile("rb") as lines:
        connection.sendall(wire.encode(wire.Apply(2, (groups.weight, groups.idle), "a test")))
        assert isinstance(wire.decode_said(lines.readline()), wire.Receipts)
        process.send_signal(number)
        process.wait(timeout=10)
    if number == signal.SIGKILL:
        assert groups.values() != before
        with Actuator(groups.settings(), is_resident=True) as successor:
            assert _outcomes(successor.begun.recovered) == ["restored"] * 2
            assert groups.values() == before
    assert groups.values() == before


@pytest.mark.parametrize("raw", [b"nonsense\n", b'{"type":"apply","id":3,"path":"/etc"}\n'])
def test_a_client_that_speaks_nonsense_is_the_end_and_all_is_put_back(
    raw: bytes, groups: Groups, before: dict[str, bytes]
) -> None:
    process, connection, _ = link.spawn(groups.settings(), is_resident=True)
    with closing(connection), connection.makefile("rb") as lines:
        connection.sendall(wire.encode(wire.Apply(2, (groups.weight, groups.idle), "a test")))
        assert isinstance(wire.decode_said(lines.readline()), wire.Receipts)
        connection.sendall(raw)
        assert process.wait(timeout=10) == 2
    assert groups.values() == before


def test_when_the_process_that_started_it_dies_it_puts_all_back(
    groups: Groups, before: dict[str, bytes]
) -> None:
    """The connection stays open, as where a daemon holds it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    starter = (
        "import subprocess, sys, time\n"
        "command = [sys.executable, '-I', '-m', 'resonance_tuning.actuator', '--fd', sys.argv[1]]\n"
        "subprocess.Popen(command, pass_fds=(int(sys.argv[1]),))\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", starter, str(its.fileno())]
    parent = subprocess.Popen(command, pass_fds=(its.fileno(),))
    its.close()
    with ours, ours.makefile("rb") as lines:
        begin = wire.Begin(settings=groups.settings(), is_resident=True)
        ours.sendall(wire.encode(begin) + wire.encode(wire.Apply(2, (groups.idle,), "a test")))
        assert isinstance(wire.decode_said(lines.readline()), wire.Begun)
        assert isinstance(wire.decode_said(lines.readline()), wire.Receipts)
        assert groups.values() != before
        parent.kill()
        parent.wait()
        assert lines.readline() == b""
    assert groups.values() == before


def test_it_keeps_what_its_knobs_need_and_nothing_else(groups: Groups) -> None:
    with Actuator(groups.settings(), is_resident=True) as actuator:
        assert actuator.begun.capabilities == ("CAP_SYS_NICE",)
        pid = actuator._process.pid
        sets = capabilities.current(Path(f"/proc/{pid}/status"))
        status = _status(pid)
    needed = 1 << capabilities.ALL.index("CAP_SYS_NICE")
    assert {name: int(status[name], 16) for name in sets} == {
        "CapInh": 0,
        "CapPrm": needed,
        "CapEff": needed,
        "CapBnd": needed,
        "CapAmb": 0,
    }
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split() == ["0"] * 4


def test_knobs_that_are_files_need_no_capability_at_all(
    groups: Groups, before: dict[str, bytes]
) -> None:
    groups.write_profile(PROFILE.replace("task_idle = 1\n", ""))
    with Actuator(groups.settings(), is_resident=True) as actuator:
        status = _status(actuator._process.pid)
        sets = [name for name in status if name.startswith("Cap")]
        assert {int(status[name], 16) for name in sets} == {0}
        assert _outcomes(actuator.apply([groups.weight, groups.idle], "a test")) == ["applied"] * 2
    assert groups.values() == before


def test_a_task_made_idle_comes_back(groups: Groups) -> None:
    hog = groups.start()
    setting = Setting("task_idle", Target("process", str(hog.pid)), "1", "batch")
    with Actuator(groups.settings(), is_resident=True) as actuator:
        (planned,) = [
            change.setting
            for change in actuator.plan().changes
            if change.setting.target == setting.target
        ]
        actuator.apply([planned], "a test")
        assert os.sched_getscheduler(hog.pid) == os.SCHED_IDLE
    assert os.sched_getscheduler(hog.pid) == os.SCHED_OTHER


def test_without_the_capability_to_undo_it_a_task_is_not_made_idle(groups: Groups) -> None:
    hog = groups.start()
    without = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")
    said = _in_a_process_of_its_own(groups, *without)
    assert said["capabilities"] == []
    assert "task_idle" not in said["planned"]
    assert "CAP_SYS_NICE" in said["excluded"]["task_idle"]
    assert os.sched_getscheduler(hog.pid) == os.SCHED_OTHER


def _in_a_process_of_its_own(groups: Groups, *confined: str) -> dict[str, Any]:
    """Start an actuator from a process that may not do everything; return what it says."""
    code = """
import json, sys, msgspec
from resonance_tuning.actuator.link import Actuator
from resonance_tuning.settings import TuningSettings

settings = msgspec.json.decode(sys.argv[1], type=TuningSettings)
with Actuator(settings, is_resident=True) as actuator:
    plan, said = actuator.plan(), msgspec.to_builtins(actuator.begun)
said["planned"] = [each.setting.knob for each in plan.changes]
said["excluded"] = {each.setting.knob: each.reason for each in plan.excluded}
print(json.dumps(said))
"""
    settings = msgspec.json.encode(groups.settings()).decode()
    command = [*confined, sys.executable, "-c", code, settings]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_shadow_opens_nothing_of_the_kernel_for_writing(
    groups: Groups, before: dict[str, bytes]
) -> None:
    directories = [
        root / group.name[1:] for root in groups.roots for group in (groups.web, groups.hogs)
    ]
    with Writes(directories) as writes:
        groups.file(groups.hogs, "cpu.idle").write_text("0")
        assert writes.seen() == {"cpu.idle"}, "what is written is seen here"
        with Actuator(groups.settings(), is_resident=True, is_shadow=True) as actuator:
            assert actuator.begun.capabilities == ()
            wanted = [change.setting for change in actuator.plan().changes]
            assert set(wanted) == {groups.weight, groups.idle}
            with pytest.raises(link.ActuatorRefusedError, match="shadow"):
                actuator.apply(wanted, "a test")
            assert actuator.undo([], "a test") == []
        assert writes.seen() == set()
    assert groups.values() == before


def test_where_the_kernels_files_are_read_only_it_is_shadow_with_the_reason(
    groups: Groups,
) -> None:
    script = (
        f"for tree in {' '.join(map(str, sorted(groups.roots)))}; do mount --bind $tree $tree && "
        'mount -o remount,bind,ro $tree || exit 9; done; exec "$@"'
    )
    said = _in_a_process_of_its_own(groups, "unshare", "--mount", "sh", "-c", script, "sh")
    assert said["is_shadow"] is True
    assert "read-only" in said["reason"]
    assert said["capabilities"] == []


def test_it_is_small_with_all_its_work_done(groups: Groups) -> None:
    groups.start()
    with Actuator(groups.settings(), is_resident=True) as actuator:
        actuator.apply([change.setting for change in actuator.plan().changes], "a test")
        actuator.verify()
        actuator.undo([], "a test")
        kilobytes = int(_status(actuator._process.pid)["VmHWM"].split()[0])
    print(f"peak of resident memory: {kilobytes} kB")
    assert kilobytes <= MAX_RSS_KILOBYTES


def test_starved_batch_work_is_given_way(groups: Groups) -> None:
    """One task of the group and one outside share a CPU; the group's is idle class."""
    settings = groups.settings()
    busy = ("/bin/sh", "-c", "while :; do :; done")
    cpu = str(max(os.sched_getaffinity(0)))
    process, connection, _ = link.spawn(settings, is_resident=True)
    with closing(connection), connection.makefile("rb") as lines:
        connection.sendall(wire.encode(wire.Apply(2, (groups.idle,), "a test")))
        assert isinstance(wire.decode_said(lines.readline()), wire.Receipts)
        for group in (groups.hogs, None):
            started = groups.start(*busy, group=group)
            os.sched_setaffinity(started.pid, {int(cpu)})
        connection.settimeout(30)
        event = wire.decode_said(lines.readline())
        assert isinstance(event, wire.SteppedDown), event
        assert [(each.setting, each.outcome) for each in event.receipts] == [
            (groups.idle, "restored")
        ]
        assert groups.hogs.name in event.reason
        assert groups.file(groups.hogs, "cpu.idle").read_text() == "0\n"
    assert process.wait(timeout=10) == 0
