# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.knobs.cpu_idle import CpuIdle
from resonance_tuning.records import State, Target

WEIGHT = {"v1": "cpu.shares", "hybrid": "cpu.shares", "v2": "cpu.weight"}
LAYOUTS = pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])


@pytest.fixture(params=["v1", "v2", "hybrid"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> CgroupTree:
    """Give a host with a group of weight 700 beside the root's."""
    tree = CgroupTree(tmp_path, request.param)
    tree.make_group("/batch")
    tree.set("/batch", WEIGHT[tree.layout], "700")
    return tree


BATCH = Target("cgroup", "/batch")


def test_the_weight_that_idling_loses_comes_back(tree: CgroupTree) -> None:
    knob, weight = CpuIdle(tree.host), WEIGHT[tree.layout]
    prior = knob.read(BATCH)
    assert prior == State("0", {weight: "700"})
    knob.write(BATCH, knob.parse(1))
    assert knob.read(BATCH) == State("1", {weight: "3" if tree.version == 1 else "0"})
    knob.restore(BATCH, prior)
    assert knob.read(BATCH) == prior


def test_an_undo_killed_between_its_two_writes_is_finished_by_the_next(tree: CgroupTree) -> None:
    knob = CpuIdle(tree.host)
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    knob.write(BATCH, "0")  # and killed: the weight is the kernel's default
    knob.restore(BATCH, prior)
    assert knob.read(BATCH) == prior


def test_a_weight_somebody_else_has_set_since_stays(tree: CgroupTree) -> None:
    knob, weight = CpuIdle(tree.host), WEIGHT[tree.layout]
    prior = knob.read(BATCH)
    knob.write(BATCH, "1")
    tree.set("/batch", "cpu.idle", "0")
    tree.set("/batch", weight, "900")
    knob.restore(BATCH, prior)
    assert knob.read(BATCH) == State("0", {weight: "900"})


def test_an_undo_that_has_nothing_to_do_writes_nothing(tree: CgroupTree) -> None:
    knob = CpuIdle(tree.host)
    knob.restore(BATCH, knob.read(BATCH))
    assert tree.host.writes == []


def test_a_group_that_was_idle_is_idle_again(tree: CgroupTree) -> None:
    knob = CpuIdle(tree.host)
    tree.set("/batch", "cpu.idle", "1")
    prior = knob.read(BATCH)
    knob.write(BATCH, "0")
    knob.restore(BATCH, prior)
    assert knob.read(BATCH) == prior
    assert knob.commands(BATCH, prior) == (f"echo 1 > {tree.file('/batch', 'cpu.idle')}",)


def test_the_undo_can_be_pasted(tree: CgroupTree) -> None:
    knob = CpuIdle(tree.host)
    prior = knob.read(BATCH)
    assert knob.commands(BATCH, prior) == (
        f"echo 0 > {tree.file('/batch', 'cpu.idle')}",
        f"echo 700 > {tree.file('/batch', WEIGHT[tree.layout])}",
    )
    knob.write(BATCH, "1")
    for command in knob.commands(BATCH, prior):
        subprocess.run(["/bin/sh", "-c", command], check=True)
    assert knob.read(BATCH) == prior


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (0, "0"), (True, "1"), (False, "0")])
def test_idle_is_yes_or_no(tmp_path: Path, value: object, text: str) -> None:
    assert CpuIdle(CgroupTree(tmp_path).host).parse(value) == text


@pytest.mark.parametrize("value", [2, -1, "1", None, 1.0])
def test_anything_else_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="idle is 1 or 0"):
        CpuIdle(CgroupTree(tmp_path).host).parse(value)


@LAYOUTS
def test_the_root_group_is_never_idle(tmp_path: Path, layout: Layout) -> None:
    knob = CpuIdle(CgroupTree(tmp_path, layout).host)
    assert knob.unavailable(Target("cgroup", "/")) == "the root group is never idle"


@LAYOUTS
def test_a_kernel_older_than_the_idle_class_says_so(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    batch = tree.make_group("/batch")
    assert not CpuIdle(tree.host).unavailable(batch)
    tree.file("/batch", "cpu.idle").unlink()
    assert CpuIdle(tree.host).unavailable(batch) == "/batch has no cpu.idle"
