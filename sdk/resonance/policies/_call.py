# SPDX-License-Identifier: MIT
"""One call, and the attempts that are made for it.

A call is its own first attempt: most calls need no other, and then nothing else is made for
them. What is extra, a copy or a retry, is an `Extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import Any, Literal

import msgspec

from resonance.policies._failure import Failure
from resonance.policies._reasons import Reason
from resonance.policies._records import TaskHint
from resonance.policies._replica import Replica

__all__ = ["Attempt", "Call", "Extra", "Step"]


class _Beginning(msgspec.Struct, eq=False):
    """What each attempt is told by position, which is quicker."""

    replica: Replica
    started_at: float


class Attempt(_Beginning, eq=False, kw_only=True):
    """One attempt of a call.

    Attributes
    ----------
    replica : Replica
        Where it went.
    started_at : float
        When it was begun, on the client's clock in seconds.
    number : int
        1 for the first of its call.
    is_hedge : bool
        A copy, made while another attempt was under way.
    is_cancelled : bool
        Nobody waits for it any more.
    """

    number: int = 1
    is_hedge: bool = False
    is_cancelled: bool = False
    _cancel: Callable[[], object] | None = None

    @property
    def is_open(self) -> bool:
        """It has not ended yet, and counts as in flight."""
        return self in self.replica.open

    @property
    def target(self) -> Any:
        """What the application calls the replica."""
        return self.replica.target

    @property
    def call(self) -> Call:
        """The call that this is an attempt of."""
        raise NotImplementedError

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Say how this attempt is cancelled, such as by closing its socket.

        Parameters
        ----------
        callback : callable
            Called once, from any thread, when nobody waits for this attempt any more; at once
            when that is so already. It takes the place of one that was given before.
        """
        self._cancel = callback
        if self.is_cancelled:
            self.cancel()

    def cancel(self) -> None:
        """Tell the attempt that nobody waits for it; it still ends by itself."""
        self.is_cancelled = True
        callback, self._cancel = self._cancel, None
        if callback is not None:
            callback()


class Call(Attempt, eq=False):
    """A call, and its first attempt.

    Attributes
    ----------
    service : Service
        Whose call it is.
    targets : sequence or None
        Its replicas as the caller named them; they may change meanwhile. ``None`` where the
        function itself knows where to go.
    hint : TaskHint
    deadline : float
        When it is over, on the client's clock.
    due_at : float
        When `Service.due` is to be asked; infinity: not at all.
    hedge_delay : float
        Seconds after which a copy is, or would be, sent; infinity: not known.
    is_asked_to_repeat : bool
        The caller asked for retries of just this.
    is_retried_above : bool
        It is part of a call of this process that retries.
    is_repeated : bool
        It serves a request that is a retry of another process.
    is_retrying : bool
        The delay before a retry has begun, and is not over.
    retries : int
    retries_at_pushback : int
        How many there were when the server said when to come again, which delays begin anew at.
    last_delay : float
        Seconds before the last retry.
    would_hedge_at : float
        When a copy would have been sent, but for the mode.
    is_settled : bool
        It has its result, or will have none.
    winner : Attempt or None
        Whose result it has.
    failed : tuple of Attempt and Failure, or None
        What failed last, since a retry began, and how.
    extras : list of Extra
        Attempts after the first, in order.
    plan, flight : object
        What the driver of this call may need for more than its first attempt, and what looks
        after it once it does.
    """

    service: Any
    targets: Sequence[Hashable] | None
    hint: TaskHint
    deadline: float
    key: Hashable
    due_at: float = inf
    hedge_delay: float = inf
    is_settled: bool = False
    winner: Attempt | None = None
    failed: tuple[Attempt, Failure] | None = None
    extras: list[Extra] | None = None
    notes: list[Reason] | None = None
    plan: Any = None
    flight: Any = None
    would_hedge_at: float = inf
    is_asked_to_repeat: bool = False
    is_retried_above: bool = False
    is_repeated: bool = False
    is_retrying: bool = False
    retries: int = 0
    retries_at_pushback: int = 0
    last_delay: float = 0.0

    @property
    def call(self) -> Call:
        """The call itself."""
        return self

    @property
    def attempts(self) -> int:
        """How many were begun."""
        return 1 + len(self.extras) if self.extras else 1

    @property
    def useful_until(self) -> float:
        """When its result is worth less, or nothing, on the client's clock."""
        soft = self.hint.soft_deadline
        return self.deadline if soft is None else min(self.deadline, self.started_at + soft)

    @property
    def hedges(self) -> int:
        """How many of them are copies."""
        return sum(each.is_hedge for each in self.extras) if self.extras else 0

    def open_attempts(self) -> list[Attempt]:
        """Return the attempts that have not ended."""
        attempts: list[Attempt] = [self, *(self.extras or ())]
        return [each for each in attempts if each.is_open]

    def awaited_attempts(self) -> list[Attempt]:
        """Return those of them whose end may still be the end of the call."""
        return [each for each in self.open_attempts() if not each.is_cancelled]

    def tried(self) -> list[Replica]:
        """Return where attempts were sent."""
        return [self.replica, *(each.replica for each in self.extras or ())]

    def note(self, reason: Reason) -> None:
        """Remember why something was done, or not done; each reason once."""
        if self.notes is None:
            self.notes = [reason]
        elif reason not in self.notes:
            self.notes.append(reason)


class Extra(Attempt, eq=False, kw_only=True):
    """A copy or a retry."""

    of: Call

    @property
    def call(self) -> Call:
        """The call that this is an attempt of."""
        return self.of


class Step(msgspec.Struct, frozen=True):
    """What to do after an attempt has failed.

    Attributes
    ----------
    verdict : {"wait", "retry", "raise"}
        Wait for another attempt that is under way; begin another one; or let the caller have
        the failure.
    delay : float
        Seconds before the retry.
    """

    verdict: Literal["wait", "retry", "raise"]
    delay: float = 0.0
