# SPDX-License-Identifier: MIT
"""When does a batch go?

`Gathering` is one open batch, without a clock of its own: it goes when it is full, when a
member may wait no longer, when tasks of this process stop waiting for a CPU, or in a valley of
the node's periodic work. A driver that asks `due` no later than `due_at` keeps every bound and
loses nobody; what is *not* known holds nothing back. Work that stands back alone, without
others to wait for, is in `resonance.policies._holding`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from resonance.policies._reasons import Reason
from resonance.policies._records import BatchPolicy, TaskHint

__all__ = [
    "ASK_SECONDS",
    "Departure",
    "Gathering",
    "NextValley",
    "OwnPressure",
    "Queue",
    "may_gather",
]

M = TypeVar("M", bound=Hashable)
M_co = TypeVar("M_co", bound=Hashable, covariant=True)

OwnPressure = Callable[[], float | None]
"""Share of time that tasks of this process wait for a CPU, 0 to 1; ``None``: not known."""
NextValley = Callable[[float], float]
"""Seconds until the node is least busy with periodic work, within a bound; 0: now, or unknown."""

ASK_SECONDS: Final = 0.005
"""How often a busy node is asked whether it still is: as often as the daemon writes it anew."""
_SLACK_SHARE: Final = 0.5
"""*Chosen*: the other half of the slack is for a worker to come free, and for a slower run."""
_USUAL_DECAY: Final = 0.1
"""*Chosen*: a slow run is remembered for some ten runs."""


class Departure(NamedTuple, Generic[M_co]):
    """Members that leave a queue together.

    Attributes
    ----------
    reason : Reason
        Why now.
    members : tuple
        In the order in which they came.
    """

    reason: Reason
    members: tuple[M_co, ...]


class Queue(Protocol[M]):
    """What waits, as a driver with a clock sees it."""

    @property
    def due_at(self) -> float:
        """When `due` must be asked next; infinity when nothing waits."""
        ...

    def __len__(self) -> int: ...

    def add(self, member: M, hint: TaskHint | None, now: float) -> tuple[Departure[M], ...]:
        """Let a member wait.

        Parameters
        ----------
        member : hashable
            Not a member yet.
        hint : TaskHint, optional
            What is known about it.
        now : float
            Seconds, monotonic.

        Returns
        -------
        tuple of Departure
            What goes because of it; that may be itself.
        """
        ...

    def due(self, now: float) -> tuple[Departure[M], ...]:
        """Return what goes now; nothing before `due_at`."""
        ...

    def discard(self, member: M) -> bool:
        """Take a member out; return whether it still waited."""
        ...

    def flush(self) -> tuple[Departure[M], ...]:
        """Return all that waits; it goes now."""
        ...


def may_gather(hint: TaskHint) -> bool:
    """Return whether a task may wait for others of its kind.

    Parameters
    ----------
    hint : TaskHint
    """
    return hint.can_batch and hint.max_batch_latency > 0.0 and not hint.must_run_now


class Gathering(Generic[M]):
    """One open batch, and after it the next.

    Parameters
    ----------
    policy : BatchPolicy
    own_pressure, next_valley : callable
        Asked when a batch is opened, and the pressure every 5 ms while it is high.

    Attributes
    ----------
    due_at : float
        When `due` must be asked next; infinity when nothing waits.

    Examples
    --------
    >>> batch = Gathering[str](BatchPolicy(max_size=2), lambda: None, lambda within: 0.0)
    >>> batch.add("a", None, now=10.0), batch.due_at
    ((), 10.025)
    >>> batch.add("b", None, now=10.001)
    (Departure(reason=<Reason.BATCH_FULL: 'batch_full'>, members=('a', 'b')),)
    """

    def __init__(
        self, policy: BatchPolicy, own_pressure: OwnPressure, next_valley: NextValley
    ) -> None:
        self._policy = policy
        self._own_pressure = own_pressure
        self._next_valley = next_valley
        self._usual_seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        self._members: dict[M, None] = {}
        self._latest_at = inf
        self._valley_at = inf
        self._ask_at = inf
        self._was_busy = False
        self.due_at = inf

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: M, hint: TaskHint | None, now: float) -> tuple[Departure[M], ...]:
        """Let a member wait for others.

        One that must run now goes alone; one that may not wait takes the others with it.

        Parameters
        ----------
        member : hashable
            Not a member yet.
        hint : TaskHint, optional
            ``None``: it may wait as long as the policy says.
        now : float
            Seconds, monotonic.

        Returns
        -------
        tuple of Departure
            What goes because of it.
        """
        seconds = self._longest_wait(hint)
        is_alone = not self._members and seconds <= 0.0
        if is_alone or (hint is not None and hint.must_run_now):
            return (Departure(Reason.RAN_AT_ONCE, (member,)),)
        if not self._members:
            self._open(now, seconds)
        elif now + seconds < self._latest_at:
            self._latest_at = now + seconds
            self.due_at = min(self.due_at, self._latest_at)
        self._members[member] = None
        if len(self._members) >= self._policy.max_size:
            return self._go(Reason.BATCH_FULL)
        return self.due(now)

    def due(self, now: float) -> tuple[Departure[M], ...]:
        """Return the batch if it goes now.

        Parameters
        ----------
        now : float
            Seconds, monotonic.

        Returns
        -------
        tuple of Departure
            One, or none.
        """
        if now < self.due_at:
            return ()
        if now >= min(self._latest_at, self._valley_at):
            is_valley = self._valley_at < self._latest_at
            return self._go(Reason.BATCH_VALLEY if is_valley else Reason.BATCH_LATENCY)
        if self._look(now):
            return self._go(Reason.BATCH_PRESSURE_CLEARED)
        return ()

    def discard(self, member: M) -> bool:
        """Take a member out; return whether it still waited.

        Its bound goes on to count for the others, until none is left.

        Parameters
        ----------
        member : hashable
        """
        if member not in self._members:
            return False
        del self._members[member]
        if not self._members:
            self._begin()
        return True

    def flush(self) -> tuple[Departure[M], ...]:
        """Return the batch, whether it is due or not."""
        return self._go(Reason.BATCH_FLUSHED) if self._members else ()

    def ran(self, elapsed_seconds: float) -> None:
        """Learn how long a batch takes: what remains of a soft deadline must be enough for it.

        Parameters
        ----------
        elapsed_seconds : float
            From the begin of its first task to the end of its last.
        """
        slower = elapsed_seconds - self._usual_seconds
        self._usual_seconds += slower if slower > 0.0 else _USUAL_DECAY * slower

    def _longest_wait(self, hint: TaskHint | None) -> float:
        longest = self._policy.max_latency
        if hint is None:
            return longest
        longest = min(longest, hint.max_batch_latency)
        if hint.soft_deadline is None:
            return longest
        return min(longest, _SLACK_SHARE * (hint.soft_deadline - self._usual_seconds))

    def _open(self, now: float, seconds: float) -> None:
        self._latest_at = now + seconds
        if self._policy.in_valley:
            valley_seconds = self._next_valley(seconds)
            if 0.0 < valley_seconds < seconds:
                self._valley_at = now + valley_seconds
        self._look(now)

    def _look(self, now: float) -> bool:
        """Ask for the pressure, and say whether it has cleared; plan the next time and the end."""
        pressure, bound = self._own_pressure(), self._policy.until_pressure_below
        is_busy = bound > 0.0 and pressure is not None and pressure >= bound
        has_cleared = self._was_busy and pressure is not None and pressure < bound
        self._was_busy |= is_busy
        self._ask_at = now + ASK_SECONDS if is_busy else inf
        self.due_at = min(self._latest_at, self._valley_at, self._ask_at)
        return has_cleared

    def _go(self, reason: Reason) -> tuple[Departure[M], ...]:
        members = tuple(self._members)
        self._begin()
        return (Departure(reason, members),)
