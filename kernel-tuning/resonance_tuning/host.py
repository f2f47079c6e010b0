# SPDX-License-Identifier: MIT
"""Where the kernel's files are on this host, and the one way to read and write them.

A root other than ``/`` makes a fake tree stand in for the kernel in tests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

__all__ = ["CgroupMount", "Host", "format_cpus", "parse_cpus"]

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CgroupMount:
    """One mounted cgroup hierarchy.

    Attributes
    ----------
    directory : Path
        Where it is mounted.
    version : int
        1 or 2.
    controllers : frozenset of str
        What it controls; of version 2 those its root offers.
    """

    directory: Path
    version: int
    controllers: frozenset[str]


class Host:
    """The kernel's files below a root directory.

    Parameters
    ----------
    root : Path
        ``/``, or a tree that stands in for it in tests; its mounts are read from
        ``proc/self/mountinfo`` in it.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Return where the file with this absolute name is."""
        return self.root / name.lstrip("/")

    def read(self, path: Path) -> str:
        """Return a kernel file's text without its last newline.

        Raises
        ------
        OSError
            ``ENOENT`` or ``ENODEV`` when what it belongs to is gone.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = list(iter(lambda: os.read(descriptor, _MAX_BYTES), b""))
        finally:
            os.close(descriptor)
        return b"".join(parts).decode(errors="surrogateescape").removesuffix("\n")

    def write(self, path: Path, text: str) -> None:
        r"""Write a kernel file: open, one write of the text and a newline, close.

        An empty text is a lone newline, which clears a cpulist; a write of no bytes would be
        taken and do nothing.

        Raises
        ------
        OSError
            The kernel's answer.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{text}\n".encode(errors="surrogateescape"))
        finally:
            os.close(descriptor)

    @property
    def boot_id(self) -> str:
        """A name of this boot; what was written in another is gone."""
        return self.read(self.path("/proc/sys/kernel/random/boot_id"))

    @cached_property
    def cgroup_mounts(self) -> tuple[CgroupMount, ...]:
        """The cgroup hierarchies mounted when first asked."""
        text = self.read(self.path("/proc/self/mountinfo"))
        return tuple(self._mounts(text))

    def _mounts(self, mountinfo: str) -> Iterator[CgroupMount]:
        for line in mountinfo.splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind not in {"cgroup", "cgroup2"}:
                continue
            point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4])
            directory = self.path(point)
            if kind == "cgroup2":
                try:
                    controllers = frozenset(self.read(directory / "cgroup.controllers").split())
                except FileNotFoundError:
                    continue  # covered by another mount
                yield CgroupMount(directory, 2, controllers)
            elif directory.is_dir():
                yield CgroupMount(directory, 1, frozenset(options.split(",")))

    def controller(self, name: str) -> CgroupMount | None:
        """Return the hierarchy that holds a controller; version 1 holds it alone if it does."""
        found = [mount for mount in self.cgroup_mounts if name in mount.controllers]
        return min(found, key=lambda mount: mount.version, default=None)

    @property
    def unified(self) -> CgroupMount | None:
        """The cgroup v2 hierarchy."""
        found = [mount for mount in self.cgroup_mounts if mount.version == 2]
        return found[0] if found else None

    def online_cpus(self) -> frozenset[int]:
        """Return the CPUs that are online now."""
        return parse_cpus(self.read(self.path("/sys/devices/system/cpu/online")))


def parse_cpus(text: str) -> frozenset[int]:
    """Parse a cpulist, as cpuset(7) describes it.

    >>> sorted(parse_cpus("0-2,5"))
    [0, 1, 2, 5]

    Raises
    ------
    ValueError
        It is no cpulist.
    """
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        span = range(int(first), int(last or first) + 1)
        if not span:
            raise ValueError(f"not a list of CPUs: {text!r}")
        cpus.update(span)
    return frozenset(cpus)


def format_cpus(cpus: frozenset[int]) -> str:
    """Write a cpulist as the kernel does.

    >>> format_cpus(frozenset({0, 1, 2, 5}))
    '0-2,5'
    """
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and cpu == spans[-1][1] + 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    return ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in spans)
