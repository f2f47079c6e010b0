# SPDX-License-Identifier: MIT
"""How long may a task be held back for a better moment?

The micro-delay: work that nobody misses for some milliseconds stands back while tasks of this
process wait for a CPU, or until a valley of the node's periodic work. It is only moved, never
doubled or dropped; where pressure or rhythm are not known, it is not held at all.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from math import inf
from typing import Final, Generic, TypeVar

from resonance.policies._batching import ASK_SECONDS, Departure, NextValley, OwnPressure
from resonance.policies._reasons import Reason
from resonance.policies._records import TaskHint

__all__ = ["Holding", "deferral", "may_hold"]

M = TypeVar("M", bound=Hashable)

_BUSY_PRESSURE: Final = 0.5
"""*Chosen*: as where a batch is held open, and where a hedge is advanced."""
_MICRO_DELAY_SECONDS: Final = 0.007
"""*Chosen*: what a timer may be moved by, too; a user does not see it."""
_DEADLINE_SHARE: Final = 0.05
"""*Chosen*: of the time a task has, so that a delay is never what makes it late."""


def may_hold(hint: TaskHint) -> bool:
    """Return whether a task may be held back for a better moment.

    Parameters
    ----------
    hint : TaskHint
    """
    return (
        hint.max_deferral > 0.0
        and hint.task_class != "interactive"
        and hint.importance != "critical"
        and not hint.must_run_now
    )


def deferral(
    hint: TaskHint, own_pressure: OwnPressure, next_valley: NextValley
) -> tuple[Reason, float] | None:
    """Return why a task is held back, and for how many seconds at most; ``None``: not at all.

    The bound is its ``max_deferral``, and a twentieth of its soft deadline. A task of class
    ``batchable``, for which somebody waits, stands back for others by 7 ms at most; only
    ``background`` work does so longer.

    Parameters
    ----------
    hint : TaskHint
    own_pressure, next_valley : callable

    Returns
    -------
    tuple of Reason and float, or None
    """
    if not may_hold(hint):
        return None
    bound = hint.max_deferral
    if hint.soft_deadline is not None:
        bound = min(bound, _DEADLINE_SHARE * hint.soft_deadline)
    if hint.phase_affinity == "valley":
        seconds = next_valley(bound)
        if seconds > 0.0:
            return Reason.DEFERRED_FOR_VALLEY, min(seconds, bound)
    if not _is_above(own_pressure(), _BUSY_PRESSURE):
        return None
    if hint.task_class == "batchable":
        bound = min(bound, _MICRO_DELAY_SECONDS)
    return Reason.DEFERRED_FOR_PRESSURE, bound


class Holding(Generic[M]):
    """Tasks that are held back for a better moment; each goes by itself.

    Parameters
    ----------
    own_pressure, next_valley : callable
        Asked for each task that may be held; the pressure also every 5 ms while tasks are
        held because of it.
    """

    def __init__(self, own_pressure: OwnPressure, next_valley: NextValley) -> None:
        self._own_pressure = own_pressure
        self._next_valley = next_valley
        self._begin()

    def _begin(self) -> None:
        self._held: dict[M, Reason] = {}
        self._for_pressure: dict[M, None] = {}
        self._order: list[tuple[float, int, M]] = []
        self._number = 0
        self._ask_at = inf

    def __len__(self) -> int:
        return len(self._held)

    @property
    def due_at(self) -> float:
        """When `due` must be asked next; infinity when nothing waits."""
        return min(self._order[0][0], self._ask_at) if self._order else inf

    def add(self, member: M, hint: TaskHint | None, now: float) -> tuple[Departure[M], ...]:
        """Hold a task back, or let it go at once where nothing is gained.

        Parameters
        ----------
        member : hashable
            Not a member yet.
        hint : TaskHint, optional
            ``None``: it is not held.
        now : float
            Seconds, monotonic.

        Returns
        -------
        tuple of Departure
            Itself, or nothing.
        """
        held = deferral(hint, self._own_pressure, self._next_valley) if hint else None
        if held is None:
            return (Departure(Reason.RAN_AT_ONCE, (member,)),)
        reason, seconds = held
        self._number += 1
        heapq.heappush(self._order, (now + seconds, self._number, member))
        self._held[member] = reason
        if reason is Reason.DEFERRED_FOR_PRESSURE:
            if not self._for_pressure:
                self._ask_at = now + ASK_SECONDS
            self._for_pressure[member] = None
        return ()

    def due(self, now: float) -> tuple[Departure[M], ...]:
        """Return the tasks that go now.

        Parameters
        ----------
        now : float
            Seconds, monotonic.

        Returns
        -------
        tuple of Departure
            One for each task.
        """
        going: list[M] = []
        while self._order and self._order[0][0] <= now:
            member = heapq.heappop(self._order)[2]
            if member in self._held:  # else it was taken out
                going.append(member)
        departures = [self._go(member) for member in going]
        if now >= self._ask_at and self._for_pressure:
            self._ask_at = now + ASK_SECONDS
            if not _is_above(self._own_pressure(), _BUSY_PRESSURE):
                departures += [self._go(member) for member in tuple(self._for_pressure)]
        return tuple(departures)

    def discard(self, member: M) -> bool:
        """Take a task out; return whether it was still held.

        Parameters
        ----------
        member : hashable
        """
        if member not in self._held:
            return False
        self._go(member)
        if len(self._order) > 2 * len(self._held):
            self._order = [each for each in self._order if each[2] in self._held]
            heapq.heapify(self._order)
        return True

    def flush(self) -> tuple[Departure[M], ...]:
        """Return all tasks that are held."""
        return tuple([self._go(member) for member in tuple(self._held)])

    def _go(self, member: M) -> Departure[M]:
        reason = self._held.pop(member)
        self._for_pressure.pop(member, None)
        if not self._for_pressure:
            self._ask_at = inf
        if not self._held:
            self._begin()
        return Departure(reason, (member,))


def _is_above(pressure: float | None, bound: float) -> bool:
    return pressure is not None and pressure > bound
