# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.errors import RequirementError
from resonance_tuning.planning.placement import place


@pytest.mark.parametrize(
    ("cpus", "threads", "housekeeping", "critical", "batch"),
    [
        (2, 1, "0", "1", "0"),
        (4, 1, "0", "3", "1-2"),
        (4, 2, "0-1", "2-3", "0-1"),
        (8, 2, "0-1", "4-7", "2-3"),
        (11, 1, "0-1", "7-10", "2-6"),
        (64, 2, "0-7", "36-63", "8-35"),
        (64, 4, "0-7", "36-63", "8-35"),
    ],
)
def test_whole_cores_for_the_house_and_half_of_the_rest_for_what_is_critical(
    tmp_path: Path, cpus: int, threads: int, housekeeping: str, critical: str, batch: str
) -> None:
    host = CgroupTree(tmp_path, cpus=cpus, threads_per_core=threads).host
    assert place(host).variables == {
        "online_cpus": f"0-{cpus - 1}",
        "housekeeping_cpus": housekeeping,
        "latency_critical_cpus": critical,
        "batch_cpus": batch,
    }


@pytest.mark.parametrize(
    ("cpus", "threads"), [(cpus, threads) for threads in (1, 2) for cpus in range(threads + 1, 40)]
)
def test_the_house_always_keeps_a_tenth_and_cpu_0_and_no_core_is_split(
    tmp_path: Path, cpus: int, threads: int
) -> None:
    host = CgroupTree(tmp_path, cpus=cpus, threads_per_core=threads).host
    placed = place(host)
    assert 0 in placed.housekeeping
    assert len(placed.housekeeping) >= max(1, cpus / 10)
    assert placed.latency_critical
    assert placed.batch
    for other in (placed.housekeeping, placed.batch):
        assert not {cpu // threads for cpu in placed.latency_critical} & {
            cpu // threads for cpu in other
        }


def test_as_many_as_asked_for_in_whole_cores(tmp_path: Path) -> None:
    host = CgroupTree(tmp_path, cpus=8, threads_per_core=2).host
    assert place(host, latency_critical_cpus=1).latency_critical == {6, 7}
    assert place(host, latency_critical_cpus=3).latency_critical == {4, 5, 6, 7}
    everything = place(host, latency_critical_cpus=6)
    assert everything.batch == everything.housekeeping == {0, 1}


def test_the_house_can_ask_for_more(tmp_path: Path) -> None:
    placed = place(CgroupTree(tmp_path, cpus=8).host, min_housekeeping=3)
    assert placed.housekeeping == {0, 1, 2}


@pytest.mark.parametrize("asked", [0, -1, 8])
def test_more_than_there_is_cannot_be_had(tmp_path: Path, asked: int) -> None:
    with pytest.raises(RequirementError) as caught:
        place(CgroupTree(tmp_path, cpus=8).host, latency_critical_cpus=asked, profile="mine")
    assert caught.value.profile == "mine"
    assert caught.value.found == "7 beside housekeeping"


def test_one_cpu_is_nothing_to_divide(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, cpus=4)
    tree.set_online({0})
    with pytest.raises(RequirementError, match="requires 2 online CPUs, found 1"):
        place(tree.host)


def test_two_threads_of_one_core_are_not_divided(tmp_path: Path) -> None:
    host = CgroupTree(tmp_path, cpus=2, threads_per_core=2).host
    with pytest.raises(RequirementError, match="found 1 cores in all"):
        place(host)


def test_cpus_that_are_offline_are_nobodys(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, cpus=8, threads_per_core=2)
    tree.set_online({0, 1, 3, 4, 5, 6})
    placed = place(tree.host)
    assert placed.online == {0, 1, 3, 4, 5, 6}
    assert placed.housekeeping == {0, 1}
    assert placed.latency_critical == {4, 5, 6}
    assert placed.batch == {3}


def test_siblings_may_be_far_apart_and_packages_stay_together(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, cpus=8)
    for cpu in range(8):
        folder = f"/sys/devices/system/cpu/cpu{cpu}/topology"
        tree.put(f"{folder}/thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}\n")
        tree.put(f"{folder}/physical_package_id", f"{cpu % 2}\n")
    placed = place(tree.host)
    assert placed.housekeeping == {0, 4}
    assert placed.latency_critical == {1, 3, 5, 7}
    assert placed.batch == {2, 6}


def test_a_machine_without_topology_has_a_core_per_cpu(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, cpus=2)
    for path in tmp_path.glob("sys/devices/system/cpu/cpu*/topology/*"):
        path.unlink()
    assert place(tree.host).latency_critical == {1}
