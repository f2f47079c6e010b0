# SPDX-License-Identifier: MIT
"""Does a process run before everything ordinary? ``SCHED_RR`` of its threads, under a guard."""

from __future__ import annotations

import atexit
from dataclasses import replace
from typing import ClassVar, Final

from resonance_tuning.errors import KnobUnavailableError, TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.records import State, Target
from resonance_tuning.surfaces import realtime_guard
from resonance_tuning.surfaces.cpu_group import cpu_group_directory
from resonance_tuning.surfaces.thread_knob import Prior, ThreadKnob, chrt
from resonance_tuning.surfaces.threads import OTHER, ROUND_ROBIN, Schedule, Scheduler, Thread

__all__ = ["Realtime"]

_PRIORITIES: Final = range(1, 11)
"""*chosen*: far below the kernel's own threads, those of interrupts at 50 first of all."""
_NO_BUDGET: Final = (
    "its cpu group has no real-time budget (RT_GROUP_SCHED, cpu.rt_runtime_us 0): the kernel "
    "refuses a real-time thread there, and to move one into such a group (EINVAL)"
)
_REFUSED: Final = (
    f"the kernel refuses: {_NO_BUDGET}; or this service may not (RestrictRealtime= of its unit)"
)


class Realtime(ThreadKnob):
    """Round-robin real-time class of a process's ordinary threads; only where it was asked for.

    Three things bound it. The kernel's throttle must be on, or nothing is turned. What the
    threads make is born ordinary (``SCHED_RESET_ON_FORK``) and stays so; its nice value, which
    is then 0, is put right at the undo. And a guard takes the threads back when they go too
    far, or when we die (`realtime_guard`). A process with real-time threads of its own is
    left alone.
    """

    name: ClassVar[str] = "realtime"
    summary: ClassVar[str] = (
        "The process's threads run before all ordinary ones, in turns, at priority 1..10; a "
        "guard takes it back when they use too much of a CPU. Opt-in."
    )
    rung: ClassVar[int] = 5

    def __init__(self, host: Host, scheduler: Scheduler | None = None) -> None:
        super().__init__(host, scheduler)
        self._guards: dict[Target, realtime_guard.Guard] = {}

    def unavailable(self, target: Target) -> str:
        """Return why this process cannot safely run in real time."""
        if reason := realtime_guard.throttle_reason(self.host) or super().unavailable(target):
            return reason
        kept = [each for each in self.living(target) if not self.turns(each.schedule)]
        own = sum(each.schedule.priority > 0 for each in kept)
        if own:
            return f"{own} of its threads are real-time by its own choice"
        return "" if self._has_budget(target) else _NO_BUDGET

    def parse(self, value: object) -> str:
        """Return a priority."""
        if type(value) is not int or value not in _PRIORITIES:
            raise ValueError(f"a real-time priority is a whole number of 1..10, not {value!r}")
        return str(value)

    def turns(self, schedule: Schedule) -> bool:
        """Tell whether the thread is an ordinary one, or one of ours."""
        return schedule.is_guarded or schedule.policy == OTHER

    def value_of(self, turned: list[Schedule]) -> str:
        """Return the priority of the first real-time thread, or 0."""
        return str(next((schedule.priority for schedule in turned if schedule.priority), 0))

    def part(self, schedule: Schedule) -> str:
        """Return all of it: what is born ordinary is born with nice 0 too."""
        return str(schedule)

    def read(self, target: Target) -> State:
        """Return the priority, coupled with the nice value too, which what is born loses."""
        state = super().read(target)
        state.coupled["nice"] = str(self.living(target)[0].schedule.nice)
        return state

    def write(self, target: Target, value: str) -> None:
        """Set up the guard, then turn all threads: one that cannot start prevents it.

        Raises
        ------
        KnobUnavailableError
            The kernel grants the process's group no real-time budget.
        """
        wanted = Schedule(ROUND_ROBIN, int(value), resets_on_fork=True)
        self._let_guard_go(target)
        prior = self.read(target)

        def turn(thread: Thread) -> bool:
            is_done = thread.schedule.priority == wanted.priority
            if is_done or not self.turns(thread.schedule):
                return False
            self.scheduler.set_policy(thread.tid, wanted)
            return True

        self._guard(target, prior, int(value))
        try:
            self.turn_until_done(lambda: self.turn_each(self.living(target), turn))
        except PermissionError as error:
            self.restore(target, prior)
            raise KnobUnavailableError(self.name, _REFUSED) from error

    def restore(self, target: Target, prior: State) -> None:
        """Put back each thread that is in real time by us, then let the guard go."""
        if prior.value not in {"", "0"}:  # an older step's priority, under a guard as well
            return self.write(target, prior.value)
        self._take_back(target, prior)
        return self._let_guard_go(target)

    def leave_guards(self) -> None:
        """Keep in force what we end without having taken back; a killed process cannot."""
        for guard in self._guards.values():
            guard.stay()
        self._guards.clear()

    def contradiction(self, target: Target, value: str) -> str:
        """Return what its first thread is instead: who names a process to chrt(1) means that."""
        first = self.first(target).schedule
        if first.policy == ROUND_ROBIN and first.priority == int(value):
            return ""
        return f"its first thread is {first.scheduling_class}"

    def shell(self, tid: int, part: str) -> str:
        """Return the call of chrt(1)."""
        return chrt(part, tid)

    def shell_for_all(self, pid: int, part: str) -> str:
        """Return the call of chrt(1)."""
        return chrt(part, pid, "--all-tasks")

    def _guard(self, target: Target, prior: State, priority: int) -> None:
        watched = realtime_guard.Watched(
            host=self.host,
            priority=priority,
            turned=lambda: self._turned(target),
            take_back=lambda: self._take_back(target, prior),
        )
        self._guards[target] = realtime_guard.start(watched)
        atexit.unregister(self.leave_guards)  # once is enough
        atexit.register(self.leave_guards)

    def _let_guard_go(self, target: Target) -> None:
        """End its guard, which takes back what is still in force."""
        if guard := self._guards.pop(target, None):
            guard.end()

    def _turned(self, target: Target) -> list[Thread]:
        try:
            return [each for each in self.living(target) if each.schedule.is_guarded]
        except TargetVanishedError:
            return []

    def _take_back(self, target: Target, prior: State) -> None:
        before = Prior.of(prior)
        inherited = Schedule.parse(before.inherited(int(target.name), OTHER))

        def put_back(thread: Thread) -> bool:
            part = before.turned.get(thread.task.key)
            was = Schedule.parse(part) if part else replace(inherited, resets_on_fork=False)
            if was.is_guarded:
                was = Schedule(OTHER, nice=was.nice)
            if thread.schedule.is_guarded:
                self.scheduler.set_policy(thread.tid, was)
                return True
            # Born of a real-time thread: without us it had inherited this one's nice value.
            if not part and thread.schedule == Schedule(OTHER) != was:
                self.scheduler.set_nice(thread.tid, was.nice)
                return True
            return False

        self.turn_until_done(lambda: self.turn_each(self.heirs(target, before), put_back))

    def _has_budget(self, target: Target) -> bool:
        directory = cpu_group_directory(self.host, int(target.name))
        budget = directory / "cpu.rt_runtime_us" if directory else None
        return not (budget and budget.exists() and self.host.read(budget) == "0")
