# SPDX-License-Identifier: MIT
"""What the knobs have in common that turn every thread of a process.

The kernel schedules threads, and what is born of a thread inherits from it. So the prior state
names each thread, and what is not named there was born since and inherited ours. Threads whose
class we did not give them are somebody's choice and stay; so does a thread that its owner has
turned since, while the others are put back.
"""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

from resonance_tuning import capabilities
from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces.threads import (
    Schedule,
    Scheduler,
    Task,
    Thread,
    family,
    first_thread,
    process,
    threads,
)

__all__ = ["Prior", "ThreadKnob", "chrt"]

_PASSES: Final = 32
"""Rounds over a process that makes threads while it is turned; *chosen*."""
_TURNED, _LEFT, _CHILD = "thread ", "left alone: thread ", "child "


@dataclass(frozen=True, slots=True)
class Prior:
    """The threads of a process as they were, and who was its family then.

    Attributes
    ----------
    turned : dict of str to str
        What the knob found in each thread that it turns, by `Task.key`.
    left : frozenset of str
        Keys of the threads it leaves alone.
    children : frozenset of str
        Keys of the processes that were there, and inherited nothing of ours.
    """

    turned: dict[str, str]
    left: frozenset[str]
    children: frozenset[str]

    @classmethod
    def of(cls, state: State) -> Self:
        """Read it out of a state that `ThreadKnob.read` made."""

        def keys(kind: str) -> dict[str, str]:
            found = state.coupled.items()
            return {key.removeprefix(kind): text for key, text in found if key.startswith(kind)}

        return cls(keys(_TURNED), frozenset(keys(_LEFT)), frozenset(keys(_CHILD)))

    def inherited(self, pid: int, otherwise: str) -> str:
        """Return what a thread born since would have: what the first one had."""
        ordered = sorted(self.turned, key=lambda key: (int(key.split(":")[0]) != pid, key))
        return self.turned[ordered[0]] if ordered else otherwise


