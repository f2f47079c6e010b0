# SPDX-License-Identifier: MIT
"""Which cgroup hierarchy says whose CPU work it is, and where a process stands in it?

On a hybrid host the v1 ``cpu`` controller groups what the scheduler runs, and the v2 tree
often holds everybody in its root; so v1 ``cpu`` wins where it is mounted.

A cgroup's id is the inode of its directory (kernfs: one number for both since Linux 5.5).
In a cgroup namespace, or where a container bound only its part of the tree, the mount's
root is not the hierarchy's: `CgroupHierarchy.is_whole` is then false, `root_cgroup_id` is the
id of the group we do see the top of, and the work of everybody outside has ids that we
never meet in a walk, so it stays in slot 0, ``other``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resonance_bpf.errors import ProbeUnsupportedError

if TYPE_CHECKING:
    from resonance_bpf.report import Hierarchy

__all__ = ["KERNEL_ROOT_INODE", "CgroupHierarchy", "find_hierarchy", "path_of_task"]

KERNEL_ROOT_INODE: Final = 1
"""The id of every hierarchy's real root (``kernfs_create_root``, fs/kernfs/dir.c)."""
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class CgroupHierarchy:
    """The hierarchy that attributes CPU work, as far as this process sees it.

    Attributes
    ----------
    name : {"v1-cpu", "v2"}
        The v1 hierarchy of the ``cpu`` controller, or the unified one.
    mount : Path
        Where it is mounted; the directory of the cgroup ``/``.
    root_cgroup_id : int
        Inode of `mount`.
    is_whole : bool
        Whether `mount` is the real root, and not that of a namespace or container.
    prefix : str
        What ``/proc/<pid>/cgroup`` writes before paths below `mount`; empty as a rule.
    """

    name: Hierarchy
    mount: Path
    root_cgroup_id: int
    is_whole: bool = True
    prefix: str = ""

    def directory(self, path: str) -> Path:
        """Return the directory of the cgroup with this path below the root."""
        return self.mount / path.lstrip("/")


@dataclass(frozen=True, slots=True)
class _Mount:
    kind: str
    root: str
    point: str
    options: frozenset[str]


def find_hierarchy(root: Path = Path("/")) -> CgroupHierarchy:
    """Return the mounted hierarchy that attributes CPU work.

    Parameters
    ----------
    root : Path
        The directory that holds ``proc`` and the mount points; another one in tests.

    Raises
    ------
    ProbeUnsupportedError
        When neither the v1 ``cpu`` controller nor cgroup v2 is mounted.
    """
    found = _cgroup_mounts((root / "proc/self/mountinfo").read_text(errors="surrogateescape"))
    # What another mount covers is listed too.
    mounts = [mount for mount in found if (root / mount.point.lstrip("/")).is_dir()]
    v1_cpu = [mount for mount in mounts if mount.kind == "cgroup" and "cpu" in mount.options]
    v2 = [mount for mount in mounts if mount.kind == "cgroup2"]
    if not (v1_cpu or v2):
        raise ProbeUnsupportedError(
            "cgroup",
            "neither the v1 cpu controller nor cgroup v2 is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )
    mount = min(v1_cpu or v2, key=lambda mount: len(mount.root))
    directory = root / mount.point.lstrip("/")
    cgroup_id = directory.stat().st_ino
    return CgroupHierarchy(
        name="v1-cpu" if v1_cpu else "v2",
        mount=directory,
        root_cgroup_id=cgroup_id,
        is_whole=cgroup_id == KERNEL_ROOT_INODE,
        prefix=mount.root.rstrip("/"),
    )


def path_of_task(task: Path, hierarchy: CgroupHierarchy) -> str | None:
    """Return a task's cgroup path below the hierarchy's root.

    Parameters
    ----------
    task : Path
        ``/proc/<pid>`` or ``/proc/<pid>/task/<tid>``.

    Returns
    -------
    str or None
        ``/`` for the root; ``None`` where the task stands outside of what is mounted here.

    Raises
    ------
    OSError
        When the task is gone or hidden from us.
    """
    text = (task / "cgroup").read_text(errors="surrogateescape")
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        is_v2 = number == "0" and not controllers
        if is_v2 if hierarchy.name == "v2" else "cpu" in controllers.split(","):
            return _below(path, hierarchy.prefix)
    return None


def _below(path: str, prefix: str) -> str | None:
    inside = path.removeprefix(prefix) if path.startswith(prefix) else None
    if inside is None or not (inside or "/").startswith("/") or inside.startswith("/.."):
        return None
    return inside or "/"


def _cgroup_mounts(mountinfo: str) -> Iterator[_Mount]:
    """Yield the cgroup mounts; the fields are those of proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, super_options = after.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            _, _, _, root, point, *_ = before.split(" ")
            yield _Mount(kind, _plain(root), _plain(point), frozenset(super_options.split(",")))


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
