# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.errors import ProfileError
from resonance_tuning.knobs import KNOBS, make_knobs
from resonance_tuning.settings import TuningSettings
from resonanced import tunable
from resonanced.tunable import Reach, Tunables


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CgroupTree:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return CgroupTree(tmp_path, "hybrid")


def _survey(tree: CgroupTree, settings: TuningSettings | None = None) -> Tunables:
    return tunable.survey(tree.host, settings or TuningSettings(), make_knobs(tree.host))


def _reach(tree: CgroupTree, knob: str, settings: TuningSettings | None = None) -> Reach:
    return {reach.knob: reach for reach in _survey(tree, settings).reaches}[knob]


def test_every_knob_is_asked_and_nothing_is_written(tree: CgroupTree) -> None:
    tree.make_group("/web")
    found = _survey(tree)
    assert [reach.knob for reach in found.reaches] == [knob.name for knob in KNOBS]
    assert all(reach.is_there or reach.reason for reach in found.reaches)
    assert tree.host.writes == []


def test_one_group_that_takes_a_knob_is_enough(tree: CgroupTree) -> None:
    tree.make_group("/idle")
    tree.set("/idle", "cpu.idle", "1")  # an idle group takes no weight
    assert not _reach(tree, "cpu_weight").is_there
    tree.make_group("/web")
    assert _reach(tree, "cpu_weight") == Reach("cpu_weight", "cgroup", 2, is_there=True, reason="")


def test_where_only_the_root_group_is_there_is_none_to_turn(tree: CgroupTree) -> None:
    assert _reach(tree, "cpu_weight").reason == "there is no cgroup here to turn it on"


def test_why_not_is_told_of_a_real_group(tree: CgroupTree) -> None:
    tree.make_group("/idle")
    tree.set("/idle", "cpu.idle", "1")
    assert "no cgroup here takes it: /idle is idle" in _reach(tree, "cpu_weight").reason


def test_without_systemd_no_unit_is_told(tree: CgroupTree) -> None:
    assert "systemd is not" in _reach(tree, "unit_cpu_weight").reason


def test_what_the_configuration_refuses_is_here_and_not_turned(tree: CgroupTree) -> None:
    tree.make_group("/web")
    reach = _reach(tree, "cpu_idle", TuningSettings(refuse=("cpu_idle",)))
    assert (reach.is_there, reach.reason) == (True, "refused by tuning.refuse")


def test_who_else_tunes_is_told(tree: CgroupTree) -> None:
    tree.make_process(10, "/a", "tuned")
    assert [other.name for other in _survey(tree).others] == ["TuneD"]


def test_without_root_no_knob_is_asked(tree: CgroupTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    found = _survey(tree)
    assert "run it with sudo" in found.everywhere
    assert found.reaches == ()


def test_what_the_profile_requires_and_is_not_here_is_told(tree: CgroupTree) -> None:
    profiles = tree.put("profiles/ours.toml", "[require]\ncpus_online = 4096\n").parent
    settings = TuningSettings(profile="ours", profiles_directory=str(profiles))
    assert "4096" in _survey(tree, settings).unmet
    assert _survey(tree).unmet == ""


def test_a_wrong_profile_is_an_error(tree: CgroupTree) -> None:
    with pytest.raises(ProfileError, match="no such profile"):
        _survey(tree, TuningSettings(profile="nobody-s"))
