# SPDX-License-Identifier: MIT
"""How far is a slot while it runs? Read from the sheet, at a cost that does not grow with it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final, NamedTuple

from resonance.bench.digest import Outcome
from resonance.bench.load.sheets import Sheet

__all__ = ["Progress", "Watcher"]

_RECENT_NS: Final = 1_000_000_000
_MOST_VALUES: Final = 4_000
"""*Chosen*: a p99 of four thousand is good enough for the eye, and cheap."""
_SHARE: Final = 0.99


class Progress(NamedTuple):
    """How far a slot is.

    Attributes
    ----------
    elapsed_seconds, whole_seconds : float
    planned : int
        Calls of the whole slot, warm-up included.
    sent, answered, failed : int
        Until now.
    p99_seconds : float or None
        Of responses to calls that were due in the last second; ``None`` without any.
    """

    elapsed_seconds: float
    whole_seconds: float
    planned: int
    sent: int
    answered: int
    failed: int
    p99_seconds: float | None


class Watcher:
    """Who looks at a sheet again and again.

    Parameters
    ----------
    sheet : Sheet
    seconds : float
        How long calls are due.
    timeout_seconds : float
        Older calls have ended.
    """

    def __init__(self, sheet: Sheet, seconds: float, timeout_seconds: float) -> None:
        self._sheet, self._seconds = sheet, seconds
        self._settled_ns = int(timeout_seconds * 1e9) + _RECENT_NS
        self._settled = 0
        self._counted: Counter[int] = Counter()

    def look(self, now: int) -> Progress:
        """Return how far it is.

        Parameters
        ----------
        now : int
            Nanoseconds from the beginning.

        Returns
        -------
        Progress
        """
        due_ns = self._sheet.due_ns
        reached = bisect_left(due_ns, now, lo=self._settled)
        settled = bisect_left(due_ns, now - self._settled_ns, lo=self._settled)
        self._counted += self._count(self._settled, settled)
        self._settled = settled
        counted = self._counted + self._count(settled, reached)
        ended = sum(counted.values())
        return Progress(
            elapsed_seconds=max(0.0, min(now / 1e9, self._seconds)),
            whole_seconds=self._seconds,
            planned=len(due_ns),
            sent=reached,
            answered=counted[Outcome.OK],
            failed=ended - counted[Outcome.OK],
            p99_seconds=self._p99(bisect_left(due_ns, now - _RECENT_NS), reached),
        )

    def _count(self, first: int, last: int) -> Counter[int]:
        column = self._sheet.outcomes[first:last].tobytes()
        return Counter(
            {outcome: column.count(outcome) for outcome in Outcome if outcome != Outcome.NONE}
        )

    def _p99(self, first: int, last: int) -> float | None:
        sheet, step = self._sheet, max(1, (last - first) // _MOST_VALUES)
        ended, due = (column[first:last:step].tolist() for column in (sheet.ended_ns, sheet.due_ns))
        took = sorted(end - begin for end, begin in zip(ended, due, strict=True) if end >= 0)
        return took[int(_SHARE * len(took))] / 1e9 if took else None
