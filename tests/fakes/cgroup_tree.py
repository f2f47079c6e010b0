# SPDX-License-Identifier: MIT
"""A host's cgroups, CPUs and processes as plain files, in each of the three layouts there are.

The `Host` on it answers writes as the kernel does (`cgroup_kernel`): plain files alone clamp
nothing, couple nothing and refuse nothing.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Literal

from fakes.cgroup_kernel import DEFAULTS_V1, DEFAULTS_V2, RULES, Group
from resonance_tuning.host import Host, format_cpus
from resonance_tuning.records import Target

Layout = Literal["v1", "v2", "hybrid"]

_V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
)
_MOUNTS: dict[Layout, str] = {
    "v1": _V1_MOUNTS,
    "v2": "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    "hybrid": _V1_MOUNTS
    + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n",
}
# Where each hierarchy is, by the controller whose defaults its groups get; "" is v2.
_HIERARCHIES: dict[Layout, dict[str, str]] = {
    "v1": {"cpu": "cpu,cpuacct", "cpuset": "cpuset", "systemd": "systemd"},
    "v2": {"": "."},
    "hybrid": {"cpu": "cpu,cpuacct", "cpuset": "cpuset", "systemd": "systemd", "": "unified"},
}
_CONTROLLERS: dict[Layout, str] = {"v1": "", "v2": "cpuset cpu io memory pids", "hybrid": "hugetlb"}


class FakeHost(Host):
    """A `Host` whose writes are answered by the rules of a kernel.

    Attributes
    ----------
    writes : list of (str, str)
        Each write that was tried: path below the root, text.
    failures : dict of str to int
        Errno with which writes fail, by path below the root or by file name.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writes: list[tuple[str, str]] = []
        self.failures: dict[str, int] = {}

    def write(self, path: Path, text: str) -> None:
        """Write as the kernel would: refuse, clamp, change what is coupled."""
        name = f"/{path.relative_to(self.root)}"
        self.writes.append((name, text))
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        number = self.failures.get(name) or self.failures.get(path.name)
        if number:
            raise OSError(number, os.strerror(number), str(path))
        rule = RULES.get(path.name)
        if rule:
            rule(Group(self, path.parent), text)
        else:
            path.write_text(f"{text}\n", encoding="utf-8", errors="surrogateescape")


