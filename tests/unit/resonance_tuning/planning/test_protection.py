# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree, Layout
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.protection import Protection, container_reason, throttling
from resonance_tuning.records import Target

OWN = 50


@pytest.fixture(params=["v1", "v2", "hybrid"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> CgroupTree:
    layout: Layout = request.param
    tree = CgroupTree(tmp_path, layout)
    tree.make_process(OWN, "/system.slice/resonanced.service", "python3")
    return tree


def _refusal(tree: CgroupTree, name: str) -> str:
    target = Target("process" if name.isdecimal() else "cgroup", name)
    return Protection(Inventory(tree.host), OWN).refusal(target)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "the root group holds everybody"),
        ("/system.slice", "it holds this process or one that started it (pid 50)"),
        ("/system.slice/resonanced.service", "it holds this process"),
        ("/kubepods", "container runtime"),
        ("/kubepods.slice/kubepods-pod1.slice", "container runtime"),
        ("/a.slice/a-kubepods.slice/a-kubepods-pod1.slice", "container runtime"),
        ("/docker/0123", "container runtime"),
        ("/a/docker-0123.scope", "container runtime"),
        ("/machine.slice/libpod-0123.scope", "container runtime"),
    ],
)
def test_what_is_never_tuned_is_refused_with_the_reason(
    path: str, reason: str, tree: CgroupTree
) -> None:
    assert reason in _refusal(tree, path)


@pytest.mark.parametrize("path", ["/web", "/system.slice/web.service", "/systemd", "/dockerish"])
def test_others_may_be_tuned(path: str, tree: CgroupTree) -> None:
    tree.make_group(path)
    assert _refusal(tree, path) == ""


@pytest.mark.parametrize(
    "name",
    ["sshd", "containerd", "dockerd", "crio", "conmon", "runc", "kubelet", "resonanced"],
)
def test_a_group_that_holds_one_of_these_is_refused_and_so_is_the_process(
    name: str, tree: CgroupTree
) -> None:
    tree.make_process(77, "/apps/inner", name)
    for path in ("/apps", "/apps/inner"):
        assert _refusal(tree, path) == f"it holds {name} (pid 77)"
    assert _refusal(tree, "77") == f"it is {name} (pid 77)"


def test_a_long_name_is_known_though_the_kernel_cuts_it(tree: CgroupTree) -> None:
    tree.make_process(77, "/apps", "containerd-shim", "containerd-shim-runc-v2", "-id")
    assert _refusal(tree, "/apps") == "it holds containerd-shim-runc-v2 (pid 77)"


def test_the_group_of_the_first_process_is_refused(tree: CgroupTree) -> None:
    tree.make_process(1, "/init.scope", "systemd")
    assert _refusal(tree, "/init.scope") == "it holds the first process (pid 1)"
    assert _refusal(tree, "1") == "it is the first process (pid 1)"


def test_who_started_us_is_refused_with_its_group(tree: CgroupTree) -> None:
    tree.make_process(40, "/session", "bash")
    stat = tree.host.path(f"/proc/{OWN}/stat")
    stat.write_text(stat.read_text().replace(" S 1 ", " S 40 ", 1))
    assert "started it (pid 40)" in _refusal(tree, "/session")
    assert "started it (pid 40)" in _refusal(tree, "40")
    assert "this process" in _refusal(tree, str(OWN))


def test_threads_of_the_kernel_and_processes_of_containers_are_refused(tree: CgroupTree) -> None:
    tree.make_process(2, "/", "kswapd0")
    stat = tree.host.path("/proc/2/stat")
    stat.write_text(stat.read_text().replace("4194560", str(0x00200040), 1))
    tree.make_process(88, "/kubepods/pod1", "nginx")
    tree.make_process(89, "/web", "nginx")
    assert _refusal(tree, "2") == "it is a thread of the kernel"
    assert "container" in _refusal(tree, "88")
    assert _refusal(tree, "89") == ""
    assert _refusal(tree, "4711") == ""


def test_the_host_itself_is_nobodys(tree: CgroupTree) -> None:
    assert Protection(Inventory(tree.host), OWN).refusal(Target("host", "")) == ""


def _namespace(tree: CgroupTree, name: str, number: int) -> None:
    path = tree.host.path(f"/proc/self/ns/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(f"{name}:[{number}]", path)


def test_a_namespace_that_is_not_the_hosts_is_a_container(tree: CgroupTree) -> None:
    assert container_reason(tree.host) == ""
    _namespace(tree, "pid", 4026531836)
    assert container_reason(tree.host) == ""
    _namespace(tree, "cgroup", 4026532222)
    assert "its cgroup namespace is not the host's" in container_reason(tree.host)


def test_a_file_left_behind_by_an_image_is_no_container(tree: CgroupTree) -> None:
    tree.put("/.dockerenv", "")
    assert container_reason(tree.host) == ""


def test_cgroups_that_cannot_be_written_are_a_container(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _: ReadOnly)
    assert "mounted read-only, as in a container" in container_reason(tree.host)


def _mount_proc(tree: CgroupTree, options: str) -> None:
    mounts = tree.host.path("/proc/self/mountinfo")
    mounts.write_text(f"{mounts.read_text()}21 1 0:21 / /proc rw - proc proc rw{options}\n")


@pytest.mark.parametrize(
    ("options", "is_hidden"),
    [
        ("", False),
        (",hidepid=off", False),
        (",hidepid=invisible", False),  # root's group is spared
        (",gid=123456,hidepid=invisible", True),
        (",gid=123456,hidepid=noaccess", True),
        (",gid=123456,hidepid=2", True),
        (",hidepid=ptraceable", True),
    ],
)
def test_where_processes_are_hidden_nothing_is_tuned_but_by_who_may_see_them(
    tree: CgroupTree, monkeypatch: pytest.MonkeyPatch, options: str, is_hidden: bool
) -> None:
    monkeypatch.setattr(os, "getegid", lambda: 0)
    monkeypatch.setattr(os, "getgroups", lambda: [0])
    _mount_proc(tree, options)
    tree.put("/proc/self/status", "CapEff:\t0000000000800000\n")
    assert ("CAP_SYS_PTRACE" in container_reason(tree.host)) is is_hidden
    tree.put("/proc/self/status", "CapEff:\t0000000000880000\n")
    assert container_reason(tree.host) == ""


def _limit(tree: CgroupTree, path: str, throttled: int) -> None:
    if tree.version == 1:
        tree.set(path, "cpu.cfs_quota_us", "50000")
    else:
        tree.set(path, "cpu.max", "50000 100000")
    text = f"nr_periods 9\nnr_throttled {throttled}\n"
    tree.file(path, "cpu.stat").write_text(text)


@pytest.mark.parametrize("limited", ["/web", "/web/inner"])
def test_a_quota_counts_once_it_has_held_a_group_or_one_above_it_back(
    limited: str, tree: CgroupTree
) -> None:
    tree.make_group("/web/inner")
    assert throttling(tree.host, "/web/inner") == ""
    _limit(tree, limited, 0)
    assert throttling(tree.host, "/web/inner") == ""
    _limit(tree, limited, 7)
    reason = throttling(tree.host, "/web/inner")
    assert reason.startswith(f"the CPU quota of {limited} (50000 of 100000 µs) has held it back 7")


def test_a_quota_that_was_lifted_counts_no_more(tree: CgroupTree) -> None:
    tree.make_group("/web")
    tree.file("/web", "cpu.stat").write_text("nr_throttled 7\n")
    assert throttling(tree.host, "/web") == ""
    assert throttling(tree.host, "/gone") == ""
