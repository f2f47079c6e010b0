# SPDX-License-Identifier: MIT
"""What do tasks in threads and in asyncio have in common?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextvars import Context
from typing import Any, Final, Generic, TypeVar

from resonance.client._line import forks
from resonance.deadlines import remaining
from resonance.policies._outcome import Outcome
from resonance.policies._reasons import Reason
from resonance.policies._records import NO_HINT, TaskHint

__all__ = ["FORKED", "TaskBase", "within_deadline"]

T = TypeVar("T")

FORKED: Final = "this task belongs to the process that was forked, which alone runs it"


class TaskBase(ABC, Generic[T]):
    """What all tasks have.

    Parameters
    ----------
    work : object
        The function to call, or the item to be part of a batch; let go of at the end.
    hint : TaskHint, optional
    submitted_at : float
        On the client's clock.
    context : contextvars.Context, optional
        In which it runs.

    Attributes
    ----------
    reasons : tuple of Reason
        What was decided, in order; empty while it waits. `resonance.policies.SENTENCES` has
        them in words.
    """

    __slots__ = (
        "__weakref__",
        "_elapsed_seconds",
        "_forks",
        "_has_result",
        "_result",
        "context",
        "hint",
        "reasons",
        "submitted_at",
        "work",
    )

    _result: T

    def __init__(
        self,
        work: Any,
        hint: TaskHint | None,
        submitted_at: float,
        context: Context | None = None,
    ) -> None:
        self.work: Any = work
        self.hint = hint
        self.submitted_at = submitted_at
        self.context = context
        self.reasons: tuple[Reason, ...] = ()
        self._elapsed_seconds = 0.0
        self._has_result = False
        self._forks = forks()

    @property
    def id(self) -> str | None:
        """What its hint calls it."""
        return self.hint.id if self.hint is not None else None

    @property
    def outcome(self) -> Outcome[T] | None:
        """The result, and what was done to get it; ``None`` without a result."""
        if not self._has_result:
            return None
        return Outcome(self._result, elapsed_seconds=self._elapsed_seconds, reasons=self.reasons)

    @abstractmethod
    def done(self) -> bool:
        """Return whether it has ended, in any way."""

    @abstractmethod
    def succeed(self, result: T, now: float) -> None:
        """End it with a result; for who runs it."""

    @abstractmethod
    def fail(self, error: BaseException, now: float) -> None:
        """End it with an exception; for who runs it."""

    def _is_foreign(self) -> bool:
        """Whether another process, from which this one was forked, is to end it."""
        return self._forks != forks()

    def _keep(self, result: T, now: float) -> None:
        self._result = result
        self._has_result = True
        self._elapsed_seconds = now - self.submitted_at

    def _drop(self) -> None:
        """Let go of what is of no use after the end."""
        self.work = self.context = None

    def __repr__(self) -> str:
        name = "" if self.id is None else f" {self.id!r}"
        return f"<{type(self).__name__}{name}, {'done' if self.done() else 'not done'}>"


def within_deadline(hint: TaskHint | None) -> TaskHint | None:
    """Return a hint under which nothing waits longer than the deadline it is submitted in allows.

    Parameters
    ----------
    hint : TaskHint, optional

    Returns
    -------
    TaskHint or None
        The same one where it asks for no less; ``None``: there is neither a hint nor a deadline.
    """
    left_seconds = remaining()
    if left_seconds is None:
        return hint
    if left_seconds <= 0.0:
        return (hint or NO_HINT).replace(must_run_now=True)
    if hint is None:
        return TaskHint(soft_deadline=left_seconds, max_batch_latency=left_seconds)
    if hint.soft_deadline is not None and hint.soft_deadline <= left_seconds:
        return hint
    return hint.replace(soft_deadline=left_seconds)
