# SPDX-License-Identifier: MIT
"""Knobs of CPU groups that touch each other, turned and taken back as the actuator does it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.journal import Journal
from resonance_tuning.knobs import make_knobs
from resonance_tuning.records import Receipt, Setting, Target
from resonance_tuning.tuner import Tuner

WEIGHT = {"v1": "cpu.shares", "hybrid": "cpu.shares", "v2": "cpu.weight"}
BATCH = Target("cgroup", "/batch")


class Host:
    """A host with a group of weight 700, and a tuner on it."""

    def __init__(self, tree: CgroupTree, tuner: Tuner) -> None:
        self.tree = tree
        self.tuner = tuner
        self.weight = WEIGHT[tree.layout]

    def apply(self, knob: str, value: object, target: Target = BATCH) -> Receipt:
        text = self.tuner.knobs[knob].parse(value)
        change = self.tuner.preview(Setting(knob, target, text, "batch"), "asked for")
        return self.tuner.apply("mine", [change], "asked for")[0]

    def surfaces(self) -> dict[Path, str]:
        found = self.tree.root.glob("sys/fs/cgroup/**/cp*.*")
        return {path: path.read_text() for path in found}


@pytest.fixture(params=["v1", "v2", "hybrid"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    tree = CgroupTree(tmp_path / "host", request.param)
    tree.make_group("/batch")
    tree.set("/batch", WEIGHT[request.param], "700")
    with Journal(tmp_path / "journal", tree.host.boot_id) as journal:
        yield Host(tree, Tuner(tree.host, journal, make_knobs(tree.host)))


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.outcome for receipt in receipts]


def test_idle_upon_weight_unwinds_to_what_was_there(host: Host) -> None:
    before = host.surfaces()
    host.apply("cpu_weight", 50)
    host.apply("cpu_idle", 1)
    assert set(outcomes(host.tuner.verify())) == {"ok"}
    assert outcomes(host.tuner.undo()) == ["restored", "restored"]
    assert host.surfaces() == before


def test_weight_alone_cannot_be_taken_from_under_idle(host: Host) -> None:
    before = host.surfaces()
    step = host.apply("cpu_weight", 50).step
    host.apply("cpu_idle", 1)
    assert outcomes(host.tuner.undo([step])) == ["restored", "restored"]
    assert host.surfaces() == before


def test_an_administrator_who_ends_idling_gets_the_weight_back_too(host: Host) -> None:
    before = host.surfaces()
    host.apply("cpu_idle", 1)
    host.tree.set("/batch", "cpu.idle", "0")
    assert outcomes(host.tuner.release_drifted()) == ["released"]
    assert host.surfaces() == before


def test_the_weight_an_administrator_sets_after_idling_stays(host: Host) -> None:
    host.apply("cpu_idle", 1)
    host.tree.set("/batch", "cpu.idle", "0")
    host.tree.set("/batch", host.weight, "900")
    assert outcomes(host.tuner.release_drifted()) == ["released"]
    assert host.tree.get("/batch", host.weight) == "900"
    assert host.tuner.undo() == []


def test_an_undo_tells_of_a_weight_that_is_somebody_elses_now(host: Host) -> None:
    host.apply("cpu_idle", 1)
    host.tree.set("/batch", "cpu.idle", "0")
    host.tree.set("/batch", host.weight, "900")
    receipt = host.tuner.undo()[0]
    assert receipt.outcome == "conflict-left"
    assert receipt.reason == f"{host.weight} is '900', was '700'"
    assert host.tree.get("/batch", host.weight) == "900"


def test_a_drift_of_the_weight_is_seen_beside_a_cpuset(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1})
    host.tree.make_process(21, "/batch", "hog")
    host.tree.set("/batch", "cpuset.mems", "0")
    host.tree.set("/batch", "cpuset.cpus", "0-3")
    host.apply("cpu_weight", 50)
    host.apply("cpuset", "1")
    host.tree.set("/batch", host.weight, "900")
    assert outcomes(host.tuner.verify()) == ["drifted", "ok"]


def test_a_set_that_loses_a_cpu_is_taken_back(host: Host) -> None:
    if host.tree.version == 1:
        host.tree.set("/batch", "cpuset.mems", "0")
    host.tree.set("/batch", "cpuset.cpus", "0-3")
    host.apply("cpuset", "2-3")
    host.tree.set_online({0, 1, 2})
    if host.tree.version == 1:  # drops the CPU by itself
        host.tree.set("/batch", "cpuset.cpus", "2")
        assert outcomes(host.tuner.release_drifted()) == ["restored"]
        assert host.tree.get("/batch", "cpuset.cpus") == "0-2"
    else:  # keeps what was asked for
        host.tree.set("/batch", "cpuset.cpus", "2-3")
        host.tree.file("/batch", "cpuset.cpus.effective").write_text("2\n")
        assert outcomes(host.tuner.release_drifted()) == ["ok"]
        assert outcomes(host.tuner.undo()) == ["restored"]
        assert host.tree.get("/batch", "cpuset.cpus") == "0-3"


def test_a_partition_the_kernel_made_invalid_is_taken_back(host: Host) -> None:
    if host.tree.version == 1:
        for name in ("cpuset.sched_load_balance", "cpuset.cpu_exclusive"):
            host.tree.file("/", name).write_text("0\n" if "load" in name else "1\n")
        host.tree.set("/batch", "cpuset.mems", "0")
    host.tree.set("/batch", "cpuset.cpus", "2-3")
    before = host.surfaces()
    host.apply("cpuset_partition", "isolated")
    if host.tree.version == 2:
        invalid = "isolated invalid (No cpu available due to hotplug)"
        host.tree.file("/batch", "cpuset.cpus.partition").write_text(f"{invalid}\n")
        assert outcomes(host.tuner.release_drifted()) == ["restored"]
    else:
        assert outcomes(host.tuner.undo()) == ["restored"]
    assert host.surfaces() == before
