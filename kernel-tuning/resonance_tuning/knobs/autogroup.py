# SPDX-License-Identifier: MIT
"""How much of a contended CPU does a session get? The nice value of its autogroup."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.knob import FileKnob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces.cpu_group import cpu_group
from resonance_tuning.surfaces.threads import Task, process, running

__all__ = ["Autogroup"]

_VALUES: Final = range(-20, 20)
_TRIES: Final = 5
_INTERVAL_SECONDS: Final = 0.1
"""Without CAP_SYS_ADMIN the kernel takes one value per tenth of a second
(proc_sched_autogroup_set_nice, kernel/sched/autogroup.c)."""


class Autogroup(FileKnob):
    """The nice value of a session: one for all processes in it, by its leader's pid.

    That number is the session's own for as long as anybody is in it, whether the leader lives
    or not, so the value can be put back through any of its processes. It counts only for
    those in the root group of the cpu controller.
    """

    name: ClassVar[str] = "autogroup"
    summary: ClassVar[str] = (
        "The share of a contended CPU of the process's whole session, -20 (most) to 19; with "
        "sched_autogroup_enabled it is this, not nice, that counts between sessions."
    )
    scope: ClassVar[TargetKind] = "process"
    rung: ClassVar[int] = 2
    capabilities: ClassVar[frozenset[str]] = frozenset({"CAP_SYS_NICE", "CAP_DAC_OVERRIDE"})

    def targets(self, matched: Iterable[Target]) -> list[Target]:
        """Return the sessions of the processes, each once."""
        sessions: set[int] = set()
        for target in super().targets(matched):
            try:
                sessions.add(process(self.host, target).session)
            except TargetVanishedError:
                continue
        return [Target("process", str(session)) for session in sorted(sessions - {0})]

    def unavailable(self, target: Target) -> str:
        """Return why this session has no autogroup, or one without effect."""
        switch = self.host.path("/proc/sys/kernel/sched_autogroup_enabled")
        if not switch.exists():
            return "this kernel has no autogroups"
        if self.host.read(switch) != "1":
            return "autogroups are switched off (kernel.sched_autogroup_enabled)"
        try:
            return self._objection(self._member(target))
        except TargetVanishedError as error:
            return error.reason

    def _objection(self, member: Task) -> str:
        if member.session == os.getsid(0):
            return "it is our own session"
        if not self.host.read(self.host.path(f"/proc/{member.number}/autogroup")):
            return "its session has no autogroup"
        group = cpu_group(self.host, member.number)
        if group != "/":
            return f"an autogroup counts in the root cpu group only, and it is in {group}"
        return ""

    def parse(self, value: object) -> str:
        """Return a nice value."""
        if type(value) is not int or value not in _VALUES:
            raise ValueError(f"a nice value is a whole number of -20..19, not {value!r}")
        return str(value)

    def path(self, target: Target) -> Path:
        """Return the file of a process of the session."""
        return self.host.path(f"/proc/{self._member(target).number}/autogroup")

    def identity(self, target: Target) -> str:
        """Return the autogroup's own name: the kernel counts them."""
        return super().read(target).value.partition(" ")[0]

    def read(self, target: Target) -> State:
        """Return the nice value out of ``/autogroup-166 nice 0``."""
        return State(super().read(target).value.rpartition(" ")[2])

    def write(self, target: Target, value: str) -> None:
        """Write the value, again where the kernel asks for patience."""
        for _ in range(_TRIES - 1):
            try:
                return super().write(target, value)
            except BlockingIOError:
                time.sleep(_INTERVAL_SECONDS)
        return super().write(target, value)

    def _member(self, target: Target) -> Task:
        """Return the leader of a session, or anybody in it."""
        session = int(target.name)
        with suppress(TargetVanishedError):
            leader = process(self.host, target)
            if leader.session == session:
                return leader
        members = {task.number: task for task in running(self.host) if task.session == session}
        if not members:
            raise TargetVanishedError(str(target), "nobody is in its session any more")
        return members[min(members)]
