# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from resonance.bench.machine import Machine, busy_seconds, this_machine

INTEL = "processor\t: 0\nmodel name\t: Example CPU @ 2.00GHz\nflags\t\t: fpu hypervisor sse\n\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path


def test_a_machine_is_its_processor_and_its_kernel(root: Path) -> None:
    (root / "proc/cpuinfo").write_text(INTEL * 2)
    machine = this_machine(root)
    system = os.uname()
    assert machine.processor == "Example CPU @ 2.00GHz"
    assert machine.is_virtual
    assert machine.kernel == f"{system.sysname} {system.release} {system.machine}"
    assert machine.cpus >= 1


@pytest.mark.parametrize("text", ["", "processor : 0\nFeatures : fp asimd\n", "no colon\n\0\n"])
def test_a_kernel_that_does_not_tell_leaves_the_architecture(root: Path, text: str) -> None:
    (root / "proc/cpuinfo").write_text(text)
    machine = this_machine(root)
    assert machine.processor == os.uname().machine
    assert not machine.is_virtual


def test_a_flag_that_only_sounds_like_it_is_another(root: Path) -> None:
    (root / "proc/cpuinfo").write_text("flags : hypervisor_guest fpu\n")
    assert not this_machine(root).is_virtual


def test_this_machine_is_the_same_when_asked_again() -> None:
    assert this_machine() == this_machine()


def test_a_machine_is_told_in_one_line() -> None:
    machine = Machine(processor="Example CPU", cpus=2, is_virtual=True, kernel="Linux 6.6 x86_64")
    assert str(machine) == "Example CPU, 2 CPUs, virtual, Linux 6.6 x86_64"
    bare = msgspec.structs.replace(machine, is_virtual=False)
    assert "bare metal" in str(bare)


def test_all_time_that_is_not_idle_nor_waiting_for_disks_is_busy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the kernel counts as busy: by ticks it may see nothing of periodic work."""
    (root / "proc/stat").write_text("cpu  0 0 0 500 100 0 0 0 0 0\ncpu0 0\ncpu1 0\nintr 5\n")
    monkeypatch.setattr(time, "clock_gettime", lambda _: 10.0)
    assert busy_seconds(root) == 2 * 10.0 - 600 / os.sysconf("SC_CLK_TCK")


def test_the_time_that_cpus_were_busy_grows() -> None:
    before, cpu = busy_seconds(), time.process_time()
    while time.process_time() < cpu + 0.3:
        pass
    assert busy_seconds() - before > 0.2
