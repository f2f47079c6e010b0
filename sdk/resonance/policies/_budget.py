# SPDX-License-Identifier: MIT
"""May one more attempt be made? Hedges and retries share what successes have paid for."""

from __future__ import annotations

from typing import Final

from resonance.policies._records import BudgetPolicy

__all__ = ["Budget"]

_ALMOST_ONE: Final = 1.0 - 1e-9
"""Ten tenths add up to a little less than one."""


class Budget:
    """A bucket of extra attempts, filled by successes only.

    Over any time no more extra attempts are granted than ``initial + ratio * successes``. While
    a service fails nothing is added, so that retries cannot keep its outage alive.

    Parameters
    ----------
    policy : BudgetPolicy
        How much a success adds, how much can be saved, and what there is to begin with.

    Attributes
    ----------
    tokens : float
        Extra attempts that may be made now, from 0 to the policy's ``cap``.

    References
    ----------
    N. Bronson et al., "Metastable Failures in Distributed Systems", HotOS 2021.
    """

    __slots__ = ("_cap", "_ratio", "_refill", "_successes", "tokens")

    def __init__(self, policy: BudgetPolicy) -> None:
        self._cap = float(policy.cap)
        self._ratio = float(policy.ratio)
        self._refill = self._ratio
        self._successes = 0
        self.tokens = float(policy.initial)

    def earn(self, successes: int) -> None:
        """Add the share of the successes since the last time.

        What is not taken meanwhile may be added at once, so that a success itself costs nothing.

        Parameters
        ----------
        successes : int
            All there were so far.
        """
        earned = (successes - self._successes) * self._refill
        self._successes = successes
        self.tokens = min(self._cap, self.tokens + earned)

    def take(self) -> bool:
        """Pay for one extra attempt.

        Returns
        -------
        bool
            False where there is not enough for a whole one; nothing is taken then.
        """
        if self.tokens < _ALMOST_ONE:
            return False
        self.tokens = max(0.0, self.tokens - 1.0)
        return True

    def pay_back(self) -> None:
        """Undo a `take` whose attempt was not made after all, or not begun by its server."""
        self.tokens = min(self._cap, self.tokens + 1.0)

    @property
    def fullness(self) -> float:
        """How much of what can be saved is there, 0 to 1; 0 where nothing can be saved."""
        return self.tokens / self._cap if self._cap else 0.0

    def scale(self, factor: float) -> None:
        """Let successes add more or less from now on.

        Parameters
        ----------
        factor : float
            Of the policy's ratio, 0 to 1; `Brake.refill` tells it.
        """
        self._refill = self._ratio * factor
