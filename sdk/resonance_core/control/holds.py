# SPDX-License-Identifier: MIT
"""How long is each source held, and how much more may it be?

A hold is absolute and changes by one step per cycle, as every actuator enforces. So where a
source is between two commands is known without asking it; where it reports its hold, that is
what counts. Each source has a bucket of delay: capacity 1.5 periods, refilled with a
thousandth of a period per cycle, spent when a hold is commanded to grow. It bounds what a
wrong estimate or a drifting source can cost: at most 1.5 T + 0.001 T per cycle in total.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.estimate import Bools
from resonance_core.control.records import Floats
from resonance_core.control.roster import Rows

__all__ = ["BUCKET_PERIODS", "REFILL_PERIODS", "SETTLED_SECONDS", "Holds"]

BUCKET_PERIODS: Final = 1.5
"""*Chosen* with the simulation: one full acquisition and half of another."""
REFILL_PERIODS: Final = 0.001
"""Per cycle; *chosen*: a source that drifts costs a thousandth of its time at most."""
SETTLED_SECONDS: Final = 1e-6
"""A hold that is off by less is there; far below what a timer can do."""


class Holds:
    """Holds by row of the roster.

    Attributes
    ----------
    now_seconds, ordered_seconds, target_seconds : (rows,) float64
        Hold in force, the one that it moves to, and the one the plan wants in the end; NaN
        where the plan does not name the source.
    step_seconds, periods_seconds : (rows,) float64
        Longest change per cycle; the period.
    tokens_seconds, spent_seconds : (rows,) float64
        What a hold may still grow by; all growth since the source registered.
    """

    def __init__(self) -> None:
        self.now_seconds: Floats = np.zeros(0)
        self.ordered_seconds: Floats = np.zeros(0)
        self.target_seconds: Floats = np.zeros(0)
        self.step_seconds: Floats = np.zeros(0)
        self.periods_seconds: Floats = np.ones(0)
        self.tokens_seconds: Floats = np.zeros(0)
        self.spent_seconds: Floats = np.zeros(0)

    def place(
        self, row: int, capacity: int, period_seconds: float, step_seconds: float, hold: float
    ) -> None:
        """Begin with a source that is held already, or not; its bucket is full.

        Parameters
        ----------
        row : int
            Of the roster.
        capacity : int
            Rows that the roster has now.
        period_seconds : float
            Above 0.
        step_seconds : float
            Longest change per cycle, above 0.
        hold : float
            In force, seconds, 0 to below the period.
        """
        missing = capacity - len(self.now_seconds)
        if missing > 0:
            self._grow(missing)
        self.now_seconds[row] = hold
        self.ordered_seconds[row] = hold
        self.target_seconds[row] = math.nan
        self.step_seconds[row] = step_seconds
        self.periods_seconds[row] = period_seconds
        self.tokens_seconds[row] = BUCKET_PERIODS * period_seconds
        self.spent_seconds[row] = 0.0

    def jump(self, row: int, hold_seconds: float) -> None:
        """Let a source begin with a hold: a new schedule, which costs nothing."""
        self.now_seconds[row] = hold_seconds
        self.ordered_seconds[row] = hold_seconds
        self.target_seconds[row] = hold_seconds

    def vacate(self, row: int) -> None:
        """Forget a source that has left."""
        self.place(row, len(self.now_seconds), 1.0, 1.0, 0.0)

    def forget_wishes(self) -> None:
        """Let no plan name any source."""
        self.target_seconds[:] = math.nan

    def clear(self) -> None:
        """Let every source be without a hold, and every bucket full."""
        self.forget_wishes()
        self.now_seconds[:] = self.ordered_seconds[:] = self.spent_seconds[:] = 0.0
        self.tokens_seconds[:] = BUCKET_PERIODS * self.periods_seconds

    def advance(self, elapsed_seconds: float) -> None:
        """Let time pass: holds move towards what was ordered, buckets fill."""
        cycles = elapsed_seconds / self.periods_seconds
        reach = self.step_seconds * cycles
        gap = self.ordered_seconds - self.now_seconds
        self.now_seconds += np.clip(gap, -reach, reach)
        full = BUCKET_PERIODS * self.periods_seconds
        np.minimum(
            self.tokens_seconds + REFILL_PERIODS * elapsed_seconds, full, out=self.tokens_seconds
        )

    def lose_track(self) -> None:
        """Let nobody know how much time passed: what was ordered may be done, and is paid for."""
        np.maximum(self.now_seconds, self.ordered_seconds, out=self.now_seconds)

    def correct(self, row: int, hold_seconds: float) -> None:
        """Believe what a source says of its own hold."""
        if math.isfinite(hold_seconds) and 0.0 <= hold_seconds < self.periods_seconds[row]:
            self.now_seconds[row] = hold_seconds

    def order(self, rows: Rows, wanted_seconds: Floats) -> Floats:
        """Order holds as far as the buckets allow, and return what was ordered.

        Parameters
        ----------
        rows : (n,) intp
        wanted_seconds : (n,) float64
            At least 0 and below the period.

        Returns
        -------
        (n,) float64
            Less than wanted where a bucket is too empty.
        """
        # what was ordered before and not yet carried out was paid for
        paid = np.maximum(self.ordered_seconds[rows], self.now_seconds[rows])
        price = np.maximum(wanted_seconds - paid, 0.0)
        granted = np.minimum(price, self.tokens_seconds[rows])
        unused = np.maximum(
            self.ordered_seconds[rows] - np.maximum(wanted_seconds, self.now_seconds[rows]), 0.0
        )
        ordered = np.where(price > 0.0, paid + granted, wanted_seconds)
        self.tokens_seconds[rows] += unused - granted
        self.spent_seconds[rows] += granted - unused
        self.ordered_seconds[rows] = ordered
        return ordered

    def is_held(self, rows: Rows) -> Bools:
        """Return which of these sources are held, or will be."""
        held: Bools = (self.now_seconds[rows] > 0.0) | (self.ordered_seconds[rows] > 0.0)
        return held

    def is_settled(self, rows: Rows) -> bool:
        """Say whether each of these sources is where it was ordered to."""
        gap = np.abs(self.ordered_seconds[rows] - self.now_seconds[rows])
        return bool((gap <= SETTLED_SECONDS).all())

    def _grow(self, missing: int) -> None:
        zeros = np.zeros(missing)
        self.now_seconds = np.concatenate([self.now_seconds, zeros])
        self.ordered_seconds = np.concatenate([self.ordered_seconds, zeros])
        self.target_seconds = np.concatenate([self.target_seconds, zeros])
        self.step_seconds = np.concatenate([self.step_seconds, zeros])
        self.periods_seconds = np.concatenate([self.periods_seconds, np.ones(missing)])
        self.tokens_seconds = np.concatenate([self.tokens_seconds, zeros])
        self.spent_seconds = np.concatenate([self.spent_seconds, zeros])
