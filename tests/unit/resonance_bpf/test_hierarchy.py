# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.kernel import FakeKernel
from resonance_bpf.errors import ProbeUnsupportedError
from resonance_bpf.hierarchy import find_hierarchy, path_of_task


def test_v2_is_taken_where_it_is_alone(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, "v2")
    found = find_hierarchy(tmp_path)
    assert (found.name, found.mount) == ("v2", kernel.mount)
    assert found.root_cgroup_id == kernel.mount.stat().st_ino


def test_v1_cpu_wins_on_a_hybrid_host(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, "v1-cpu")
    found = find_hierarchy(tmp_path)
    assert (found.name, found.mount) == ("v1-cpu", kernel.mount)


def test_the_cpuset_controller_is_not_the_cpu_controller(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, "v2")
    kernel.mountinfo.write_text(
        "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        + kernel.mountinfo.read_text()
    )
    assert find_hierarchy(tmp_path).name == "v2"


def test_no_hierarchy_says_what_to_mount(tmp_path: Path) -> None:
    FakeKernel(tmp_path).mountinfo.write_text("31 23 0:28 / / rw - ext4 /dev/vda rw\n")
    with pytest.raises(ProbeUnsupportedError, match="mount -t cgroup2"):
        find_hierarchy(tmp_path)


def test_mount_points_with_spaces_are_decoded(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    (tmp_path / "a b").mkdir()
    kernel.mountinfo.write_text("31 23 0:28 / /a\\040b rw - cgroup2 cgroup2 rw\n")
    assert find_hierarchy(tmp_path).mount == tmp_path / "a b"


def test_the_shallowest_of_several_mounts_is_taken(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    bind = "50 31 0:28 /pod/a /bind rw - cgroup2 cgroup2 rw\n"
    kernel.mountinfo.write_text(bind + kernel.mountinfo.read_text())
    assert find_hierarchy(tmp_path).mount == kernel.mount


def test_a_mount_that_is_not_the_real_root_is_told(tmp_path: Path) -> None:
    FakeKernel(tmp_path)
    assert find_hierarchy(tmp_path).is_whole is (tmp_path.stat().st_ino == 1)


@pytest.mark.parametrize("name", ["v1-cpu", "v2"])
def test_path_of_a_task(tmp_path: Path, name: str) -> None:
    kernel = FakeKernel(tmp_path, "v2" if name == "v2" else "v1-cpu")
    kernel.make_task(7, "/web:8/a")
    assert path_of_task(kernel.proc / "7", find_hierarchy(tmp_path)) == "/web:8/a"


@pytest.mark.parametrize(
    ("mounted_root", "written", "path"),
    [
        ("/", "/", "/"),
        ("/", "/../elsewhere", None),
        ("/pod/a", "/pod/a", "/"),
        ("/pod/a", "/pod/a/b", "/b"),
        ("/pod/a", "/pod/ab", None),
        ("/pod/a", "/", None),
    ],
)
def test_paths_are_below_what_is_mounted(
    tmp_path: Path, mounted_root: str, written: str, path: str | None
) -> None:
    kernel = FakeKernel(tmp_path, "v2", mounted_root)
    kernel.make_task(7, written)
    assert path_of_task(kernel.proc / "7", find_hierarchy(tmp_path)) == path


def test_a_task_without_a_line_of_the_hierarchy_has_no_path(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, "v1-cpu")
    kernel.make_task(7, "/web")
    (kernel.proc / "7" / "cgroup").write_text("0::/web\n")
    assert path_of_task(kernel.proc / "7", find_hierarchy(tmp_path)) is None


def test_this_host_has_a_hierarchy_and_we_stand_in_it() -> None:
    hierarchy = find_hierarchy()
    path = path_of_task(Path("/proc/self"), hierarchy)
    assert path is not None
    assert hierarchy.directory(path).is_dir()


def test_a_mount_that_another_one_covers_is_none(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, "v2")
    kernel.mountinfo.write_text(
        "33 31 0:30 / /covered/cpu rw - cgroup cgroup rw,cpu\n" + kernel.mountinfo.read_text()
    )
    assert find_hierarchy(tmp_path).name == "v2"
