# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.knobs.cpuset_partition import CpusetPartition
from resonance_tuning.records import State, Target

WEB = Target("cgroup", "/web")


@pytest.fixture
def v2(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, "v2")
    tree.make_group("/web")
    tree.set("/web", "cpuset.cpus", "2-3")
    return tree


@pytest.fixture
def v1(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, "v1")
    tree.make_group("/web")
    tree.set("/web", "cpuset.cpus", "2-3")
    tree.put(f"/{tree.file('/', 'cpuset.sched_load_balance').relative_to(tree.root)}", "0\n")
    return tree


@pytest.mark.parametrize("value", ["root", "isolated"])
def test_v2_becomes_a_partition_and_a_member_again(v2: CgroupTree, value: str) -> None:
    knob = CpusetPartition(v2.host)
    assert not knob.unavailable(WEB)
    prior = knob.read(WEB)
    assert prior == State("member")
    knob.write(WEB, knob.parse(value))
    assert knob.read(WEB).value == value
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior


def test_v2_answers_in_what_is_read(v2: CgroupTree) -> None:
    knob = CpusetPartition(v2.host)
    v2.make_group("/batch")
    v2.set("/batch", "cpuset.cpus", "0-2")
    knob.write(WEB, "isolated")
    found = knob.read(WEB).value
    assert found == "isolated invalid (Cpu list in cpuset.cpus not exclusive)"
    assert found != knob.canonical(WEB, "isolated")
    assert knob.is_ours(WEB, found, ["isolated"])
    assert not knob.is_ours(WEB, found, ["root"])


def test_a_partition_that_was_invalid_is_asked_for_again(v2: CgroupTree) -> None:
    knob = CpusetPartition(v2.host)
    v2.set("/web", "cpuset.cpus", "")
    v2.set("/web", "cpuset.cpus.partition", "root")
    prior = knob.read(WEB)
    assert prior.value == "root invalid (cpuset.cpus and cpuset.cpus.exclusive are empty)"
    knob.write(WEB, "member")
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior
    assert knob.commands(WEB, prior) == (f"echo root > {v2.file('/web', 'cpuset.cpus.partition')}",)


def test_only_a_partition_can_give_cpus_away(v2: CgroupTree) -> None:
    knob = CpusetPartition(v2.host)
    inner = v2.make_group("/web/inner")
    assert knob.unavailable(inner) == (
        "the group above /web/inner is no partition itself, but member"
    )
    v2.set("/web", "cpuset.cpus.partition", "root")
    assert not knob.unavailable(inner)


def test_a_partition_without_cpus_contradicts(v2: CgroupTree) -> None:
    knob = CpusetPartition(v2.host)
    assert not knob.contradiction(WEB, "root")
    v2.file("/web", "cpuset.cpus.effective").write_text("\n")
    assert knob.contradiction(WEB, "root") == "the partition has no CPU"
    assert not knob.contradiction(WEB, "member")


def test_cpus_that_are_not_listed_as_isolated_contradict(v2: CgroupTree) -> None:
    knob = CpusetPartition(v2.host)
    assert not knob.contradiction(WEB, "isolated")
    listed = v2.hierarchy("cpuset") / "cpuset.cpus.isolated"
    listed.write_text("3\n")
    assert knob.contradiction(WEB, "isolated") == "CPUs 2 are not isolated"
    assert not knob.contradiction(WEB, "root")
    listed.write_text("2-3\n")
    assert not knob.contradiction(WEB, "isolated")


def test_v1_has_no_effect_below_a_group_that_balances(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, "hybrid")
    reason = CpusetPartition(tree.host).unavailable(tree.make_group("/web"))
    assert reason.startswith("cgroup v1, and ")
    assert "cpuset.sched_load_balance 1" in reason


def test_v1_needs_an_exclusive_group_above(v1: CgroupTree) -> None:
    knob = CpusetPartition(v1.host)
    assert not knob.unavailable(WEB)
    inner = v1.make_group("/web/inner")
    v1.set("/web", "cpuset.sched_load_balance", "0")
    assert knob.unavailable(inner) == (
        "the group above /web/inner is not exclusive itself (cpuset.cpu_exclusive 0)"
    )


@pytest.mark.parametrize(
    ("value", "exclusive", "balance"), [("root", "1", "1"), ("isolated", "1", "0")]
)
@pytest.mark.parametrize("prior_balance", ["0", "1"])
def test_v1_has_two_flags_and_both_come_back(
    v1: CgroupTree, value: str, exclusive: str, balance: str, prior_balance: str
) -> None:
    knob = CpusetPartition(v1.host)
    v1.set("/web", "cpuset.sched_load_balance", prior_balance)
    prior = knob.read(WEB)
    assert prior.value == "member"
    knob.write(WEB, value)
    assert knob.read(WEB).value == value
    assert v1.get("/web", "cpuset.cpu_exclusive") == exclusive
    assert v1.get("/web", "cpuset.sched_load_balance") == balance
    commands = knob.commands(WEB, prior)
    knob.restore(WEB, prior)
    assert knob.read(WEB) == prior
    knob.write(WEB, value)
    for command in commands:
        subprocess.run(["/bin/sh", "-c", command], check=True)
    assert knob.read(WEB) == prior


def test_the_root_and_a_host_with_one_cpu_are_unavailable(v2: CgroupTree) -> None:
    knob = CpusetPartition(v2.host)
    assert knob.unavailable(Target("cgroup", "/"))
    v2.set_online({0})
    assert "one CPU online" in knob.unavailable(WEB)


@pytest.mark.parametrize("value", ["", "isolated invalid", 1, None, ["root"]])
def test_anything_else_is_refused(v2: CgroupTree, value: object) -> None:
    with pytest.raises(ValueError, match="a partition is one of member, root, isolated"):
        CpusetPartition(v2.host).parse(value)
