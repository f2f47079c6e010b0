# SPDX-License-Identifier: MIT
"""In which group does the cpu controller see a process?"""

from __future__ import annotations

from pathlib import Path

from resonance_tuning.host import CgroupMount, Host

__all__ = ["cpu_group", "cpu_group_directory"]


def cpu_group(host: Host, pid: int) -> str:
    """Return the path of the group, ``/`` for the root.

    In v2 a process may be in a group for which the controller is not switched on; then the
    nearest one above it counts.

    Raises
    ------
    OSError
        There is no such process.
    """
    mount = host.controller("cpu")
    if not mount:
        return "/"
    lines = host.read(host.path(f"/proc/{pid}/cgroup")).splitlines()
    paths = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    if mount.version == 2:
        return _nearest(host, mount, paths.get("", "/"))
    return next((path for names, path in paths.items() if "cpu" in names.split(",")), "/")


def cpu_group_directory(host: Host, pid: int) -> Path | None:
    """Return its directory; nothing where no cpu controller is mounted."""
    mount = host.controller("cpu")
    return mount.directory / cpu_group(host, pid).lstrip("/") if mount else None


def _nearest(host: Host, mount: CgroupMount, path: str) -> str:
    seen = ""
    for name in filter(None, path.split("/")):
        switched = host.read(mount.directory / seen.lstrip("/") / "cgroup.subtree_control")
        if "cpu" not in switched.split():
            break
        seen = f"{seen}/{name}"
    return seen or "/"
