# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.knobs import KNOBS
from resonance_tuning.planning.other_tuners import OtherTuner, detect, likely_writer
from resonance_tuning.planning.processes import ProcessTable

NAMES = {knob.name for knob in KNOBS}
OPS = str(Path("/sys/kernel/sched_ext") / "root" / "ops")
SYSCTLS = {knob.name for knob in KNOBS if knob.scope == "namespace"}


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    return CgroupTree(tmp_path)


def _detect(tree: CgroupTree) -> tuple[OtherTuner, ...]:
    return detect(tree.host, ProcessTable(tree.host), SYSCTLS)


def test_alone_nobody_is_found(tree: CgroupTree) -> None:
    tree.make_process(10, "/a", "nginx")
    assert _detect(tree) == ()


@pytest.mark.parametrize(
    ("command", "name", "knobs"),
    [
        ("tuned", "TuneD", {"irq_affinity", "cpu_dma_latency", "somaxconn"}),
        ("bpftune", "bpftune", {"congestion_control", "tcp_rmem"}),
        ("irqbalance", "irqbalance", {"irq_affinity"}),
        ("kubelet", "kubelet", {"cpuset", "cpuset_partition"}),
    ],
)
def test_each_is_known_by_its_process_and_keeps_its_knobs(
    command: str, name: str, knobs: set[str], tree: CgroupTree
) -> None:
    tree.make_process(10, "/a", command)
    (found,) = _detect(tree)
    assert (found.name, found.pid) == (name, 10)
    assert knobs <= found.knobs <= NAMES
    assert str(found) == f"{name} (pid 10)"
    assert found.advice


def test_one_who_turns_a_knob_is_named_as_its_likely_writer(tree: CgroupTree) -> None:
    tree.make_process(10, "/a", "irqbalance")
    assert likely_writer(tree.host, "irq_affinity", SYSCTLS) == "irqbalance (pid 10)"
    assert not likely_writer(tree.host, "cpu_weight", SYSCTLS)


def test_a_program_started_through_an_interpreter_is_known_by_the_kernels_name(
    tree: CgroupTree,
) -> None:
    tree.make_process(10, "/a", "tuned", "/usr/bin/python3", "/usr/sbin/tuned")
    assert [found.name for found in _detect(tree)] == ["TuneD"]


def test_a_scheduler_from_user_space_keeps_the_cpu(tree: CgroupTree) -> None:
    tree.put("/sys/kernel/sched_ext/state", "disabled\n")
    assert _detect(tree) == ()
    tree.put("/sys/kernel/sched_ext/state", "enabled\n")
    assert [str(found) for found in _detect(tree)] == ["sched_ext (unnamed)"]
    tree.put(OPS, "lavd\n")
    (found,) = _detect(tree)
    assert str(found) == "sched_ext (lavd)"
    assert {"cpu_weight", "cpu_idle", "cpuset", "nice"} <= found.knobs <= NAMES
