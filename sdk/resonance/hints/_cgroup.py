# SPDX-License-Identifier: MIT
"""Which cgroup is this process in, and what is the number of a cgroup?

A cgroup's number is the inode of its directory: the same in every mount and every cgroup
namespace, so a process in a container and the daemon outside mean the same cgroup by it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["cgroup_id"]

_PROC: Final = Path("/proc/self")


def cgroup_id(hierarchy: str, cgroup: str | None, proc: Path = _PROC) -> int | None:
    """Return the number of a cgroup, or ``None`` when this process cannot see it.

    Parameters
    ----------
    hierarchy : str
        What the daemon measures: ``v2``, or ``v1-cpu`` for the cpu controller of version 1.
    cgroup : str or None
        Path below the root of the hierarchy as this process sees it; ``None`` for the
        cgroup of this process.
    proc : pathlib.Path
        Where the kernel describes this process.
    """
    try:
        path = _own_path(hierarchy, proc) if cgroup is None else cgroup
        mount = _mount(hierarchy, proc)
        if path is None or mount is None:
            return None
        point, root = mount
        below = path.removeprefix(root) if root != "/" and cgroup is None else path
        return os.stat(point + "/" + below.strip("/")).st_ino
    except OSError:
        return None


def _own_path(hierarchy: str, proc: Path) -> str | None:
    """Read ``/proc/self/cgroup``: lines of number:controllers:path (cgroups(7))."""
    for line in (proc / "cgroup").read_text(errors="surrogateescape").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" if hierarchy == "v2" else "cpu" in controllers.split(","):
            return path
    return None


def _mount(hierarchy: str, proc: Path) -> tuple[str, str] | None:
    """Return mount point and root of the hierarchy from ``mountinfo`` (proc(5))."""
    for line in (proc / "mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ")[:3]
        is_v2 = kind == "cgroup2"
        is_v1_cpu = kind == "cgroup" and "cpu" in options.split(",")
        if is_v2 if hierarchy == "v2" else is_v1_cpu:
            root, point = before.split(" ")[3:5]
            return point, root
    return None
