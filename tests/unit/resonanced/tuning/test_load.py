# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from resonance_tuning.host import Host
from resonanced.tuning.load import Load

V1 = "31 26 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "32 26 0:28 / /cg/unified rw - cgroup2 cgroup2 rw\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("proc/self", "cg/cpu,cpuacct/web", "cg/unified/web", "cg/unified/batch"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "cg/unified/cgroup.controllers").write_text("\n")
    (tmp_path / "proc/self/mountinfo").write_text(V1 + V2)
    return tmp_path


def usage_v1(root: Path, seconds: float) -> None:
    path = root / "cg/cpu,cpuacct/web/cpuacct.usage"
    path.write_text(f"{round(seconds * 1e9)}\n")


def stalled(root: Path, seconds: float) -> None:
    text = f"some avg10=0.00 total=1\nfull avg10=0.00 avg60=0.00 total={round(seconds * 1e6)}\n"
    (root / "cg/unified/batch/cpu.pressure").write_text(text)


def test_busy_cpus_and_stalls_are_what_the_counters_grew_by(root: Path) -> None:
    load = Load(Host(root))
    usage_v1(root, 10.0)
    stalled(root, 1.0)
    load.look(100.0, ["/web"], ["/batch"])
    assert (load.busy_cpus, load.batch_full_ratio) == (None, None)
    usage_v1(root, 25.0)
    stalled(root, 4.0)
    load.look(104.9, ["/web"], ["/batch"])
    assert load.busy_cpus is None
    load.look(110.0, ["/web"], ["/batch"])
    assert (load.busy_cpus, load.batch_full_ratio) == (1.5, 0.3)


def test_version_two_tells_microseconds(root: Path) -> None:
    (root / "proc/self/mountinfo").write_text(V2)
    load = Load(Host(root))
    for at, usage_us in ((100.0, 1_000_000), (110.0, 6_000_000)):
        (root / "cg/unified/web/cpu.stat").write_text(f"usage_usec {usage_us}\nuser_usec 1\n")
        load.look(at, ["/web"], [])
    assert load.busy_cpus == 0.5


@pytest.mark.parametrize("is_empty_there", [False, True], ids=["unknown", "without tasks"])
def test_an_accounting_that_is_mounted_apart_may_know_nothing_of_the_group(
    root: Path, is_empty_there: bool
) -> None:
    apart = "31 26 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu\n"
    apart += "33 26 0:29 / /cg/cpuacct rw - cgroup cgroup rw,cpuacct\n"
    (root / "proc/self/mountinfo").write_text(apart + V2)
    if is_empty_there:
        (root / "cg/cpuacct/web").mkdir(parents=True)
        (root / "cg/cpuacct/web/cpuacct.usage").write_text("0\n")
    load = Load(Host(root))
    for at, usage_us in ((100.0, 1_000_000), (110.0, 16_000_000)):
        (root / "cg/unified/web/cpu.stat").write_text(f"usage_usec {usage_us}\nuser_usec 1\n")
        load.look(at, ["/web"], [])
    assert load.busy_cpus == 1.5


def test_what_cannot_be_read_is_not_known(root: Path) -> None:
    load = Load(Host(root))
    for at in (100.0, 110.0):
        load.look(at, ["/web", "/gone"], ["/batch", "/gone"])
    assert (load.busy_cpus, load.batch_full_ratio) == (None, None)


def test_a_kernel_without_the_line_full_tells_nothing(root: Path) -> None:
    (root / "cg/unified/batch/cpu.pressure").write_text("some avg10=0.00 total=1\n")
    load = Load(Host(root))
    for at in (100.0, 110.0):
        load.look(at, [], ["/batch"])
    assert load.batch_full_ratio is None
