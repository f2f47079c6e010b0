# SPDX-License-Identifier: MIT
"""Processes and threads as files of a /proc, and a scheduler that keeps their classes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from resonance_tuning.host import Host
from resonance_tuning.surfaces.threads import Schedule, Scheduler

EVERY_CAPABILITY = "000001ffffffffff"


class FakeTasks(Scheduler):
    """Threads that a test makes, ends and turns as their owner would.

    Attributes
    ----------
    host : Host
    schedules : dict of int to Schedule
        By thread, of those alive.
    writes : list of (int, str)
        Each thread that was turned, and to what.
    on_write : callable
        Called before each write with the thread: what happens meanwhile.
    """

    def __init__(self, root: Path) -> None:
        self.host = Host(root)
        self.schedules: dict[int, Schedule] = {}
        self.writes: list[tuple[int, str]] = []
        self.on_write: Callable[[int], None] = lambda _tid: None
        self._ticks = 1000
        self.put("/proc/sys/kernel/sched_rt_runtime_us", "950000")
        self.put("/proc/self/mountinfo", "")
        self.set_capabilities(EVERY_CAPABILITY)

    def put(self, name: str, text: str) -> None:
        path = self.host.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")

    def set_capabilities(self, effective: str) -> None:
        self.put("/proc/self/status", f"Name:\tx\nCapPrm:\t{effective}\nCapEff:\t{effective}")

    def make_process(
        self,
        pid: int,
        *,
        parent: int = 1,
        session: int | None = None,
        group: int | None = None,
        schedule: Schedule | None = None,
        flags: int = 0,
    ) -> None:
        """Make a process of one thread; it leads a session of its own unless told otherwise."""
        ids = (parent, pid if group is None else group, pid if session is None else session)
        self._ticks += 1
        self._put_stat(f"/proc/{pid}", pid, ids, flags)
        self._put_stat(f"/proc/{pid}/task/{pid}", pid, ids, flags)
        self.schedules[pid] = schedule or Schedule("other")

    def make_thread(self, pid: int, tid: int, schedule: Schedule | None = None) -> None:
        """Make a thread; without a schedule it inherits that of the first, as clone(2) does."""
        self._ticks += 1
        self._put_stat(f"/proc/{pid}/task/{tid}", tid, (1, pid, pid), 0)
        self.schedules[tid] = schedule or self.inherited(pid)

    def inherited(self, tid: int) -> Schedule:
        """Return the schedule of what this thread makes."""
        parent = self.schedules[tid]
        if parent.resets_on_fork and parent.priority:
            return Schedule("other")
        return replace(parent, resets_on_fork=False)

    def end(self, pid: int, tid: int = 0) -> None:
        """End a thread, or a whole process."""
        path = f"/proc/{pid}/task/{tid}" if tid else f"/proc/{pid}"
        for name in [str(tid)] if tid else os.listdir(self.host.path(f"{path}/task")):
            del self.schedules[int(name)]
        shutil.rmtree(self.host.path(path))

    def run(self, pid: int, tid: int, ticks: int, cpu: int) -> None:
        """Say how long a thread has run in all, and where."""
        path = self.host.path(f"/proc/{pid}/task/{tid}/stat")
        head, _, rest = path.read_text(encoding="utf-8").rpartition(") ")
        fields = rest.split()
        fields[11], fields[36] = str(ticks), str(cpu)
        path.write_text(f"{head}) {' '.join(fields)}\n", encoding="utf-8")

    def read(self, tid: int) -> Schedule:
        if tid not in self.schedules:
            raise ProcessLookupError
        return self.schedules[tid]

    def set_policy(self, tid: int, wanted: Schedule) -> None:
        self.on_write(tid)
        nice = self.read(tid).nice
        self.schedules[tid] = replace(wanted, nice=nice)
        self.writes.append((tid, wanted.scheduling_class))

    def set_nice(self, tid: int, nice: int) -> None:
        self.on_write(tid)
        self.schedules[tid] = replace(self.read(tid), nice=nice)
        self.writes.append((tid, f"nice {nice}"))

    def _put_stat(self, folder: str, tid: int, ids: tuple[int, int, int], flags: int) -> None:
        parent, group, session = ids
        rest = f"0 -1 {flags} {'0 ' * 12}{self._ticks} {'0 ' * 30}"
        self.put(f"{folder}/stat", f"{tid} (a ) (b) S {parent} {group} {session} {rest}".rstrip())