class CgroupTree:
    """Files under `root` that a test changes as an administrator or a kernel would.

    Parameters
    ----------
    root : Path
    layout : {"v2", "v1", "hybrid"}
        Hybrid is version 1 for cpu and cpuset, beside a version 2 without them.
    cpus : int
        How many are online.
    threads_per_core : int
        Siblings are neighbours: 0 and 1, 2 and 3.
    """

    def __init__(
        self, root: Path, layout: Layout = "v2", *, cpus: int = 4, threads_per_core: int = 1
    ) -> None:
        self.root = root
        self.layout = layout
        self.host = FakeHost(root)
        self.threads_per_core = threads_per_core
        self.put("/proc/self/mountinfo", _MOUNTS[layout])
        self.put("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
        self.host.path("/proc/irq").mkdir()
        self.put("/proc/sys/kernel/osrelease", "6.18.0\n")
        self.put("/sys/devices/system/cpu/possible", f"0-{cpus - 1}\n")
        self.set_online(range(cpus))
        self.make_group("/")
        self.make_process(1, "/", "systemd")

    @property
    def version(self) -> int:
        """The version of the hierarchy that holds cpu and cpuset."""
        return 2 if self.layout == "v2" else 1

    def put(self, name: str, text: str) -> Path:
        """Write a file behind everybody's back; return where it is."""
        path = self.host.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def set_online(self, cpus: range | set[int]) -> None:
        """Say which CPUs are online; those that are not have no topology."""
        online = frozenset(cpus)
        self.put("/sys/devices/system/cpu/online", f"{format_cpus(online)}\n")
        for cpu in range(max(online) + 1):
            directory = self.host.path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
            shutil.rmtree(directory, ignore_errors=True)
            if cpu in online:
                first = cpu - cpu % self.threads_per_core
                core = online & set(range(first, first + self.threads_per_core))
                for name in ("thread_siblings_list", "core_cpus_list"):
                    self.put(f"{_relative(directory, self.root)}/{name}", f"{format_cpus(core)}\n")
                self.put(f"{_relative(directory, self.root)}/physical_package_id", "0\n")

    def hierarchy(self, controller: str) -> Path:
        """Return where the hierarchy of a controller is mounted; "" is the unified one."""
        points = _HIERARCHIES[self.layout]
        return self.host.path("/sys/fs/cgroup") / points[controller if controller in points else ""]

    def make_group(self, path: str) -> Target:
        """Make a cgroup, and those above it, in every hierarchy, as the kernel makes one."""
        for controller, point in _HIERARCHIES[self.layout].items():
            top = self.host.path("/sys/fs/cgroup") / point
            names = [part for part in path.split("/") if part]
            for depth in range(len(names) + 1):
                self._fill(top.joinpath(*names[:depth]), controller, is_root=not depth)
        return Target("cgroup", path)

    def remove_group(self, path: str) -> None:
        """Remove a cgroup from every hierarchy."""
        for point in _HIERARCHIES[self.layout].values():
            shutil.rmtree(self.host.path("/sys/fs/cgroup") / point / path.lstrip("/"))

    def file(self, path: str, name: str) -> Path:
        """Return a file of a cgroup, wherever its controller is: ``cpu.shares`` of ``/web``."""
        return self.hierarchy(name.partition(".")[0]) / path.lstrip("/") / name

    def get(self, path: str, name: str) -> str:
        """Return what a file of a cgroup holds."""
        return self.host.read(self.file(path, name))

    def set(self, path: str, name: str, text: str) -> None:
        """Write a file of a cgroup as an administrator would; the kernel's rules hold."""
        self.host.write(self.file(path, name), text)
        self.host.writes.pop()

    def make_process(self, pid: int, path: str, comm: str, *arguments: str) -> Target:
        """Make a process of one thread, in a cgroup of every hierarchy."""
        if pid != 1:
            self.make_group(path)
        names = [*_HIERARCHIES[self.layout]]
        lines = [f"{number + 1}:{name}:{path}\n" for number, name in enumerate(names) if name]
        cgroup = "".join(lines) + (f"0::{path}\n" if "" in names else "")
        command = "\0".join(arguments or (f"/usr/bin/{comm}",)) + "\0"
        for folder in (f"/proc/{pid}", f"/proc/{pid}/task/{pid}"):
            self.put(f"{folder}/comm", f"{comm}\n")
            self.put(f"{folder}/cgroup", cgroup)
            self.put(f"{folder}/stat", f"{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194560 {'0 ' * 43}\n")
            self.put(f"{folder}/status", f"Name:\t{comm}\nPid:\t{pid}\nPPid:\t1\n")
        self.put(f"/proc/{pid}/cmdline", command)
        for point in _HIERARCHIES[self.layout].values():
            directory = self.host.path("/sys/fs/cgroup") / point / path.lstrip("/")
            for name in ("cgroup.procs", "tasks", "cgroup.threads"):
                if (directory / name).exists():
                    with (directory / name).open("a", encoding="utf-8") as file:
                        file.write(f"{pid}\n")
        return Target("process", str(pid))

    def _fill(self, directory: Path, controller: str, *, is_root: bool) -> None:
        if (directory / "cgroup.procs").exists():
            return
        directory.mkdir(parents=True, exist_ok=True)
        names = DEFAULTS_V1.get(controller, {}) if controller else DEFAULTS_V2
        online = self.host.read(self.host.path("/sys/devices/system/cpu/online"))
        offered = _CONTROLLERS[self.layout]
        for name, text in {"cgroup.procs": "", **names}.items():
            kind = name.partition(".")[0]
            if not controller and kind != "cgroup" and kind not in offered.split():
                continue
            if is_root and not controller and name in _ABSENT_AT_V2_ROOT:
                continue
            (directory / name).write_text(text)
        if not controller:
            (directory / "cgroup.controllers").write_text(f"{offered}\n")
        for name in ("cpuset.cpus", "cpuset.effective_cpus", "cpuset.cpus.effective"):
            path = directory / name
            if path.exists() and (is_root or name == "cpuset.cpus.effective"):
                path.write_text(f"{online}\n")
        if is_root and (directory / "cpuset.mems").exists():
            (directory / "cpuset.mems").write_text("0\n")
            (directory / "cpuset.cpu_exclusive").write_text("1\n")


_ABSENT_AT_V2_ROOT = frozenset(
    {"cpu.weight", "cpu.idle", "cpu.max", "cpuset.cpus", "cpuset.mems", "cpuset.cpus.partition"}
)


def _relative(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}"
