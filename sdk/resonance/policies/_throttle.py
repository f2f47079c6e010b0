# SPDX-License-Identifier: MIT
"""Would the service refuse this call anyway? Then it is refused here, where that is cheaper."""

from __future__ import annotations

from random import Random
from typing import Final

from resonance.policies._records import ThrottlePolicy

__all__ = ["Throttle"]

_BINS: Final = 60
"""*Chosen*: the window slides in steps of a sixtieth, 2 s of the usual 120 s."""


class Throttle:
    """Refuses in proportion once a service accepts less than half of what it is asked.

    A call is counted before it is sent, and also when it is refused here; so the counts cannot
    lag behind an outage in which replies take long. The formula never refuses everything, so that
    what is still sent finds out when the service is back; calls then come back by a factor of e
    in each ``window / multiplier``, which takes minutes after an outage as long as the window.

    *Chosen*: calls of the last two bins, 2 to 4 s of the usual 120 s, are not held against the
    service yet. Otherwise a healthy one that gets its first hundred calls at once, and has
    accepted none so far, would lose most of the first thousand.

    Parameters
    ----------
    policy : ThrottlePolicy
        How many calls each accepted one allows, and over which time.
    random : random.Random
        Which calls are refused.

    References
    ----------
    Google, *Site Reliability Engineering*, chapter 21, "Client-Side Throttling".
    """

    __slots__ = (
        "_accepted",
        "_accepts",
        "_bin",
        "_bin_seconds",
        "_multiplier",
        "_random",
        "_requested",
        "_requests",
    )

    def __init__(self, policy: ThrottlePolicy, random: Random) -> None:
        self._multiplier = float(policy.multiplier)
        self._bin_seconds = policy.window / _BINS
        self._random = random
        self._requested = [0] * _BINS
        self._accepted = [0] * _BINS
        self._requests = 0
        self._accepts = 0
        self._bin: int | None = None

    def admits(self, now: float) -> bool:
        """Count a call, and tell whether it is to be sent.

        Parameters
        ----------
        now : float
            Seconds, on any clock that does not go back.
        """
        refusal = self.refusal_probability(now)
        assert self._bin is not None
        self._requested[self._bin % _BINS] += 1
        self._requests += 1
        return refusal <= 0.0 or self._random.random() >= refusal

    def accepted(self, now: float) -> None:
        """Count a call that the service did not refuse.

        Parameters
        ----------
        now : float
            When it answered, on the same clock.
        """
        current = self._slide(now)
        self._accepted[current % _BINS] += 1
        self._accepts += 1

    def refusal_probability(self, now: float) -> float:
        """Return which share of calls is refused now.

        Parameters
        ----------
        now : float
            On the same clock.

        Returns
        -------
        float
            0 to below 1.
        """
        current = self._slide(now)
        # Calls of this bin and of the one before it may not have been answered yet.
        unanswered = self._requested[current % _BINS] + self._requested[(current - 1) % _BINS]
        requests = self._requests - unanswered
        excess = requests - self._multiplier * self._accepts
        return max(0.0, excess / (requests + 1))

    def _slide(self, now: float) -> int:
        """Forget what has left the window; return the bin of this moment."""
        current = int(now / self._bin_seconds)
        if self._bin is None:
            self._bin = current
        for passed in range(min(current - self._bin, _BINS)):
            place = (current - passed) % _BINS
            self._requests -= self._requested[place]
            self._accepts -= self._accepted[place]
            self._requested[place] = self._accepted[place] = 0
        self._bin = max(self._bin, current)
        return self._bin
