# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.knobs.cpu_weight import CpuWeight
from resonance_tuning.records import State, Target

FILE = {"v1": "cpu.shares", "hybrid": "cpu.shares", "v2": "cpu.weight"}
LAYOUTS = pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])


@LAYOUTS
def test_a_weight_is_written_read_and_put_back(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    knob, web = CpuWeight(tree.host), tree.make_group("/web")
    tree.set("/web", FILE[layout], "77")
    prior, value = knob.read(web), knob.parse(1000)
    knob.write(web, value)
    assert knob.read(web).value == knob.canonical(web, value) == tree.get("/web", FILE[layout])
    knob.restore(web, prior)
    assert tree.get("/web", FILE[layout]) == "77" == prior.value


@pytest.mark.parametrize(
    ("weight", "shares"),
    [(1, "10"), (33, "338"), (100, "1024"), (1000, "10240"), (10000, "102400")],
)
def test_v1_gets_what_the_kernel_makes_of_the_weight(
    tmp_path: Path, weight: int, shares: str
) -> None:
    assert CpuWeight(CgroupTree(tmp_path / "v1", "v1").host).parse(weight) == shares
    assert CpuWeight(CgroupTree(tmp_path / "v2", "v2").host).parse(weight) == str(weight)


@pytest.mark.parametrize("value", [0, 10_001, -1, True, "100", 1.5, None])
def test_what_is_no_weight_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match=r"a weight is a whole number of 1\.\.10000"):
        CpuWeight(CgroupTree(tmp_path).host).parse(value)


@pytest.mark.parametrize(("text", "read"), [("1", "2"), ("999999999", "262144"), ("700", "700")])
def test_v1_clamps_without_a_word(tmp_path: Path, text: str, read: str) -> None:
    tree = CgroupTree(tmp_path, "hybrid")
    knob, web = CpuWeight(tree.host), tree.make_group("/web")
    knob.write(web, text)
    assert knob.read(web).value == knob.canonical(web, text) == read


@LAYOUTS
def test_an_idle_group_has_no_weight_to_set(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    knob, web = CpuWeight(tree.host), tree.make_group("/web")
    assert not knob.unavailable(web)
    tree.set("/web", "cpu.idle", "1")
    assert "cpu.idle 1" in knob.unavailable(web)
    with pytest.raises(OSError) as caught:
        knob.write(web, knob.parse(200))
    assert caught.value.errno == errno.EINVAL


@LAYOUTS
def test_a_kernel_without_the_idle_class_has_weights(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    web = tree.make_group("/web")
    tree.file("/web", "cpu.idle").unlink()
    assert not CpuWeight(tree.host).unavailable(web)


@LAYOUTS
def test_the_root_and_a_group_that_is_not_there_are_unavailable(
    tmp_path: Path, layout: Layout
) -> None:
    knob = CpuWeight(CgroupTree(tmp_path, layout).host)
    assert knob.unavailable(Target("cgroup", "/"))
    assert "there is no cgroup /gone" in knob.unavailable(Target("cgroup", "/gone"))


def test_a_group_that_goes_is_said_to_have_vanished(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path)
    knob, web = CpuWeight(tree.host), tree.make_group("/web")
    tree.host.failures["cpu.weight"] = errno.ENODEV
    with pytest.raises(TargetVanishedError):
        knob.write(web, "5")
    tree.remove_group("/web")
    for action in (knob.read, knob.identity):
        with pytest.raises(TargetVanishedError):
            action(web)


def test_a_group_made_anew_is_another(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path)
    knob, web = CpuWeight(tree.host), tree.make_group("/web")
    before = knob.identity(web)
    (tmp_path / "keeps the inode").touch()
    tree.file("/web", "cpu.weight").parent.rename(tmp_path / "old")
    tree.make_group("/web")
    assert knob.identity(web) != before


def test_the_undo_can_be_pasted(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, "v1")
    path = tree.file("/my web", "cpu.shares")
    assert CpuWeight(tree.host).commands(tree.make_group("/my web"), State("700")) == (
        f"echo 700 > '{path}'",
    )
