# SPDX-License-Identifier: MIT
"""What is known of one replica, by one client."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf

__all__ = ["Replica"]


class Replica:
    """The state of one replica, as one service of one client sees it.

    What is in flight is a set of attempts, not a number: an attempt that has ended is not in it,
    however often its end is told.

    Parameters
    ----------
    target : hashable
        What the application calls it, such as an address; passed to its function.

    Attributes
    ----------
    target : hashable
    open : set of object
        Attempts of ours that have begun there and not ended.
    answers : list of float
        What its latest successes took, in seconds, not yet learned from.
    answered : int
        Successes that were learned from.
    cost_seconds : float
        Average latency that jumps up to each slower reply and decays; 0 while none is known.
    cost_at : float
        When it was last updated, on the client's clock.
    pressure : float or None
        Share of time its tasks wait for a CPU, 0 to 1; ``None`` is not known, never bad.
    pressure_until : float
        When that stops being known, on the client's clock.
    utilization : float or None
        What it said of itself in its last load report, 0 to 1 and above when overloaded.
    failures_in_a_row : int
    ejected_until : float
        When it is considered again, on the client's clock; minus infinity: it is not ejected.
    ejections : int
        In a row.
    """

    __slots__ = (
        "answered",
        "answers",
        "cost_at",
        "cost_seconds",
        "ejected_until",
        "ejections",
        "failures_in_a_row",
        "open",
        "pressure",
        "pressure_until",
        "target",
        "utilization",
    )

    def __init__(self, target: Hashable) -> None:
        self.target = target
        self.open: set[object] = set()
        self.answers: list[float] = []
        self.answered = 0
        self.cost_seconds = 0.0
        self.cost_at = -inf
        self.pressure: float | None = None
        self.pressure_until = -inf
        self.utilization: float | None = None
        self.failures_in_a_row = 0
        self.ejected_until = -inf
        self.ejections = 0

    @property
    def inflight(self) -> int:
        """Attempts of ours that have begun there and not ended."""
        return len(self.open)

    def known_pressure(self, now: float) -> float | None:
        """Return the pressure, unless it is too old to say anything.

        Parameters
        ----------
        now : float
            On the client's clock.

        Returns
        -------
        float or None
            Share of time its tasks wait for a CPU, 0 to 1.
        """
        return self.pressure if now <= self.pressure_until else None

    def take_answers(self) -> list[float]:
        """Return the answers not yet learned from; what is added meanwhile stays."""
        answers = self.answers[:]
        del self.answers[: len(answers)]
        self.answered += len(answers)
        return answers

    def __repr__(self) -> str:
        return f"Replica({self.target!r}, inflight={self.inflight})"
