# SPDX-License-Identifier: MIT
"""Cgroups of our own: in every hierarchy, and gone at the end, whatever happens between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.cgroups import tree

V1 = """\
30 24 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct
32 24 0:28 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset
33 24 0:29 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory
"""
V2 = "30 24 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
NAME = f"resonance-bench-{os.getpid()}"


def host(root: Path, mounts: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts)
    for line in mounts.splitlines():
        (root / line.split()[4].lstrip("/")).mkdir(parents=True, exist_ok=True)
    return root


def test_a_cgroup_is_made_in_every_hierarchy_that_schedules_and_in_no_other(tmp_path: Path) -> None:
    with tree(host(tmp_path, V1)) as made:
        group = made.make()
        names = [each.parent.name for each in group.directories]
        assert names == ["cpu,cpuacct", "cpuset", "unified"]
        assert all(each.is_dir() for each in group.directories)
    assert group.path == f"/{NAME}"


def test_on_a_unified_host_it_is_made_once(tmp_path: Path) -> None:
    with tree(host(tmp_path, V2)) as made:
        assert made.make().directories == (tmp_path / "sys/fs/cgroup" / NAME,)


def test_all_are_gone_at_the_end_those_below_first_and_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with tree(host(tmp_path, V2)) as made:
            for path in ("", "service", "service/replica"):
                made.make(path)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "sys/fs/cgroup").iterdir()) == []


def test_a_new_cpuset_has_what_its_parent_has(tmp_path: Path) -> None:
    root = host(tmp_path, V1)
    parent = root / "sys/fs/cgroup/cpuset"
    (parent / "cpuset.cpus").write_text("0-1")
    (parent / "cpuset.mems").write_text("0")
    directory = parent / NAME
    made_by_the_kernel = {"cgroup.clone_children": "0", "cpuset.cpus": "", "cpuset.mems": ""}
    real_mkdir = Path.mkdir

    def mkdir(self: Path, *arguments: object, **options: object) -> None:
        real_mkdir(self)
        if self == directory:
            for name, text in made_by_the_kernel.items():
                (self / name).write_text(text)

    with pytest.MonkeyPatch.context() as patch, tree(root) as made:
        patch.setattr(Path, "mkdir", mkdir)
        made.make()
        assert (directory / "cpuset.cpus").read_text() == "0-1"
        assert (directory / "cpuset.mems").read_text() == "0"
        for name in made_by_the_kernel:
            (directory / name).unlink()  # as the kernel does with the directory


def test_a_file_is_written_only_where_there_is_one(tmp_path: Path) -> None:
    with tree(host(tmp_path, V2)) as made:
        group = made.make()
        assert not group.write("cpu.rt_runtime_us", "400000")
        file = group.directories[0] / "cpu.rt_runtime_us"
        file.write_text("0")
        assert group.write("cpu.rt_runtime_us", "400000")
        assert file.read_text() == "400000"
        file.unlink()


def test_without_cgroups_the_error_says_how_to_mount_them(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="mount -t cgroup2"), tree(host(tmp_path, "")):
        pass


def test_who_may_not_make_one_is_told_that_it_takes_root(tmp_path: Path) -> None:
    with tree(host(tmp_path, V2)) as made:
        made.make()
        with pytest.raises(ExperimentError, match="it takes root"):
            made.make("nobody/there")
