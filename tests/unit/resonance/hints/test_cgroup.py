# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from pathlib import Path

import pytest

from resonance.hints._cgroup import cgroup_id


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A hybrid host: version 2 beside the cpu controller of version 1."""
    proc = tmp_path / "proc"
    proc.mkdir()
    for directory in ("v2/app/web", "v1/batch", "inside/web"):
        (tmp_path / directory).mkdir(parents=True)
    (proc / "cgroup").write_text(
        "3:cpuset:/\n2:cpu,cpuacct:/batch\n1:name=systemd:/x\n0::/app/web\n"
    )
    mount(proc, "/")
    return proc


def mount(proc: Path, root: str, point: str = "v2") -> None:
    tree = proc.parent
    (proc / "mountinfo").write_text(
        f"30 23 0:26 / {tree}/v1cpuset rw - cgroup cgroup rw,cpuset\n"
        f"31 23 0:27 / {tree}/v1 rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 23 0:28 {root} {tree}/{point} rw shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
    )


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_the_cgroup_of_this_process(proc: Path) -> None:
    assert cgroup_id("v2", None, proc) == inode(proc.parent / "v2/app/web")
    assert cgroup_id("v1-cpu", None, proc) == inode(proc.parent / "v1/batch")


def test_a_cgroup_by_its_path(proc: Path) -> None:
    assert cgroup_id("v2", "/app", proc) == inode(proc.parent / "v2/app")
    assert cgroup_id("v2", "/", proc) == inode(proc.parent / "v2")


def test_a_container_that_sees_only_its_own_part_of_the_tree(proc: Path) -> None:
    mount(proc, "/app", "inside")
    assert cgroup_id("v2", None, proc) == inode(proc.parent / "inside/web")


def test_what_is_not_there_has_no_number(proc: Path) -> None:
    assert cgroup_id("v2", "/gone", proc) is None
    (proc / "mountinfo").write_text("")
    assert cgroup_id("v2", None, proc) is None
    (proc / "cgroup").unlink()
    assert cgroup_id("v2", None, proc) is None


def test_a_name_that_is_no_utf_8_is_a_name(proc: Path) -> None:
    name = os.fsdecode(b"web\xff")
    (proc.parent / "v2/app" / name).mkdir()
    (proc / "cgroup").write_bytes(b"0::/app/web\xff\n")
    assert cgroup_id("v2", None, proc) == inode(proc.parent / "v2/app" / name)
