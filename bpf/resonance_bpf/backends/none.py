# SPDX-License-Identifier: MIT
"""What can be known without BPF: the tier ``procfs``.

Run-queue waits come from ``/proc/<pid>/task/<tid>/schedstat`` (time waited, times run),
sockets from inet_diag, read a few times a second into arrays of the shape the probes
write, so that no reader cares which backend it has. It knows sums and counts, so means;
it has no buckets, no bins, and one row for all CPUs.

What is missed, and what is only roughly right:

- a task that ends loses what it waited since the last look; a task that lives between two
  looks is never seen;
- a task that moves is counted in its old cgroup for up to `PLACE_LOOKS` looks;
- round trips are sampled once per look from the connections that received something, not
  once per segment; connect and receive waits are not known at all;
- sockets of other network namespaces are not seen, and on the v1 cpu hierarchy, which
  sockets know nothing of, all sockets count in slot 0.

A look costs about 20 microseconds per thread and 80 per connection; the time between looks
stretches until that is at most one part in `COST_DIVISOR` of one CPU.

References
----------
Documentation/scheduler/sched-stats.rst (schedstat); Documentation/accounting/psi.rst.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_bpf.catalogue import (
    CANDIDATES,
    OTHER_SLOT,
    PROGRAMS,
    SCHEDULING_CLASSES,
    SLOTS,
    SOCKET_KINDS,
)
from resonance_bpf.diag import EstablishedSocket, established_sockets
from resonance_bpf.errors import ProbeError
from resonance_bpf.hierarchy import CgroupHierarchy, path_of_task
from resonance_bpf.layouts import CANDIDATE, CLOCK_PAIR, COST, HISTOGRAM
from resonance_bpf.reader import Maps

__all__ = ["Sampler"]

LOOK_SECONDS: Final = 0.5
PLACE_LOOKS: Final = 10
"""A task's cgroup and policy are read anew every so many looks."""
COST_DIVISOR: Final = 50
"""*Chosen*: at most 2 % of one CPU, twice what the tiers with BPF may cost."""
_FAIR: Final = SCHEDULING_CLASSES.index("fair")
_CLASS_OF_POLICY: Final = {
    os.SCHED_FIFO: SCHEDULING_CLASSES.index("realtime"),
    os.SCHED_RR: SCHEDULING_CLASSES.index("realtime"),
    os.SCHED_IDLE: SCHEDULING_CLASSES.index("idle"),
    6: SCHEDULING_CLASSES.index("deadline"),  # SCHED_DEADLINE; os has no name for it
}
_SRTT: Final = SOCKET_KINDS.index("srtt")


@dataclass(slots=True)
class _Task:
    waited_ns: int
    runs: int
    cgroup_id: int
    scheduling_class: int


