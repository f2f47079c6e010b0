# SPDX-License-Identifier: MIT
"""May another call be sent at all? Client-side throttling, and a limit of what is in flight."""

from __future__ import annotations

import random as random_module

from resonance.policies._limits import make_limit
from resonance.policies._reasons import Reason
from resonance.policies._records import Policy
from resonance.policies._throttle import Throttle

__all__ = ["Gate"]


class Gate:
    """What stands before the first attempt of each call.

    Parameters
    ----------
    policy : Policy
        With a throttle, a limit, or both.
    random : random.Random
    """

    def __init__(self, policy: Policy, random: random_module.Random) -> None:
        self._throttle = Throttle(policy.throttle, random) if policy.throttle else None
        self._limit = make_limit(policy.limit, random) if policy.limit else None

    @property
    def limit(self) -> int | None:
        """Calls that may be in flight; ``None``: any number."""
        return self._limit.limit if self._limit else None

    def refusal(self, calls_inflight: int, now: float) -> Reason | None:
        """Return why a call is not to be sent, or ``None``.

        Parameters
        ----------
        calls_inflight : int
        now : float
            On the client's clock in seconds.

        Returns
        -------
        Reason or None
        """
        if self._limit is not None and calls_inflight >= self._limit.limit:
            return Reason.LIMITED
        if self._throttle is not None and not self._throttle.admits(now):
            return Reason.THROTTLED
        return None

    def learn(
        self, elapsed_seconds: float, calls_inflight: int, now: float, *, is_refused: bool
    ) -> None:
        """Take the end of an attempt.

        Parameters
        ----------
        elapsed_seconds : float
        calls_inflight : int
            While it was under way.
        now : float
            On the client's clock in seconds.
        is_refused : bool
            The service did not accept it.
        """
        if self._limit is not None:
            self._limit.observe(elapsed_seconds, calls_inflight, is_refused, now)
        if self._throttle is not None and not is_refused:
            self._throttle.accepted(now)
