# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.knobs.cpu_bandwidth import CpuBandwidth

QUOTA = {
    "v1": ("cpu.cfs_quota_us", "50000"),
    "hybrid": ("cpu.cfs_quota_us", "50000"),
    "v2": ("cpu.max", "50000 100000"),
}
LAYOUTS = pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])


def throttle(tree: CgroupTree, path: str) -> None:
    name, text = QUOTA[tree.layout]
    tree.set(path, name, text)
    tree.set(path, "cpu.stat", "nr_periods 340\nnr_throttled 12\nthrottled_usec 1")


@LAYOUTS
def test_a_group_without_quota_is_as_asked_for(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    knob, web = CpuBandwidth(tree.host), tree.make_group("/web")
    assert not knob.unavailable(web)
    assert knob.canonical(web, knob.parse("max")) == knob.read(web).value


@LAYOUTS
def test_a_quota_is_reported_with_how_often_it_throttled(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    knob, web = CpuBandwidth(tree.host), tree.make_group("/web")
    throttle(tree, "/web")
    reason = knob.unavailable(web)
    assert "/web is limited by a quota" in reason
    assert "12 of 340 periods (nr_throttled)" in reason
    assert knob.canonical(web, "max") != knob.read(web).value


@LAYOUTS
def test_a_quota_above_the_group_is_reported_too(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    web = tree.make_group("/site/web")
    throttle(tree, "/site")
    assert "/site is limited by a quota" in CpuBandwidth(tree.host).unavailable(web)


@LAYOUTS
def test_a_quota_is_never_written(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path, layout)
    knob, web = CpuBandwidth(tree.host), tree.make_group("/web")
    prior = knob.read(web)
    with pytest.raises(KnobUnavailableError, match="is never written"):
        knob.write(web, "max")
    knob.restore(web, prior)
    assert knob.commands(web, prior) == ()
    assert tree.host.writes == []


@pytest.mark.parametrize("value", [50000, "50%", "-1", None])
def test_a_profile_can_ask_for_nothing_else(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="a quota is never set"):
        CpuBandwidth(CgroupTree(tmp_path).host).parse(value)
