# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.errors import RequirementError
from resonance_tuning.planning.requirements import Requirements, demand


@pytest.fixture
def tree(tmp_path: Path) -> CgroupTree:
    tree = CgroupTree(tmp_path, cpus=2)
    tree.put("/proc/sys/kernel/osrelease", "6.1.0-28-amd64\n")
    tree.put("/proc/sys/net/ipv4/tcp_available_congestion_control", "reno cubic\n")
    return tree


def test_what_holds_passes(tree: CgroupTree) -> None:
    wanted = Requirements(
        cpus_online=2,
        kernel="6.1",
        controllers=("cpu", "cpuset"),
        congestion_control=("cubic",),
        no_sched_ext=True,
    )
    demand(tree.host, "own", wanted)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Requirements(cpus_online=3), "requires 3 CPUs online, found 2"),
        (Requirements(kernel="6.1.1"), "requires kernel 6.1.1, found 6.1.0-28-amd64"),
        (Requirements(kernel="6.12"), "requires kernel 6.12, found 6.1.0-28-amd64"),
        (Requirements(controllers=("hugetlb",)), "the cgroup controller hugetlb, found cpu"),
        (
            Requirements(congestion_control=("bbr",)),
            "requires congestion control bbr (modprobe tcp_bbr), found reno cubic",
        ),
    ],
)
def test_what_does_not_is_told_beside_what_is_there(
    wanted: Requirements, words: str, tree: CgroupTree
) -> None:
    with pytest.raises(RequirementError) as caught:
        demand(tree.host, "own", wanted)
    assert str(caught.value).startswith("profile own: requires ")
    assert words in str(caught.value)


def test_a_scheduler_from_user_space_is_named(tree: CgroupTree) -> None:
    tree.put("/sys/kernel/sched_ext/state", "enabled\n")
    tree.put(str(Path("/sys/kernel/sched_ext") / "root" / "ops"), "rusty\n")
    demand(tree.host, "own", Requirements())
    with pytest.raises(RequirementError, match="found rusty"):
        demand(tree.host, "own", Requirements(no_sched_ext=True))
