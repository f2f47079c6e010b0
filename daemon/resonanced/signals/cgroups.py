# SPDX-License-Identifier: MIT
"""Which cgroups exist, and which path belongs to which id?

A cgroup's id is the inode of its directory, and kernfs tells it with the directory entry:
a walk needs no ``stat``. How often to walk is the caller's choice; between walks
`CgroupDirectory.forget_removed` costs one ``stat`` per cgroup that has a slot.

Not done here: following renames (a renamed v1 cgroup is seen at the next walk), and
anything with the processes inside.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

__all__ = ["CgroupDirectory"]

MAX_CGROUPS: Final = 16_384
"""*Chosen*: far above the largest nodes known to us; bounds memory to a few megabytes."""
MAX_DEPTH: Final = 32


class CgroupDirectory:
    """Paths of the cgroups below one mount, by id.

    Parameters
    ----------
    mount : Path
        Directory of the hierarchy's root cgroup.
    max_cgroups, max_depth : int
        Bounds of a walk; it goes level by level, so that the deepest are left out first.

    Attributes
    ----------
    paths : Mapping of int to str
        Path below the root, ``/`` for the root itself, as of the last walk.
    skipped : int
        Directories the last walk left out: too many, too deep, or unreadable.
    """

    def __init__(
        self, mount: Path, *, max_cgroups: int = MAX_CGROUPS, max_depth: int = MAX_DEPTH
    ) -> None:
        self._mount = str(mount)
        self._max_cgroups = max_cgroups
        self._max_depth = max_depth
        self.paths: Mapping[int, str] = {}
        self.skipped = 0

    def walk(self, keep: Collection[int] = ()) -> None:
        """Read the whole tree anew.

        Parameters
        ----------
        keep : collection of int
            Ids that stay known while they exist, even beyond the bounds.
        """
        kept = {cgroup_id: self.paths[cgroup_id] for cgroup_id in keep if cgroup_id in self.paths}
        found: dict[int, str] = {}
        self.skipped = 0
        queue = deque([("/", os.stat(self._mount).st_ino, 0)])
        while queue:
            path, cgroup_id, depth = queue.popleft()
            found[cgroup_id] = path
            for name, inode in self._children(path):
                if depth == self._max_depth or len(found) + len(queue) >= self._max_cgroups:
                    self.skipped += 1
                else:
                    queue.append((f"{path.rstrip('/')}/{name}", inode, depth + 1))
        for cgroup_id, path in kept.items():
            if cgroup_id not in found and self._inode(path) == cgroup_id:
                found[cgroup_id] = path
        self.paths = MappingProxyType(found)

    def forget_removed(self, assigned: Collection[int]) -> frozenset[int]:
        """Forget those of `assigned` whose directory is gone, and return them."""
        removed = frozenset(
            cgroup_id
            for cgroup_id in assigned
            if cgroup_id not in self.paths or self._inode(self.paths[cgroup_id]) != cgroup_id
        )
        if removed:
            rest = {key: path for key, path in self.paths.items() if key not in removed}
            self.paths = MappingProxyType(rest)
        return removed

    def _children(self, path: str) -> list[tuple[str, int]]:
        try:
            with os.scandir(self._mount + path) as entries:
                return [
                    (entry.name, entry.inode())
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                ]
        except FileNotFoundError:  # removed since its parent was read
            return []
        except OSError:
            self.skipped += 1
            return []

    def _inode(self, path: str) -> int:
        """Return the inode at a path; 0, which no cgroup has, where there is none."""
        try:
            return os.stat(self._mount + path).st_ino
        except OSError:
            return 0
