# SPDX-License-Identifier: MIT
"""How long to wait before the next try?"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from resonance.policies._records import RetryPolicy, Strategy

__all__ = ["Backoff"]


class Backoff:
    """Draws the delays of a `RetryPolicy`.

    Parameters
    ----------
    policy : RetryPolicy
        Which strategy, and its bounds.
    random : random.Random
        Where jitter comes from.

    References
    ----------
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    __slots__ = ("_base", "_draw", "_longest", "_multiplier", "_random")

    def __init__(self, policy: RetryPolicy, random: Random) -> None:
        self._base = float(policy.base_delay)
        self._longest = float(policy.max_delay)
        self._multiplier = float(policy.multiplier)
        self._random = random
        draws: dict[Strategy, Callable[[int, float, float], float]] = {
            "full_jitter": self._full,
            "equal_jitter": self._equal,
            "decorrelated_jitter": self._decorrelated,
            "fixed": self._fixed,
            "exponential": self._exponential,
        }
        self._draw = draws[policy.strategy]

    def delay(self, n: int, previous: float = 0.0, stretch: float = 1.0) -> float:
        """Draw the delay before a retry.

        Parameters
        ----------
        n : int
            Which retry it is, from 0; from 0 again after the server told a delay itself.
        previous : float
            Seconds that the delay before it was; 0 for the first.
        stretch : float
            By how much the random part is widened, 1 or more; `Brake.stretch` tells it. What has
            none is given some, because twice nothing would leave retries in step.

        Returns
        -------
        float
            Seconds, 0 to ``max_delay`` times `stretch`: to press many widened delays against
            one upper bound would only bring them together again.
        """
        return self._draw(n, previous, stretch)

    def _span(self, n: int) -> float:
        if not self._base:
            return 0.0
        try:
            return min(self._longest, self._base * self._multiplier**n)
        except OverflowError:
            return self._longest

    def _full(self, n: int, _previous: float, stretch: float) -> float:
        return self._random.uniform(0.0, self._span(n) * stretch)

    def _equal(self, n: int, _previous: float, stretch: float) -> float:
        half = self._span(n) / 2.0
        return half + self._random.uniform(0.0, half * stretch)

    def _decorrelated(self, _n: int, previous: float, stretch: float) -> float:
        highest = 3.0 * max(self._base, previous)
        drawn = self._base + self._random.uniform(0.0, (highest - self._base) * stretch)
        return min(self._longest * stretch, drawn)

    def _fixed(self, _n: int, _previous: float, stretch: float) -> float:
        return self._base + self._random.uniform(0.0, self._base * (stretch - 1.0))

    def _exponential(self, n: int, _previous: float, stretch: float) -> float:
        span = self._span(n)
        return span + self._random.uniform(0.0, span * (stretch - 1.0))
