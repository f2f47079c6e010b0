# SPDX-License-Identifier: MIT
"""Does a process run only when nobody else wants the CPU? ``SCHED_IDLE`` of all its threads."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from resonance_tuning.records import State, Target
from resonance_tuning.surfaces.thread_knob import Prior, ThreadKnob, chrt
from resonance_tuning.surfaces.threads import FAIR, IDLE, OTHER, Schedule, Thread

__all__ = ["TaskIdle"]


class TaskIdle(ThreadKnob):
    """The idle class of every thread of a process; the nice values stay.

    To enter the class needs nothing, to leave it CAP_SYS_NICE: without it the knob is not
    there at all. The value is 1 while any thread is idle. So an owner who takes the first one
    out, as ``chrt -p`` does, keeps it, and the others are put back.
    """

    name: ClassVar[str] = "task_idle"
    summary: ClassVar[str] = (
        "Every thread of the process runs in the idle class: it gives way to everybody at once, "
        "and still gets every cycle nobody else wants."
    )
    rung: ClassVar[int] = 1

    def unavailable(self, target: Target) -> str:
        """Return why not; also where a process puts some of its own threads there."""
        if reason := super().unavailable(target):
            return reason
        turned = self.only(self.living(target))
        idle = sum(thread.schedule.policy == IDLE for thread in turned)
        if 0 < idle < len(turned):
            return f"{idle} of its {len(turned)} threads are idle by its own choice"
        return ""

    def parse(self, value: object) -> str:
        """Return 1: what is not to be idle is left as it is."""
        if value is True or (type(value) is int and value == 1):
            return "1"
        raise ValueError(f"a process is made idle with 1, not {value!r}; refuse the knob otherwise")

    def turns(self, schedule: Schedule) -> bool:
        """Tell whether the thread is of a fair class; a real-time one is left alone."""
        return schedule.policy in FAIR

    def value_of(self, turned: list[Schedule]) -> str:
        """Return 1 if any thread is idle."""
        return str(int(any(schedule.policy == IDLE for schedule in turned)))

    def part(self, schedule: Schedule) -> str:
        """Return the class."""
        return schedule.scheduling_class

    def write(self, target: Target, value: str) -> None:
        """Make all threads idle, those too that are born meanwhile."""
        del value
        self.turn_until_done(lambda: self.turn_each(self.living(target), self._make_idle))

    def restore(self, target: Target, prior: State) -> None:
        """Put back each thread that is still idle, and what inherited from it."""
        before = Prior.of(prior)
        inherited = before.inherited(int(target.name), OTHER)

        def put_back(thread: Thread) -> bool:
            was = Schedule.parse(before.turned.get(thread.task.key, inherited))
            if thread.schedule.policy != IDLE or was.policy == IDLE:
                return False
            if thread.task.key not in before.turned:  # the flag is never inherited
                was = replace(was, resets_on_fork=thread.schedule.resets_on_fork)
            self.scheduler.set_policy(thread.tid, was)
            return True

        self.turn_until_done(lambda: self.turn_each(self.heirs(target, before), put_back))

    def contradiction(self, target: Target, value: str) -> str:
        """Return what its first thread is instead: who names a process to chrt(1) means that."""
        del value
        first = self.first(target).schedule
        return "" if first.policy == IDLE else f"its first thread is {first.scheduling_class}"

    def _make_idle(self, thread: Thread) -> bool:
        if not self.turns(thread.schedule) or thread.schedule.policy == IDLE:
            return False
        self.scheduler.set_policy(thread.tid, replace(thread.schedule, policy=IDLE))
        return True

    def shell(self, tid: int, part: str) -> str:
        """Return the call of chrt(1)."""
        return chrt(part, tid)

    def shell_for_all(self, pid: int, part: str) -> str:
        """Return the call of chrt(1)."""
        return chrt(part, pid, "--all-tasks")
