# SPDX-License-Identifier: MIT
"""What was in force throughout a stretch of time, and what was waited meanwhile?

A chunk counts for shadow, or for the plan in force, only if it was all of it. A chunk in which
sources moved, came or went proves nothing and counts for neither. Bursts are reported late, by
more than a chunk: what is reported counts for the chunk that runs, unless it is of a time that
counted for something else.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from resonance_core.control.records import Floats
from resonance_core.control.tail import histogram

__all__ = ["Chunk", "Kind"]

Kind = Literal["shadow", "active", ""]

SHORTEST_SECONDS: Final = 0.1
"""*Chosen*: no more than one decision per tick of the daemon."""
MOST_REPORTS: Final = 16_384
"""*Chosen*: reports of a chunk that are kept, and the rest is not: a chunk may last for days."""


class Chunk:
    """The chunk of a group that runs now.

    Parameters
    ----------
    length_seconds : float
        Until a decision is due; no shorter than `SHORTEST_SECONDS`.

    Attributes
    ----------
    kind : {"shadow", "active", ""}
        What it counts for.
    end_seconds : float
        When a decision is due.
    """

    def __init__(self, length_seconds: float) -> None:
        self._length = max(length_seconds, SHORTEST_SECONDS)
        self._mark: Floats = np.zeros(0)
        self._reports: list[Floats] = []
        self._since = -math.inf
        self.kind: Kind = ""
        self.end_seconds = 0.0

    @property
    def length_seconds(self) -> float:
        """How long a chunk is."""
        return self._length

    def begin(self, kind: Kind, now_seconds: float, others: Floats, stretch: float = 1.0) -> None:
        """Start another one.

        Parameters
        ----------
        kind : {"shadow", "active", ""}
        now_seconds : float
        others : (BUCKETS,) float64
            Waits of others so far.
        stretch : float
            How many times its usual length it is to be; at least 1.
        """
        if kind != self.kind:
            self._since = now_seconds
        self.kind = kind
        self.end_seconds = now_seconds + stretch * self._length
        self._mark = others.copy()
        self._reports.clear()

    def spoil(self, now_seconds: float) -> None:
        """Let it count for nothing, and be no longer than usual."""
        self.kind = ""
        self.end_seconds = min(self.end_seconds, now_seconds + self._length)

    def completed(self, at_seconds: Floats, seconds: Floats) -> None:
        """Take in when bursts were released and how long they took; NaN where not known."""
        if len(self._reports) >= MOST_REPORTS:
            return
        if at_seconds[0] < self._since:
            seconds = seconds[at_seconds >= self._since]
        self._reports.append(seconds)

    def close(self, others: Floats) -> tuple[Floats, Floats]:
        """Return what others waited since it began, and how long bursts took.

        Parameters
        ----------
        others : (BUCKETS,) float64

        Returns
        -------
        waits : (BUCKETS,) float64
            A histogram of `tail`.
        completions : (n,) float64
            Seconds; a hold that became shorter can make a burst early, which counts as 0.
        """
        done = np.concatenate(self._reports) if self._reports else np.zeros(0)
        return others - self._mark, np.maximum(done[~np.isnan(done)], 0.0)

    @staticmethod
    def counted(completions_seconds: Floats) -> Floats:
        """Return completions as a histogram of `tail`."""
        return histogram(completions_seconds)
