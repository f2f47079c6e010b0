# SPDX-License-Identifier: MIT
"""Which processes are there, what are they called, and in which cgroups are they?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from resonance_tuning.host import Host

__all__ = ["Process", "ProcessTable", "are_hidden"]

_KERNEL_THREAD: Final = 0x00200000  # PF_KTHREAD, include/linux/sched.h
_HIERARCHIES: Final = frozenset({"", "cpu", "cpuset", "name=systemd"})


@dataclass(frozen=True, slots=True)
class Process:
    """One process.

    Attributes
    ----------
    pid, parent : int
    name : str
        What the kernel calls it; at most 15 characters.
    command : str
        File name of the command; empty for a kernel thread.
    """

    pid: int
    parent: int
    name: str
    command: str
    is_kernel_thread: bool

    def is_called(self, names: frozenset[str]) -> bool:
        """Tell whether one of these names is its own or its command's."""
        return self.name in names or self.command in names


def are_hidden(host: Host) -> bool:
    """Tell whether others' processes are shown to those only who may trace them.

    ``hidepid=`` of proc(5): it spares a group, root's unless ``gid=`` names another, and at its
    strictest spares nobody.
    """
    hides, spared = "off", 0
    for line in host.read(host.path("/proc/self/mountinfo")).splitlines():
        place, _, what = line.partition(" - ")
        kind, _, text = what.split(" ", 2)
        if kind == "proc" and place.split(" ")[4] == "/proc":
            pairs = (option.partition("=") for option in text.split(","))
            options = {key: value for key, _, value in pairs}
            hides, spared = options.get("hidepid", "off"), int(options.get("gid", "0"))
    if hides in {"off", "0"}:
        return False
    return hides in {"ptraceable", "4"} or spared not in {os.getegid(), *os.getgroups()}


class ProcessTable:
    """The processes of a host, as they were when first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @cached_property
    def all(self) -> dict[int, Process]:
        """Every process by its pid."""
        proc = self._host.path("/proc")
        pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())
        found = [self._process(pid) for pid in pids]
        return {process.pid: process for process in found if process}

    def called(self, *names: str) -> list[Process]:
        """Return the processes with one of these names."""
        wanted = frozenset(names)
        return [process for process in self.all.values() if process.is_called(wanted)]

    def ancestors(self, pid: int) -> set[int]:
        """Return the pids from this process up to the first."""
        found: set[int] = set()
        while pid in self.all and pid not in found:
            found.add(pid)
            pid = self.all[pid].parent
        return found

    def cgroups(self, pid: int) -> frozenset[str]:
        """Return the cgroups of a process in the hierarchies that matter; none if it is gone."""
        try:
            text = self._host.read(self._host.path(f"/proc/{pid}/cgroup"))
        except OSError:
            return frozenset()
        lines = [line.split(":", 2) for line in text.splitlines()]
        return frozenset(path for _, names, path in lines if {*names.split(",")} & _HIERARCHIES)

    def _process(self, pid: int) -> Process | None:
        try:
            stat = self._host.read(self._host.path(f"/proc/{pid}/stat"))
            command = self._host.read(self._host.path(f"/proc/{pid}/cmdline"))
        except OSError:
            return None  # it has ended meanwhile
        name, _, rest = stat.partition("(")[2].rpartition(")")  # a name may hold both
        fields = rest.split()
        return Process(
            pid,
            parent=int(fields[1]),
            name=name,
            command=PurePosixPath(command.partition("\0")[0]).name,
            is_kernel_thread=bool(int(fields[6]) & _KERNEL_THREAD),
        )
