# SPDX-License-Identifier: MIT
"""Whom does a group of the configuration mean on this host?

It only looks. A unit is found by the directory that systemd gives it; a system unit lies below
slices only, so that the units of a user's own systemd are not taken for it.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from resonance_tuning.host import Host
from resonance_tuning.planning.processes import ProcessTable
from resonance_tuning.records import Target
from resonance_tuning.settings import Group

__all__ = ["Inventory", "Match", "is_within", "outermost"]

_UNITS: Final = (".service", ".slice", ".scope")
_WALKED: Final = frozenset({"cpu", "cpuset", "name=systemd"})


@dataclass(frozen=True, slots=True)
class Match:
    """What a group means here.

    Attributes
    ----------
    cgroups, processes : tuple of Target
    missing : tuple of str
        The names that mean nothing here.
    """

    cgroups: tuple[Target, ...]
    processes: tuple[Target, ...]
    missing: tuple[str, ...]


class Inventory:
    """The cgroups and processes of a host, as they were when first asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.processes = ProcessTable(host)

    @cached_property
    def has_systemd(self) -> bool:
        """Whether systemd runs this host; the test is that of sd_booted(3)."""
        return self.host.path("/run/systemd/system").is_dir()

    @cached_property
    def cgroups(self) -> frozenset[str]:
        """Paths of all cgroups below the roots of the hierarchies that can be tuned."""
        return frozenset(
            path
            for mount in self.host.cgroup_mounts
            if mount.version == 2 or mount.controllers & _WALKED
            for path in _walk(mount.directory)
        )

    def unit(self, cgroup: str) -> str:
        """Return the unit of the running systemd whose cgroup this is, or nothing."""
        *above, name = cgroup.lstrip("/").split("/")
        is_one = name.endswith(_UNITS) and all(slice_.endswith(".slice") for slice_ in above)
        return name if is_one and self.has_systemd else ""

    def match(self, group: Group) -> Match:
        """Return what a group means on this host."""
        cgroups: set[str] = set()
        pids: set[int] = set()
        missing: list[str] = []
        for name in group.units:
            found = {path for path in self.cgroups if self._is_unit(path, name)}
            cgroups |= found
            missing += [] if found else [f"unit {name}"]
        for pattern in group.cgroups:
            found = self._matching(pattern)
            cgroups |= found
            missing += [] if found else [f"cgroup {pattern}"]
        for name in group.processes:
            called = {process.pid for process in self.processes.called(name)}
            pids |= called
            missing += [] if called else [f"process {name}"]
        return Match(
            tuple(Target("cgroup", path) for path in sorted(cgroups)),
            tuple(Target("process", str(pid)) for pid in sorted(pids)),
            tuple(missing),
        )

    def _is_unit(self, path: str, name: str) -> bool:
        if path.rpartition("/")[2] != name:
            return False
        return not self.has_systemd or self.unit(path) == name

    def _matching(self, pattern: str) -> set[str]:
        if pattern == "/":
            return {"/"}  # refused later, with the reason
        pattern = pattern.rstrip("/")
        return {path for path in self.cgroups if fnmatch.fnmatchcase(path, pattern)}


def is_within(path: str, other: str) -> bool:
    """Tell whether a cgroup is another one or lies below it.

    >>> is_within("/a/b", "/a"), is_within("/ab", "/a"), is_within("/a", "/")
    (True, False, True)
    """
    return path == other or path.startswith(other.rstrip("/") + "/")


def outermost(paths: Iterable[str]) -> list[str]:
    """Return the cgroups that lie in no other one of these: what they get, all within get.

    >>> outermost(["/a/b", "/a", "/c/d"])
    ['/a', '/c/d']
    """
    found: list[str] = []
    for path in sorted(paths, key=lambda path: path.split("/")):
        if not found or not is_within(path, found[-1]):
            found.append(path)
    return found


def _walk(mount: Path) -> Iterator[str]:
    queue = [""]
    while queue:
        above = queue.pop()
        try:
            with os.scandir(f"{mount}{above}") as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue  # removed meanwhile
        below = [f"{above}/{name}" for name in names]
        yield from below
        queue += below
