# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.processes import ProcessTable
from resonance_tuning.records import Target
from resonance_tuning.settings import Group


def _names(targets: tuple[Target, ...]) -> list[str]:
    return [target.name for target in targets]


@pytest.fixture(params=["v1", "v2", "hybrid"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> CgroupTree:
    layout: Layout = request.param
    return CgroupTree(tmp_path, layout)


def _systemd(tree: CgroupTree) -> None:
    tree.host.path("/run/systemd/system").mkdir(parents=True)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/web", ["/web"]),
        ("/web/", ["/web"]),
        ("/web*", ["/web", "/web/a", "/web2"]),
        ("*/a", ["/batch/x/a", "/web/a"]),
        ("/batch/*", ["/batch/x", "/batch/x/a"]),
        ("/[bw]*[2]", ["/web2"]),
        ("/WEB", []),
        ("/", ["/"]),
        ("/*", ["/batch", "/batch/x", "/batch/x/a", "/web", "/web/a", "/web2"]),
    ],
)
def test_a_pattern_crosses_slashes_and_never_means_the_root_by_accident(
    pattern: str, found: list[str], tree: CgroupTree
) -> None:
    for path in ("/web/a", "/web2", "/batch/x/a"):
        tree.make_group(path)
    match = Inventory(tree.host).match(Group(cgroups=(pattern,)))
    assert _names(match.cgroups) == found
    assert match.missing == (() if found else (f"cgroup {pattern}",))


def test_a_cgroup_of_any_hierarchy_is_found(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path, "hybrid")
    (tree.hierarchy("cpuset") / "pinned").mkdir()
    (tree.hierarchy("") / "modern").mkdir()
    assert {"/pinned", "/modern"} <= Inventory(tree.host).cgroups


def test_a_process_is_meant_by_the_kernels_name_or_its_commands(tree: CgroupTree) -> None:
    tree.make_process(10, "/a", "nginx", "nginx: worker process")
    tree.make_process(11, "/a", "postgres-longna", "/usr/lib/postgres-longname-server", "-D")
    tree.make_process(12, "/a", "other")
    tree.make_process(13, "/a", "odd) S 1 (", "odd")
    inventory = Inventory(tree.host)
    names = Group(processes=("nginx", "postgres-longname-server", "none"))
    match = inventory.match(names)
    assert _names(match.processes) == ["10", "11"]
    assert match.missing == ("process none",)
    assert _names(inventory.match(Group(processes=("odd) S 1 (",))).processes) == ["13"]


def test_without_systemd_a_unit_is_the_cgroup_of_its_name(tree: CgroupTree) -> None:
    tree.make_group("/system.slice/web.service/worker")
    inventory = Inventory(tree.host)
    match = inventory.match(Group(units=("web.service", "gone.service")))
    assert _names(match.cgroups) == ["/system.slice/web.service"]
    assert match.missing == ("unit gone.service",)
    assert inventory.unit("/system.slice/web.service") == ""


def test_with_systemd_a_unit_of_a_users_own_is_not_the_systems(tree: CgroupTree) -> None:
    _systemd(tree)
    users = "/user.slice/user-1.slice/user@1.service/app.slice/web.service"
    tree.make_group(users)
    tree.make_group("/system.slice/web.service/worker")
    inventory = Inventory(tree.host)
    assert _names(inventory.match(Group(units=("web.service",))).cgroups) == [
        "/system.slice/web.service"
    ]
    assert inventory.unit("/system.slice/web.service") == "web.service"
    assert inventory.unit("/system.slice") == "system.slice"
    assert inventory.unit(users) == ""
    assert inventory.unit("/system.slice/web.service/worker") == ""
    assert inventory.unit("/") == ""


def test_a_process_that_ends_while_it_is_read_is_left_out(tree: CgroupTree) -> None:
    tree.make_process(10, "/a", "nginx")
    tree.host.path("/proc/10/cmdline").unlink()
    assert 10 not in ProcessTable(tree.host).all
    assert ProcessTable(tree.host).cgroups(99) == frozenset()
