# SPDX-License-Identifier: MIT
"""Real probes, tasks and cgroups, owned by one test each; nothing here asserts anything."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from resonance_bpf import pins, syscalls
from resonance_bpf.catalogue import MAPS
from resonance_bpf.hierarchy import CgroupHierarchy
from resonance_bpf.reader import Maps, open_maps
from resonance_bpf.report import LoadReport, LoadRequest
from resonance_bpf.slot_table import SlotTable
from resonanced.keeper import possible_cpus

AGENT = Path(__file__).with_name("agent.py")
LOADER = """
import sys, types, pathlib, msgspec
from resonance_bpf import loader
from resonance_bpf.report import LoadRequest
objects = sys.argv[1]
if objects:
    from resonance_bpf.backends import core
    core.resources = types.SimpleNamespace(files=lambda _: pathlib.Path(objects))
request = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadRequest)
sys.stdout.buffer.write(msgspec.json.encode(loader.choose("core", request)))
"""


class Task:
    """A process that obeys; see agent.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def order(self, name: str, *arguments: object) -> None:
        """Tell it to begin something."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait until it has done what it was told."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the task ended, status {self._process.wait()}")
        return json.loads(line)

    def has_answered(self) -> bool:
        """Return whether it has done what it was told."""
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def do(self, name: str, *arguments: object) -> Any:
        """Tell it to do something, and wait until it has."""
        self.order(name, *arguments)
        return self.answer()

    def account(self) -> tuple[int, int]:
        """Return (runs, ns waited) of the kernel's own account, once the task sleeps."""
        while True:
            before = Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii")
            time.sleep(0.002)
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
            after = Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii")
            if stat.rpartition(")")[2].split()[0] == "S" and before == after:
                _, waited_ns, runs = after.split()
                return int(runs), int(waited_ns)

    def run_realtime(self, priority: int, cpu: int) -> None:
        """Pin it, and put it before every task of a lower priority."""
        os.sched_setaffinity(self.pid, {cpu})
        os.sched_setscheduler(self.pid, os.SCHED_FIFO, os.sched_param(priority))

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()


def start_task(*descriptors: int) -> Task:
    """Start a process that obeys, and that inherits these descriptors."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(AGENT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=descriptors,
    )
    task = Task(process)
    task.do("ping")
    return task


@dataclass(frozen=True)
class Cgroup:
    """A cgroup, and the slot its events are counted in."""

    directory: Path
    slot: int

    @property
    def id(self) -> int:
        """What the kernel calls it."""
        return self.directory.stat().st_ino

    def add(self, *tasks: Task) -> None:
        """Move tasks here; each then runs once, so that the probes know what it waited before."""
        for task in tasks:
            (self.directory / "cgroup.procs").write_text(str(task.pid), encoding="ascii")
            task.do("ping")

    def allow_realtime(self) -> None:
        """Give its tasks a share of the time that real-time tasks may use, where that is needed."""
        share = self.directory / "cpu.rt_runtime_us"
        if share.exists():
            share.write_text("400000", encoding="ascii")


@dataclass(frozen=True)
class Counted:
    """What one slot has counted."""

    n: int
    sum_ns: int
    buckets: npt.NDArray[np.int64]

    def __sub__(self, before: Counted) -> Counted:
        return Counted(
            n=self.n - before.n,
            sum_ns=self.sum_ns - before.sum_ns,
            buckets=self.buckets - before.buckets,
        )


@dataclass
class Probes:
    """One generation of loaded probes."""

    report: LoadReport
    maps: Maps
    table: SlotTable
    hierarchy: CgroupHierarchy
    used_slots: int = field(default=0)

    def next_slot(self) -> int:
        """Return a slot that no cgroup has had."""
        self.used_slots += 1
        return self.used_slots

    def waits(self, slot: int) -> Counted:
        """Return what was counted at the run queues."""
        return _counted(self.maps.runqueue[:, slot])

    def sockets(self, kind: int, slot: int) -> Counted:
        """Return what was counted of one kind of socket wait."""
        assert self.maps.socket is not None
        return _counted(self.maps.socket[kind, :, slot])

    def open(self, map_name: str) -> int:
        """Open a pinned map."""
        return syscalls.object_get(f"{self.report.directory}/map_{map_name}")


def _counted(rows: npt.NDArray[np.void]) -> Counted:
    return Counted(
        n=int(rows["n"].sum()),
        sum_ns=int(rows["sum_ns"].sum()),
        buckets=rows["buckets"].sum(axis=0, dtype=np.int64),
    )


@contextlib.contextmanager
def loaded(
    directory: Path,
    hierarchy: CgroupHierarchy,
    objects: Path | None = None,
    *,
    program: Sequence[str] = (),
) -> Iterator[Probes]:
    """Load and pin as the service does, in a process that ends; unpin at the end.

    Parameters
    ----------
    directory : Path
        To be made on a BPF file system.
    objects : Path, optional
        A directory that holds another build, in a directory called ``objects``.
    program : sequence of str, optional
        A loader other than the CO-RE one: Python text and its arguments.
    """
    directory.mkdir()
    request = LoadRequest(
        directory=str(directory),
        possible_cpus=possible_cpus(),
        hierarchy=hierarchy.name,
        root_cgroup_id=hierarchy.root_cgroup_id,
    )
    try:
        loading = subprocess.run(
            [sys.executable, "-c", *(program or (LOADER, str(objects or "")))],
            input=msgspec.json.encode(request),
            stdout=subprocess.PIPE,
            check=True,
        )
        report = msgspec.json.decode(loading.stdout, type=LoadReport)
        descriptors = {
            name: syscalls.object_get(str(directory / f"map_{name}"))
            for name, spec in MAPS.items()
            if spec.is_output
        }
        table = syscalls.object_get(str(directory / "map_cgroup_slots"))
        yield Probes(
            report=report,
            maps=open_maps(descriptors, possible_cpus()),
            table=SlotTable(table),
            hierarchy=hierarchy,
        )
        for descriptor in (*descriptors.values(), table):
            os.close(descriptor)
    finally:
        pins.clear(str(directory))
        directory.rmdir()
