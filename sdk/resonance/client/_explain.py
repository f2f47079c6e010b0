# SPDX-License-Identifier: MIT
"""What happened to a call, in sentences."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from resonance.policies import SENTENCES, Outcome, Reason

__all__ = ["Explained", "explain"]


@runtime_checkable
class Explained(Protocol):
    """A task: it has an outcome once it is done, and reasons before."""

    @property
    def outcome(self) -> Outcome[Any] | None:
        """What became of it, or ``None`` while it is under way or when it failed."""
        ...

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What was decided so far."""
        ...


def explain(subject: Outcome[Any] | Explained) -> str:
    """Return what happened to a task or a call, one line per decision.

    Parameters
    ----------
    subject : Outcome or Task

    Returns
    -------
    str

    Examples
    --------
    >>> from resonance.policies import Outcome, Reason
    >>> print(explain(Outcome("page", "b", 0.0123, (Reason.CHOSEN,))))
    answered by b in 12.3 ms, with 1 attempt
      chosen: chosen among the replicas by their state
    """
    outcome = subject if isinstance(subject, Outcome) else subject.outcome
    reasons = outcome.reasons if outcome is not None else subject.reasons
    lines = [_headline(outcome)] if outcome is not None else ["not done"]
    return "\n".join([*lines, *(f"  {reason}: {SENTENCES[reason]}" for reason in reasons)])


def _headline(outcome: Outcome[Any]) -> str:
    times = "1 attempt" if outcome.attempts == 1 else f"{outcome.attempts} attempts"
    who = "done" if outcome.target is None else f"answered by {outcome.target}"
    line = f"{who} in {outcome.elapsed_seconds * 1e3:.1f} ms, with {times}"
    if outcome.hedge_fired and outcome.hedge_delay is not None:
        line += f", a copy after {outcome.hedge_delay * 1e3:.1f} ms"
    return line