class Sampler:
    """Fills the arrays of `maps` from /proc and inet_diag.

    Parameters
    ----------
    hierarchy : CgroupHierarchy
        Which cgroup of a task counts.
    proc : Path
        The /proc to read.
    clock, cost_clock : callable
        CLOCK_MONOTONIC, and the CPU time of this process, in ns.
    policy_of : callable
        Scheduling policy of a thread id.
    read_sockets : callable
        Returns the established connections, or raises `ProbeError`.

    Attributes
    ----------
    maps : Maps
        What is known; ``socket`` is ``None`` where sockets cannot be read.
    pressure : (SLOTS,) float64
        Mean number of waiting tasks between the last two looks, cut at 1; NaN before.
    unavailable : dict of str to str
        What this host does not let us see, and why.
    hidden_tasks : int
        Tasks the last look could not read though it saw their process.
    look_seconds : float
        Time between looks now.
    """

    def __init__(
        self,
        hierarchy: CgroupHierarchy,
        *,
        proc: Path = Path("/proc"),
        clock: Callable[[], int] = time.monotonic_ns,
        cost_clock: Callable[[], int] = time.process_time_ns,
        policy_of: Callable[[int], int] = os.sched_getscheduler,
        read_sockets: Callable[[], list[EstablishedSocket]] = established_sockets,
    ) -> None:
        self._hierarchy = hierarchy
        self._proc = proc
        self._clock = clock
        self._cost_clock = cost_clock
        self._policy_of = policy_of
        self._read_sockets = read_sockets
        self._slots: dict[int, int] = {}
        self._votes: dict[int, int] = {}
        self._cgroup_ids: dict[str, int] = {}
        self._looks = 0
        self._looked_ns = self._next_ns = clock()
        self.look_seconds = LOOK_SECONDS
        self.hidden_tasks = 0
        self.unavailable = _blind_spots(proc)
        self.pressure: npt.NDArray[np.float64] = np.full(SLOTS, np.nan)
        self._tasks: dict[int, _Task] = {}
        self._sockets = self._connections()
        self.maps = _empty_maps(has_sockets="sockets" not in self.unavailable)

    def assign(self, slot: int, cgroup_id: int) -> bool:
        """Count a cgroup in a slot from now on; there is always room."""
        self._slots[cgroup_id] = slot
        self._votes.pop(cgroup_id, None)
        return True

    def release(self, cgroup_id: int) -> None:
        """Count a cgroup in slot 0 again."""
        self._slots.pop(cgroup_id, None)

    def refresh(self) -> bool:
        """Look, if it is time to; return whether it was."""
        now_ns = self._clock()
        if now_ns < self._next_ns:
            return False
        started_ns = self._cost_clock()
        before_ns = self._waits_per_slot()
        self._look_at_tasks()
        self._look_at_sockets()
        if self._looks:
            waiting = (self._waits_per_slot() - before_ns) / max(1, now_ns - self._looked_ns)
            self.pressure = np.minimum(waiting, 1.0)
        self._publish(now_ns)
        self._looks += 1
        self._looked_ns = now_ns
        cost_ns = self._cost_clock() - started_ns
        self.look_seconds = max(LOOK_SECONDS, cost_ns * COST_DIVISOR / 1e9)
        self._next_ns = now_ns + int(self.look_seconds * 1e9)
        return True

    def psi(self, cgroup: str) -> float | None:
        """Return the share of the last 10 s in which a task of a cgroup waited for a CPU.

        The kernel's own account (pressure stall information), which counts descendants.

        Parameters
        ----------
        cgroup : str
            Path below the hierarchy's root; ``/`` is the whole host.

        Returns
        -------
        float or None
            0 to 1; ``None`` where the kernel keeps no account: PSI off, v1 cgroups.
        """
        if cgroup == "/":
            file = self._proc / "pressure" / "cpu"
        elif self._hierarchy.name == "v2":
            file = self._hierarchy.directory(cgroup) / "cpu.pressure"
        else:
            return None
        try:
            some = file.read_text().split()
        except OSError:  # EOPNOTSUPP where booted with psi=0
            return None
        return float(some[1].removeprefix("avg10=")) / 100.0

    def _waits_per_slot(self) -> npt.NDArray[np.float64]:
        waits: npt.NDArray[np.float64] = self.maps.runqueue["sum_ns"].sum(
            axis=(0, 2), dtype=np.float64
        )
        return waits

    def _look_at_tasks(self) -> None:
        if self._looks % PLACE_LOOKS == 0:
            self._cgroup_ids.clear()
        self.hidden_tasks = 0
        tasks: dict[int, _Task] = {}
        for tid, directory in self._threads():
            if counters := self._schedstat(directory):
                tasks[tid] = self._observe(tid, directory, *counters)
        self._tasks = tasks
        running = {task.cgroup_id for task in tasks.values()}
        self._votes = {key: votes for key, votes in self._votes.items() if key in running}

    def _threads(self) -> Iterator[tuple[int, str]]:
        for pid in filter(str.isdigit, os.listdir(self._proc)):
            directory = f"{self._proc}/{pid}/task"
            try:
                tids = os.listdir(directory)
            except (FileNotFoundError, ProcessLookupError):  # ended
                continue
            except PermissionError:
                self.hidden_tasks += 1
                continue
            for tid in tids:
                yield int(tid), f"{directory}/{tid}"

    def _schedstat(self, directory: str) -> tuple[int, int] | None:
        """Return time waited in ns and times run, or None for a task that is gone or hidden."""
        try:
            descriptor = os.open(f"{directory}/schedstat", os.O_RDONLY)
            try:
                _, waited_ns, runs = os.read(descriptor, 128).split()
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError:
            self.hidden_tasks += 1
            return None
        return int(waited_ns), int(runs)

    def _observe(self, tid: int, directory: str, waited_ns: int, runs: int) -> _Task:
        task = self._tasks.get(tid)
        if self._looks == 0:  # what everybody did before we looked is not ours to count
            task = _Task(waited_ns, runs, *self._place(tid, directory))
        elif task is None or runs < task.runs:  # new, or another task with an old number
            task = _Task(0, 0, *self._place(tid, directory))
        elif (tid + self._looks) % PLACE_LOOKS == 0:
            task.cgroup_id, task.scheduling_class = self._place(tid, directory)
        if runs > task.runs:
            self._count(task, runs - task.runs, max(0, waited_ns - task.waited_ns))
        task.waited_ns, task.runs = waited_ns, runs
        return task

    def _count(self, task: _Task, runs: int, waited_ns: int) -> None:
        slot = self._slots.get(task.cgroup_id, OTHER_SLOT)
        cell = self.maps.runqueue[0, slot]
        cell["n"][task.scheduling_class] += runs
        cell["sum_ns"][task.scheduling_class] += waited_ns
        if slot == OTHER_SLOT:
            self.maps.clock["unassigned_events"][0] += runs
            if task.cgroup_id:
                self._votes[task.cgroup_id] = self._votes.get(task.cgroup_id, 0) + runs

    def _place(self, tid: int, directory: str) -> tuple[int, int]:
        """Return a task's cgroup id, 0 where it has none that we see, and scheduling class."""
        try:
            path = path_of_task(Path(directory), self._hierarchy)
            if path is not None and path not in self._cgroup_ids:
                self._cgroup_ids[path] = self._hierarchy.directory(path).stat().st_ino
            cgroup_id = self._cgroup_ids[path] if path is not None else 0
        except OSError:  # the task or its cgroup is gone
            cgroup_id = 0
        try:
            return cgroup_id, _CLASS_OF_POLICY.get(self._policy_of(tid), _FAIR)
        except OSError:
            return cgroup_id, _FAIR

    def _connections(self) -> dict[int, EstablishedSocket]:
        if "sockets" in self.unavailable:
            return {}
        try:
            return {connection.cookie: connection for connection in self._read_sockets()}
        except ProbeError as error:
            self.unavailable["sockets"] = str(error)
            return {}

    def _look_at_sockets(self) -> None:
        before, self._sockets = self._sockets, self._connections()
        histograms, retransmits = self.maps.socket, self.maps.socket_counters
        if histograms is None or retransmits is None:
            return
        is_v2 = self._hierarchy.name == "v2"
        for connection in self._sockets.values():
            last = before.get(connection.cookie)
            slot = self._slots.get(connection.cgroup_id, OTHER_SLOT) if is_v2 else OTHER_SLOT
            retransmits[0, slot] += connection.retransmits - (last.retransmits if last else 0)
            heard = last is None or connection.segments_received > last.segments_received
            if heard and connection.srtt_ns:
                cell = histograms[_SRTT, 0, slot]
                cell["n"][0] += 1
                cell["sum_ns"][0] += connection.srtt_ns

    def _publish(self, now_ns: int) -> None:
        clock, candidates = self.maps.clock, self.maps.candidates
        clock["runqueue_ns"] = clock["monotonic_ns"] = now_ns
        busiest = nlargest(CANDIDATES, self._votes.items(), key=lambda item: item[1])
        candidates[:] = 0
        for row, (cgroup_id, votes) in enumerate(busiest):
            candidates[row] = cgroup_id, votes


def _blind_spots(proc: Path) -> dict[str, str]:
    """Return what this /proc does not show, and why."""
    found: dict[str, str] = {}
    try:
        runs = int((proc / "self/schedstat").read_text().split()[2])
    except FileNotFoundError:
        found["runqueue"] = "no schedstat in /proc: the kernel was built without SCHED_INFO"
    else:
        if runs == 0:
            found["runqueue"] = "schedstat stands still: the kernel keeps no sched_info"
    if not (proc / "1").exists():
        found["foreign tasks"] = "hidden from us: /proc is mounted with hidepid"
    return found


def _empty_maps(*, has_sockets: bool) -> Maps:
    return Maps(
        cpus=1,
        has_buckets=False,
        runqueue=np.zeros((1, SLOTS), HISTOGRAM),
        clock=np.zeros(1, CLOCK_PAIR),
        candidates=np.zeros(CANDIDATES, CANDIDATE),
        costs=np.zeros((len(PROGRAMS), 1), COST),
        socket=np.zeros((len(SOCKET_KINDS), 1, SLOTS), HISTOGRAM) if has_sockets else None,
        socket_counters=np.zeros((1, SLOTS), np.uint64) if has_sockets else None,
        listeners=None,
    )
