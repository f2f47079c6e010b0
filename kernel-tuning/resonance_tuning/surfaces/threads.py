# SPDX-License-Identifier: MIT
"""The threads of a process and the processes it made: since when, and in which class?

Read afresh each time: a thread's number may come again, its number and start together not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.records import Target

__all__ = [
    "BATCH",
    "FAIR",
    "IDLE",
    "OTHER",
    "ROUND_ROBIN",
    "Schedule",
    "Scheduler",
    "Task",
    "Thread",
    "family",
    "first_thread",
    "process",
    "running",
    "threads",
]

OTHER: Final = "other"
BATCH: Final = "batch"
IDLE: Final = "idle"
ROUND_ROBIN: Final = "rr"
FAIR: Final = frozenset({OTHER, BATCH, IDLE})
"""The classes that share the CPU fairly; the others are somebody's deliberate choice."""
_POLICIES: Final = {
    OTHER: 0,
    "fifo": 1,
    ROUND_ROBIN: 2,
    BATCH: 3,
    IDLE: 5,
    "deadline": 6,
    "ext": 7,
}
"""include/uapi/linux/sched.h"""
_NAMES: Final = {number: name for name, number in _POLICIES.items()}
_KERNEL_THREAD: Final = 0x0020_0000  # PF_KTHREAD, include/linux/sched.h
_ENDED: Final = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Task:
    """One line of ``/proc/.../stat``.

    Attributes
    ----------
    number : int
        A pid, or a thread's.
    parent, group, session : int
        Pids: who made it, who leads its process group and its session.
    start_ticks : int
        When it started, in clock ticks since boot.
    cpu_ticks, last_cpu : int
        What it has run so far, in clock ticks, and where it ran last.
    """

    number: int
    parent: int
    group: int
    session: int
    start_ticks: int
    has_ended: bool
    is_kernel_thread: bool
    cpu_ticks: int = field(default=0, compare=False)
    last_cpu: int = field(default=0, compare=False)

    @property
    def key(self) -> str:
        """Tells it from every other one of this boot."""
        return f"{self.number}:{self.start_ticks}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the kernel schedules a thread.

    Attributes
    ----------
    policy : str
        ``other``, ``batch``, ``idle``, ``fifo``, ``rr``, ...
    priority : int
        Of a real-time thread; else 0.
    nice : int
        Kept, though without effect, in the classes that have none.
    resets_on_fork : bool
        What it makes begins in the ordinary class (``SCHED_RESET_ON_FORK``).
    """

    policy: str
    priority: int = 0
    nice: int = 0
    resets_on_fork: bool = False

    def __str__(self) -> str:
        """Write it for people and for the journal.

        >>> str(Schedule("rr", 1, 0, True))
        'rr 1 reset-on-fork nice 0'
        """
        return f"{self.scheduling_class} nice {self.nice}"

    @property
    def is_guarded(self) -> bool:
        """Whether it is as the knob `realtime` turns threads, and their owners hardly do."""
        return self.policy == ROUND_ROBIN and self.resets_on_fork

    @property
    def scheduling_class(self) -> str:
        """All but the nice value."""
        priority = f" {self.priority}" if self.priority else ""
        return f"{self.policy}{priority}{' reset-on-fork' if self.resets_on_fork else ''}"

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read what `__str__` or `scheduling_class` wrote."""
        about, _, nice = text.partition(" nice ")
        policy, *rest = about.split()
        priority = next((int(word) for word in rest if word.isdecimal()), 0)
        return cls(policy, priority, int(nice or 0), "reset-on-fork" in rest)


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread, and how it is scheduled."""

    task: Task
    schedule: Schedule

    @property
    def tid(self) -> int:
        """Its number."""
        return self.task.number


class Scheduler:
    """The kernel's scheduling calls, one thread at a time (sched(7))."""

    def read(self, tid: int) -> Schedule:
        """Return how a thread is scheduled; raises ``ProcessLookupError``."""
        number = os.sched_getscheduler(tid)
        policy = number & ~os.SCHED_RESET_ON_FORK
        return Schedule(
            policy=_NAMES.get(policy, str(policy)),
            priority=os.sched_getparam(tid).sched_priority,
            nice=os.getpriority(os.PRIO_PROCESS, tid),
            resets_on_fork=bool(number & os.SCHED_RESET_ON_FORK),
        )

    def set_policy(self, tid: int, wanted: Schedule) -> None:
        """Set class, priority and the flag; the nice value stays as it is."""
        flag = os.SCHED_RESET_ON_FORK if wanted.resets_on_fork else 0
        number = _POLICIES[wanted.policy] | flag
        os.sched_setscheduler(tid, number, os.sched_param(wanted.priority))

    def set_nice(self, tid: int, nice: int) -> None:
        """Set the nice value of this thread only, whatever POSIX says of processes."""
        os.setpriority(os.PRIO_PROCESS, tid, nice)