class ThreadKnob(Knob):
    """A knob of every thread of a process.

    Parameters
    ----------
    host : Host
    scheduler : Scheduler, optional
        The kernel's calls; tests give one that stands in for them.
    """

    scope: ClassVar[TargetKind] = "process"
    capabilities: ClassVar[frozenset[str]] = frozenset({"CAP_SYS_NICE"})

    def __init__(self, host: Host, scheduler: Scheduler | None = None) -> None:
        super().__init__(host)
        self.scheduler = scheduler or Scheduler()
        # A number out of another tree would be somebody else's on this machine.
        self._is_elsewhere = scheduler is None and host.root != Path("/")
        # As it began: in shadow mode what is dropped since would not be in the real one.
        self._held = frozenset[str]() if self._is_elsewhere else _held(host)

    @abstractmethod
    def turns(self, schedule: Schedule) -> bool:
        """Tell whether threads scheduled like this are turned, and not left alone."""

    @abstractmethod
    def value_of(self, turned: list[Schedule]) -> str:
        """Return the knob's value of a process out of that of its threads, first one first."""

    @abstractmethod
    def part(self, schedule: Schedule) -> str:
        """Return of a thread what the knob puts back, as the journal keeps it."""

    def unavailable(self, target: Target) -> str:
        """Return why this process cannot be turned, or not be put back."""
        if self._is_elsewhere:
            return f"{self.host.root} is not this machine, whose threads would be turned"
        try:
            task = process(self.host, target)
        except TargetVanishedError as error:
            return error.reason
        if task.is_kernel_thread:
            return "it is a thread of the kernel"
        if "CAP_SYS_NICE" not in self._held:
            return "without CAP_SYS_NICE the kernel would refuse to take it back"
        found = threads(self.host, self.scheduler, task.number)
        if any(self.turns(thread.schedule) for thread in found):
            return ""
        classes = ", ".join(sorted({thread.schedule.policy for thread in found}))
        return f"none of its threads is of a class that is turned: {classes}"

    def identity(self, target: Target) -> str:
        """Return pid and start; a pid may come again."""
        return process(self.host, target).key

    def read(self, target: Target) -> State:
        """Return the value, coupled with each thread and with the family there is."""
        task, found = process(self.host, target), self.living(target)
        coupled: dict[str, str] = {}
        for thread in found:
            if self.turns(thread.schedule):
                coupled[f"{_TURNED}{thread.task.key}"] = self.part(thread.schedule)
            else:
                coupled[f"{_LEFT}{thread.task.key}"] = thread.schedule.scheduling_class
        for child in family(self.host, task).values():
            coupled[f"{_CHILD}{child.key}"] = ""
        return State(self.value_of(self._turned_of(found)), coupled)

    def look(self, target: Target) -> str:
        """Return the value; of a process that is turned its first thread tells it alone."""
        value = self.value_of(self._turned_of([self.first(target)]))
        if value in {"", "0"}:  # another one may tell otherwise
            return self.value_of(self._turned_of(self.living(target)))
        return value

    def unsettled(self, target: Target, prior: State, found: State) -> str:
        """Return which threads are not as they were; those that came or went are no debt."""
        turned = {key: text for key, text in prior.coupled.items() if key.startswith(_TURNED)}
        living = {key: text for key, text in turned.items() if key in found.coupled}
        return super().unsettled(target, State(prior.value, living), found)

    def turn_until_done(self, turn: Callable[[], bool]) -> None:
        """Go over all threads until a whole round finds nothing to turn.

        Raises
        ------
        OSError
            ``EAGAIN``: threads are born faster than they are turned.
        """
        for _ in range(_PASSES):
            if not turn():
                return
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), "threads are born faster")

    def turn_each(self, found: list[Thread], turn: Callable[[Thread], bool]) -> bool:
        """Turn threads; return whether there was one to turn. One that ended needs nothing."""
        changed = False
        for thread in found:
            try:
                changed |= turn(thread)
            except ProcessLookupError:
                continue
        return changed

    def only(self, found: list[Thread]) -> list[Thread]:
        """Return the threads that are turned."""
        return [thread for thread in found if self.turns(thread.schedule)]

    def _turned_of(self, found: list[Thread]) -> list[Schedule]:
        return [thread.schedule for thread in self.only(found)]

    def first(self, target: Target) -> Thread:
        """Return the first living thread of a process; raises `TargetVanishedError`."""
        return first_thread(self.host, self.scheduler, int(target.name)) or self.living(target)[0]

    def living(self, target: Target) -> list[Thread]:
        """Return the threads of a process, one at least; raises `TargetVanishedError`."""
        found = threads(self.host, self.scheduler, process(self.host, target).number)
        if not found:
            raise TargetVanishedError(str(target), "it has ended")
        return found

    def heirs(self, target: Target, prior: Prior) -> list[Thread]:
        """Return the threads of a process and of those it made since, which inherited from it."""
        task = process(self.host, target)
        relatives = family(self.host, task)
        old = {pid for pid, child in relatives.items() if child.key in prior.children}
        pids = (task.number, *(pid for pid in relatives if not _is_of(pid, old, relatives)))
        found = [each for pid in pids for each in threads(self.host, self.scheduler, pid)]
        return [each for each in found if each.task.key not in prior.left]

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return one command for the whole process where one will do, else one per thread."""
        turned = Prior.of(prior).turned
        parts = set(turned.values())
        if len(parts) == 1:
            return (self.shell_for_all(int(target.name), parts.pop()),)
        return tuple(self.shell(int(key.partition(":")[0]), part) for key, part in turned.items())

    @abstractmethod
    def shell(self, tid: int, part: str) -> str:
        """Return the command that puts back a thread."""

    @abstractmethod
    def shell_for_all(self, pid: int, part: str) -> str:
        """Return the command that puts back all threads of a process."""


def _held(host: Host) -> frozenset[str]:
    """Return what this process may do now."""
    return capabilities.current(host.path("/proc/self/status")).get("CapEff", frozenset())


def _is_of(pid: int, old: set[int], relatives: dict[int, Task]) -> bool:
    """Tell whether a process is an old relative, or came out of one."""
    while pid in relatives:
        if pid in old:
            return True
        pid = relatives[pid].parent
    return False


def chrt(part: str, number: int, *options: str) -> str:
    """Return the call of chrt(1) that gives a thread this class."""
    schedule = Schedule.parse(part)
    flags = (*options, *(["--reset-on-fork"] if schedule.resets_on_fork else []))
    return " ".join(
        ("chrt", *flags, f"--{schedule.policy}", "--pid", str(schedule.priority), str(number))
    )
