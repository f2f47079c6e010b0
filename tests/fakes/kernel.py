# SPDX-License-Identifier: MIT
"""A /proc and a cgroup tree made of plain files, for readers that take their root as argument."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

_MOUNTS = {
    "v1-cpu": (
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
    ),
    "v2": "31 23 0:28 {root} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
}
_POINTS = {"v1-cpu": "sys/fs/cgroup/cpu,cpuacct", "v2": "sys/fs/cgroup"}


class FakeKernel:
    """Files under `root` that a test changes as a kernel would."""

    def __init__(
        self, root: Path, hierarchy: Literal["v1-cpu", "v2"] = "v2", mounted_root: str = "/"
    ) -> None:
        self.root = root
        self.proc = root / "proc"
        self.hierarchy = hierarchy
        self.mount = root / _POINTS[hierarchy]
        self.mount.mkdir(parents=True)
        for directory in ("1", "self/ns", "self/net"):
            (self.proc / directory).mkdir(parents=True)
        (self.proc / "self/ns/net").touch()
        (self.proc / "self/schedstat").write_text("1 1 1\n")
        self.listen_here()
        self.mountinfo = self.proc / "self" / "mountinfo"
        self.mountinfo.write_text(_MOUNTS[hierarchy].format(root=mounted_root))

    def make_cgroup(self, path: str) -> int:
        """Make a cgroup and those above it; return its id."""
        directory = self.mount / path.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        return directory.stat().st_ino

    def remove_cgroup(self, path: str) -> None:
        (self.mount / path.lstrip("/")).rmdir()

    def make_task(self, pid: int, cgroup: str, tid: int = 0, state: str = "S") -> None:
        for directory in (self.proc / str(pid), self._task(pid, tid)):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cgroup").write_text(self._cgroup_lines(cgroup))
            (directory / "stat").write_text(f"{pid} (a ) b) {state} 1 1 1\n")
        self.run_task(pid, run_delay_ns=0, timeslices=0, tid=tid)

    def run_task(self, pid: int, *, run_delay_ns: int, timeslices: int, tid: int = 0) -> None:
        """Say how long a task has waited in all, and how often it ran."""
        (self._task(pid, tid) / "schedstat").write_text(f"123456 {run_delay_ns} {timeslices}\n")

    def end_task(self, pid: int, tid: int = 0) -> None:
        """End a thread, or the whole process."""
        shutil.rmtree(self._task(pid, tid) if tid else self.proc / str(pid))

    @property
    def network_namespace(self) -> int:
        return (self.proc / "self/ns/net").stat().st_ino

    def listen_here(self, *ports: int) -> None:
        """Say which ports are listened on in our network namespace, beside a connection."""
        lines = ["  sl  local_address rem_address   st tx_queue rx_queue\n"]
        lines += [f"   0: 0100007F:{port:04X} 00000000:0000 0A 0:0 00:0\n" for port in ports]
        lines += ["   1: 0100007F:1F99 0100007F:0050 01 0:0 00:0\n"]
        (self.proc / "self/net/tcp").write_text("".join(lines))

    def write_pressure(self, file: Path, some_percent: float) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"some avg10={some_percent:.2f} avg60=0.00 avg300=0.00 total=123\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        )

    def _task(self, pid: int, tid: int) -> Path:
        return self.proc / str(pid) / "task" / str(tid or pid)

    def _cgroup_lines(self, cgroup: str) -> str:
        if self.hierarchy == "v2":
            return f"0::{cgroup}\n"
        return f"9:name=systemd:/else\n4:cpuset:/\n3:cpu,cpuacct:{cgroup}\n0::/\n"