def process(host: Host, target: Target) -> Task:
    """Return a process that has a thread alive.

    Raises
    ------
    TargetVanishedError
        There is none of this number, or it has ended and waits for its parent.
    """
    found = _read(host, host.path(f"/proc/{target.name}"))
    if found is None:
        raise TargetVanishedError(str(target))
    # The first thread may have ended before the others.
    if found.has_ended and not any(True for _ in _tasks(host, found.number)):
        raise TargetVanishedError(str(target), "it has ended")
    return replace(found, has_ended=False)


def threads(host: Host, scheduler: Scheduler, pid: int) -> list[Thread]:
    """Return the living threads of a process, the first one first."""
    found: list[Thread] = []
    for task in _tasks(host, pid):
        try:
            found.append(Thread(task, scheduler.read(task.number)))
        except ProcessLookupError:
            continue  # ended meanwhile
    return sorted(found, key=lambda thread: (thread.tid != pid, thread.tid))


def first_thread(host: Host, scheduler: Scheduler, pid: int) -> Thread | None:
    """Return the thread a process began with, unless that one has ended."""
    task = _read(host, host.path(f"/proc/{pid}/task/{pid}"))
    try:
        return Thread(task, scheduler.read(pid)) if task and not task.has_ended else None
    except ProcessLookupError:
        return None


def family(host: Host, of: Task) -> dict[int, Task]:
    """Return by pid the processes that came out of one, itself left out.

    Its descendants, and who is in the session or the process group it leads: a descendant
    stays there when its parent ends. One that also made a session of its own is not found.
    """
    everybody = list(running(host))
    found = {of.number}
    sizes = (0, 1)
    while sizes[0] != sizes[1]:
        found |= {task.number for task in everybody if task.parent in found}
        sizes = (sizes[1], len(found))
    leads_session, leads_group = of.session == of.number, of.group == of.number
    return {
        task.number: task
        for task in everybody
        if task.number != of.number
        and (
            task.number in found
            or (leads_session and task.session == of.number)
            or (leads_group and task.group == of.number)
        )
    }


def running(host: Host) -> Iterator[Task]:
    """Yield the processes there are."""
    for entry in os.scandir(host.path("/proc")):
        if entry.name.isdecimal():
            try:
                task = _read(host, Path(entry.path))
            except PermissionError:
                continue  # it is hidden from us (proc(5), hidepid)
            if task and not task.has_ended:
                yield task


def _tasks(host: Host, pid: int) -> Iterator[Task]:
    try:
        names = sorted(os.listdir(host.path(f"/proc/{pid}/task")))
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        task = _read(host, host.path(f"/proc/{pid}/task/{name}"))
        if task and not task.has_ended:
            yield task


def _read(host: Host, directory: Path) -> Task | None:
    try:
        text = host.read(directory / "stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    number, _, rest = text.partition(" (")
    state, *fields = rest.rpartition(") ")[2].split()  # a name may hold both
    return Task(
        number=int(number),
        parent=int(fields[0]),
        group=int(fields[1]),
        session=int(fields[2]),
        start_ticks=int(fields[18]),
        has_ended=state in _ENDED,
        is_kernel_thread=bool(int(fields[5]) & _KERNEL_THREAD),
        cpu_ticks=int(fields[10]) + int(fields[11]),
        last_cpu=int(fields[35]),
    )
