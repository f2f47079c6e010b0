# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from resonanced.signals.cgroups import CgroupDirectory


def _make(root: Path, *paths: str) -> dict[str, int]:
    for path in paths:
        (root / path).mkdir(parents=True)
    return {path: (root / path).stat().st_ino for path in paths}


def test_ids_are_inodes_and_paths_start_at_the_root(tmp_path: Path) -> None:
    ids = _make(tmp_path, "system.slice", "system.slice/a.service")
    (tmp_path / "cgroup.procs").touch()
    directory = CgroupDirectory(tmp_path)
    directory.walk()
    assert directory.paths == {
        tmp_path.stat().st_ino: "/",
        ids["system.slice"]: "/system.slice",
        ids["system.slice/a.service"]: "/system.slice/a.service",
    }
    assert directory.skipped == 0


def test_depth_is_bounded_and_counted(tmp_path: Path) -> None:
    _make(tmp_path, "a", "a/b", "a/b/c")
    directory = CgroupDirectory(tmp_path, max_depth=2)
    directory.walk()
    assert set(directory.paths.values()) == {"/", "/a", "/a/b"}
    assert directory.skipped == 1


def test_a_thousand_cgroups_are_cut_at_the_bound(tmp_path: Path) -> None:
    _make(tmp_path, *(f"job-{number}" for number in range(1_000)))
    directory = CgroupDirectory(tmp_path, max_cgroups=100)
    directory.walk()
    assert len(directory.paths) == 100
    assert directory.skipped == 901


def test_kept_ids_stay_beyond_the_bound_while_they_exist(tmp_path: Path) -> None:
    ids = _make(tmp_path, "a/deep", "a/gone")
    directory = CgroupDirectory(tmp_path, max_depth=2)
    directory.walk()
    directory._max_depth = 1
    (tmp_path / "a/gone").rmdir()
    directory.walk(keep=ids.values())
    assert directory.paths[ids["a/deep"]] == "/a/deep"
    assert "/a/gone" not in directory.paths.values()


def test_removed_cgroups_are_noticed_without_a_walk(tmp_path: Path) -> None:
    ids = _make(tmp_path, "a", "b", "c")
    directory = CgroupDirectory(tmp_path)
    directory.walk()
    (tmp_path / "b").rmdir()
    (tmp_path / "c").rmdir()
    assert directory.forget_removed([ids["a"], ids["b"]]) == {ids["b"]}
    assert ids["b"] not in directory.paths
    assert ids["c"] in directory.paths


def test_a_path_made_anew_is_another_cgroup(tmp_path: Path) -> None:
    old = _make(tmp_path, "a")["a"]
    directory = CgroupDirectory(tmp_path)
    directory.walk()
    (tmp_path / "new").mkdir()
    (tmp_path / "a").rmdir()
    (tmp_path / "new").rename(tmp_path / "a")
    assert directory.forget_removed([old]) == {old}


def test_a_directory_that_vanishes_during_the_walk_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make(tmp_path, "a/b")
    directory = CgroupDirectory(tmp_path)
    children = directory._children

    def vanish(path: str) -> list[tuple[str, int]]:
        if path == "/a":
            (tmp_path / "a/b").rmdir()
            (tmp_path / "a").rmdir()
        return children(path)

    monkeypatch.setattr(directory, "_children", vanish)
    directory.walk()
    assert set(directory.paths.values()) == {"/", "/a"}
    assert directory.skipped == 0
