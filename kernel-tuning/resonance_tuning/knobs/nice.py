# SPDX-License-Identifier: MIT
"""How much of a contended CPU does a process get? The nice value of all its threads."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Final

from resonance_tuning.host import Host
from resonance_tuning.records import State, Target
from resonance_tuning.surfaces.thread_knob import Prior, ThreadKnob
from resonance_tuning.surfaces.threads import FAIR, Schedule, Scheduler, Thread

__all__ = ["Nice"]

_VALUES: Final = range(-20, 20)


class Nice(ThreadKnob):
    """The nice value of every thread of a process.

    The value of a process is its first thread's, as ``renice -p`` takes it. It is turned
    first and put back last: whenever a crash comes, it tells which value of the others is
    ours. Where sessions have groups of their own (`Autogroup`) it counts within the session.
    """

    name: ClassVar[str] = "nice"
    summary: ClassVar[str] = (
        "The share of a contended CPU of each thread of the process, -20 (most) to 19: each step "
        "is worth a quarter."
    )
    rung: ClassVar[int] = 2

    def __init__(self, host: Host, scheduler: Scheduler | None = None) -> None:
        super().__init__(host, scheduler)
        self._ours: dict[Target, set[int]] = {}

    def parse(self, value: object) -> str:
        """Return a nice value."""
        if type(value) is not int or value not in _VALUES:
            raise ValueError(f"a nice value is a whole number of -20..19, not {value!r}")
        return str(value)

    def turns(self, schedule: Schedule) -> bool:
        """Tell whether it is of a fair class, or was until we turned it (`Realtime`)."""
        return schedule.policy in FAIR or schedule.is_guarded

    def value_of(self, turned: list[Schedule]) -> str:
        """Return the first thread's."""
        return str(turned[0].nice) if turned else ""

    def part(self, schedule: Schedule) -> str:
        """Return the nice value."""
        return str(schedule.nice)

    def write(self, target: Target, value: str) -> None:
        """Turn all threads, those too that are born meanwhile."""
        wanted = int(value)
        self._ours[target] = {wanted}

        def turn(thread: Thread) -> bool:
            if not self.turns(thread.schedule) or thread.schedule.nice == wanted:
                return False
            self.scheduler.set_nice(thread.tid, wanted)
            return True

        self.turn_until_done(lambda: self.turn_each(self.living(target), turn))

    def is_ours(self, target: Target, found: str, written: Collection[str]) -> bool:
        """Tell whether any thread still has our value: whoever turned the first has that one."""
        self._ours[target] = {int(value) for value in written}
        nices = {thread.schedule.nice for thread in self.only(self.living(target))}
        return found in written or bool(nices & self._ours[target])

    def restore(self, target: Target, prior: State) -> None:
        """Put back each thread that still has our value, and what inherited it."""
        before = Prior.of(prior)
        turned = self.only(self.living(target))
        if not turned:
            return
        first = turned[0]
        ours = self._ours.pop(target, {first.schedule.nice})
        inherited = before.inherited(int(target.name), prior.value)

        def put_back(thread: Thread) -> bool:
            was = int(before.turned.get(thread.task.key, inherited))
            nice = thread.schedule.nice
            if nice not in ours or nice == was or not self.turns(thread.schedule):
                return False
            self.scheduler.set_nice(thread.tid, was)
            return True

        def put_back_others() -> bool:
            heirs = self.heirs(target, before)
            return self.turn_each([each for each in heirs if each.task != first.task], put_back)

        self.turn_until_done(put_back_others)
        if self.turn_each([first], put_back):
            self.turn_until_done(put_back_others)  # what the first one made meanwhile

    def shell(self, tid: int, part: str) -> str:
        """Return the call of renice(1), which takes threads by their number too."""
        return f"renice -n {part} -p {tid}"

    def shell_for_all(self, pid: int, part: str) -> str:
        """Return the call of renice(1) for each thread there is by then."""
        return f"renice -n {part} -p $(ls /proc/{pid}/task)"
