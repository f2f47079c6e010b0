# SPDX-License-Identifier: MIT
"""Are the retries of this process in step with each other? Then they are spread further.

Retries in step come in bursts, and each burst is an overload that makes the next one. The order
parameter of their start times shows it before goodput falls: 1 when all start at one phase of
some period, near 0 when they are spread.

Which period is not known, so a row of them is tried, each on its last three turns: over so few
turns a period that is a few percent wrong still fits, and 32 of them suffice for all between
40 ms and 3 s. It need not be the true one; any that the bursts have in common shows them, and
retries after un-jittered delays of b, 2b, 4b, ... are all at one phase of 2b.
"""

from __future__ import annotations

from bisect import bisect_left
from cmath import rect
from collections import deque
from collections.abc import Sequence
from math import exp, inf, pi, sqrt
from typing import Final

__all__ = ["Brake"]

_WINDOW_SECONDS: Final = 10.0
_MOST_STARTS: Final = 256
_FEWEST_STARTS: Final = 8
_ON: Final = 0.65
_OFF: Final = 0.35
_RELEASE_PER_SECOND: Final = 0.1
_EVERY_SECONDS: Final = 0.25

_SHORTEST_PERIOD_SECONDS: Final = 0.040
"""*Chosen*: twice the usual shortest delay of a retry."""
_PERIOD_RATIO: Final = 1.15
_TURNS: Final = 3.0
"""*Chosen* together: half a step off, three turns drift by 1.3 rad, which takes a tenth off,
and the longest three fit into the window."""
_PERIODS_SECONDS: Final = tuple(_SHORTEST_PERIOD_SECONDS * _PERIOD_RATIO**k for k in range(32))
_LEAST_TURNS: Final = 2.0
"""*Chosen*: a fault that lasts for half a period puts all its retries into that half, in step or
not. The shortest period needs no turns: what comes within a part of it is a burst."""
_FALSE_ALARM: Final = 1e-4
"""*Chosen*: the chance that retries without any step are taken for such, at one look."""


class Brake:
    """Watches the starts of retries, and tells by how much to spread them and to slow the budget.

    Above an order parameter of 0.65 delays are stretched to twice their jitter and successes pay
    half into the budget; below 0.35, or with fewer than 8 retries in the last 10 s, both return
    to normal by 10 % per second. What chance explains counts as 0.
    """

    __slots__ = ("_level", "_looked_at", "_order_parameter", "_starts")

    def __init__(self) -> None:
        self._starts: deque[float] = deque(maxlen=_MOST_STARTS)
        self._order_parameter: float | None = None
        self._level = 0.0
        self._looked_at = -inf

    def started(self, now: float) -> None:
        """Take the start of a retry.

        Parameters
        ----------
        now : float
            Seconds, on any clock that does not go back.
        """
        self._starts.append(now)

    def order_parameter(self, now: float) -> float | None:
        """Return how much in step the retries of the last 10 s are.

        Parameters
        ----------
        now : float
            On the same clock. It is computed at most every 0.25 s.

        Returns
        -------
        float or None
            0 to 1, without the bias of small numbers; ``None`` below 8 retries.
        """
        self._look(now)
        return self._order_parameter

    def stretch(self, now: float) -> float:
        """Return by how much to widen the jitter of a delay.

        Parameters
        ----------
        now : float
            On the same clock.

        Returns
        -------
        float
            A factor, 1 to 2.
        """
        self._look(now)
        return 1.0 + self._level

    def refill(self, now: float) -> float:
        """Return how much successes add to the budget.

        Parameters
        ----------
        now : float
            On the same clock.

        Returns
        -------
        float
            A share of what they usually add, 0.5 to 1.
        """
        self._look(now)
        return 1.0 - self._level / 2.0

    def _look(self, now: float) -> None:
        """Bring the level up to date, unless that was done a moment ago."""
        elapsed = now - self._looked_at
        if elapsed < _EVERY_SECONDS:
            return
        self._looked_at = now
        while self._starts and now - self._starts[0] > _WINDOW_SECONDS:
            self._starts.popleft()
        self._order_parameter = _in_step(list(self._starts))
        if self._order_parameter is None or self._order_parameter < _OFF:
            self._level = max(0.0, self._level - elapsed * _RELEASE_PER_SECOND)
        elif self._order_parameter > _ON:
            self._level = 1.0


def _in_step(starts: Sequence[float]) -> float | None:
    """Return the largest order parameter that chance does not explain, over all periods."""
    if len(starts) < _FEWEST_STARTS:
        return None
    last = starts[-1]
    highest = 0.0
    for period in _PERIODS_SECONDS:
        if period > _SHORTEST_PERIOD_SECONDS and last - starts[0] < _LEAST_TURNS * period:
            break
        recent = starts[bisect_left(starts, last - _TURNS * period) :]
        count = len(recent)
        turn = 2.0 * pi / period
        length = abs(sum(rect(1.0, (start - last) * turn) for start in recent))
        if (
            count >= _FEWEST_STARTS
            and _chance(count, length) * len(_PERIODS_SECONDS) < _FALSE_ALARM
        ):
            highest = max(highest, _unbiased(count, length))
    return highest


def _chance(count: int, length: float) -> float:
    """Return the chance that so many uniform phases add up to this length or more.

    References
    ----------
    J. H. Zar, *Biostatistical Analysis*, the Rayleigh test, with D. Wilkie's approximation of its
    distribution: it holds for few phases too, where ``exp(-n R**2)`` is far too large.
    """
    return exp(sqrt(1.0 + 4.0 * count + 4.0 * max(0.0, count**2 - length**2)) - (1.0 + 2.0 * count))


def _unbiased(count: int, length: float) -> float:
    """Return the order parameter R, from an estimate of its square that chance does not raise."""
    square = (length**2 / count - 1.0) / (count - 1.0)
    return sqrt(max(0.0, square))
