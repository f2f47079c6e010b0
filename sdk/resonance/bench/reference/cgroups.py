# SPDX-License-Identifier: MIT
"""Cgroups of our own, made in every hierarchy that schedules, and removed again."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance.bench.errors import ExperimentError

__all__ = ["Group", "Tree", "tree"]

_CONTROLLERS: Final = ("cpu", "cpuset")
_PATIENCE_SECONDS: Final = 3.0
_CPUSET: Final = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True, slots=True)
class Group:
    """A cgroup.

    Attributes
    ----------
    path : str
        Below the root of each hierarchy, as the daemon names it.
    directories : tuple of Path
        One of each hierarchy; whoever moves into all of them is in it.
    """

    path: str
    directories: tuple[Path, ...]

    @property
    def number(self) -> int:
        """How the daemon knows it: the inode in the hierarchy that attributes CPU work."""
        return self.directories[0].stat().st_ino

    def write(self, name: str, text: str) -> bool:
        """Write a file of it where there is one.

        Parameters
        ----------
        name : str
            Such as ``cpu.rt_runtime_us``.
        text : str

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        OSError
            The kernel refuses.
        """
        files = [each / name for each in self.directories if (each / name).exists()]
        for file in files:
            file.write_text(text)
        return bool(files)


class Tree:
    """A cgroup of this process's, and those below it.

    Parameters
    ----------
    roots : sequence of Path
        Where the hierarchies are mounted, that of the cpu controller first.
    """

    def __init__(self, roots: list[Path]) -> None:
        self._roots = roots
        self._made: list[Path] = []
        self.name = f"resonance-bench-{os.getpid()}"

    def make(self, path: str = "") -> Group:
        """Make a cgroup, whose parent there is.

        Parameters
        ----------
        path : str
            Below that of this process, without a slash in front; empty for that one itself.

        Returns
        -------
        Group

        Raises
        ------
        ExperimentError
            It cannot be made.
        """
        whole = f"{self.name}/{path}" if path else self.name
        directories = tuple(root / whole for root in self._roots)
        for directory in directories:
            try:
                directory.mkdir()
                self._made.append(directory)
                _inherit_cpuset(directory)
            except OSError as error:
                raise ExperimentError(
                    "making cgroups", f"{directory}: {error.strerror}; it takes root"
                ) from error
        return Group(f"/{whole}", directories)

    def remove(self) -> None:
        """Remove all that was made; what ran in them has ended."""
        while self._made:
            _remove(self._made.pop())


@contextmanager
def tree(root: Path = Path("/")) -> Generator[Tree]:
    """Find the hierarchies; at the end remove what was made in them.

    Parameters
    ----------
    root : Path
        The directory that holds ``proc`` and the mount points; another one in tests.

    Yields
    ------
    Tree

    Raises
    ------
    ExperimentError
        No cgroups are mounted.
    """
    made = Tree(_roots(root))
    try:
        yield made
    finally:
        made.remove()


def _roots(root: Path) -> list[Path]:
    found: dict[str, Path] = {}
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        point = root / before.split()[4].lstrip("/")
        if kind == "cgroup2":
            found.setdefault("unified", point)
        elif kind == "cgroup":
            for name in set(_CONTROLLERS).intersection(options.split(",")):
                found.setdefault(name, point)
    if "cpu" not in found and "unified" not in found:
        raise ExperimentError(
            "making cgroups", "none are mounted: mount -t cgroup2 none /sys/fs/cgroup"
        )
    first = found.get("cpu", found.get("unified"))
    assert first is not None
    others = [found[name] for name in ("cpuset", "unified") if name in found]
    return list(dict.fromkeys([first, *others]))


def _inherit_cpuset(directory: Path) -> None:
    """Fill a new v1 cpuset, which takes no task while it is empty."""
    if (directory / "cgroup.clone_children").exists():
        for name in _CPUSET:
            if (directory / name).exists():
                (directory / name).write_text((directory.parent / name).read_text())


def _remove(directory: Path) -> None:
    """Remove a cgroup; one whose last task has just ended may be busy for a moment."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            directory.rmdir()
            return
        time.sleep(0.02)
    directory.rmdir()
