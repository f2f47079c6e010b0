# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from resonance_tuning.actuator.pressure_trigger import Lasting, PressureTrigger, pressure_file
from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host

V2 = "30 1 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
V1 = "31 1 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"


def _host(root: Path, mountinfo: str, *directories: str) -> Host:
    for directory in ("sys/fs/cgroup/cpu/batch", "proc/self", *directories):
        (root / directory).mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    if "cgroup2" in mountinfo:
        (root / "sys/fs/cgroup/unified/cgroup.controllers").write_text("\n")
    return Host(root)


UNIFIED = "sys/fs/cgroup/unified"


def test_the_v2_hierarchy_tells_even_where_v1_holds_the_controller(tmp_path: Path) -> None:
    host = _host(tmp_path, V1 + V2, f"{UNIFIED}/batch")
    path = tmp_path / UNIFIED / "batch/cpu.pressure"
    path.touch()
    assert pressure_file(host, "/batch") == path


@pytest.mark.parametrize(
    ("mountinfo", "directories", "reason"),
    [
        (V1, (), "no cgroup v2 hierarchy is mounted"),
        (V1 + V2, (UNIFIED,), "the cgroup v2 hierarchy has no group /batch"),
        (V1 + V2, (f"{UNIFIED}/batch",), "this kernel counts no pressure: boot it with psi=1"),
    ],
)
def test_where_it_cannot_tell_it_says_why(
    mountinfo: str, directories: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    host = _host(tmp_path, mountinfo, *directories)
    with pytest.raises(KnobUnavailableError) as caught:
        pressure_file(host, "/batch")
    assert caught.value.reason == reason


class _Kernel:
    """Takes what is written to a trigger, or says why not."""

    def __init__(self, *refusals: int) -> None:
        self._refusals = list(refusals)
        self.written: list[bytes] = []

    def write(self, _descriptor: int, text: bytes) -> int:
        self.written.append(text)
        if self._refusals:
            raise OSError(self._refusals.pop(0), "no")
        return len(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cpu.pressure"
    path.touch()
    return path


def test_a_window_of_one_second_is_asked_for_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = _Kernel()
    monkeypatch.setattr(os, "write", kernel.write)
    trigger = PressureTrigger(path, 0.6)
    assert (kernel.written, trigger.window_seconds) == ([b"full 600000 1000000\0"], 1.0)
    trigger.close()


def test_without_the_capability_it_takes_a_window_of_two(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = _Kernel(errno.EINVAL)
    monkeypatch.setattr(os, "write", kernel.write)
    trigger = PressureTrigger(path, 0.6)
    assert (kernel.written[1], trigger.window_seconds) == (b"full 1200000 2000000\0", 2.0)
    trigger.close()


@pytest.mark.parametrize("refusals", [(errno.EINVAL, errno.EINVAL), (errno.EOPNOTSUPP,)])
def test_a_kernel_that_takes_none_is_told_and_nothing_is_left_open(
    refusals: tuple[int, ...], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", _Kernel(*refusals).write)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(KnobUnavailableError, match="no"):
        PressureTrigger(path, 0.6)
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(KnobUnavailableError, match="No such file"):
        PressureTrigger(tmp_path / "gone", 0.6)


def test_pressure_in_every_window_has_lasted_after_the_time_and_then_begins_anew() -> None:
    lasting = Lasting(60.0, window_seconds=2.0)
    lasted = [second for second in range(0, 200, 2) if lasting.fired(float(second))]
    assert lasted == [60, 122, 184]


def test_a_pause_of_some_windows_ends_it() -> None:
    lasting = Lasting(60.0, window_seconds=2.0)
    moments = [float(second) for second in range(0, 300, 2) if second % 50 > 8]
    assert [moment for moment in moments if lasting.fired(moment)] == []


def test_one_window_that_was_missed_does_not() -> None:
    lasting = Lasting(10.0, window_seconds=1.0)
    assert [moment for moment in (0.0, 2.0, 4.1, 6.0, 8.0, 10.0) if lasting.fired(moment)] == [10.0]
