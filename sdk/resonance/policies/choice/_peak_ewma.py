# SPDX-License-Identifier: MIT
"""Which replica has answered fast lately, and has little of ours to do?"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random
from typing import Final

from resonance.policies._replica import Replica
from resonance.policies.choice._drawing import draw_two

__all__ = ["PeakEwma"]

_UNKNOWN_SECONDS: Final = 1e6
"""*Chosen*: more than any latency, so that a replica that has not answered yet gets one attempt
and no second before that has ended."""


class PeakEwma:
    """Of two replicas drawn take the one with the lower cost times attempts in flight plus one.

    The cost jumps up to each slower answer, and follows faster ones with a time constant. It
    also decays while nothing is heard, so that a replica that was slow is tried again.

    Parameters
    ----------
    random : random.Random
        What it draws with.
    ewma_seconds : float
        Time constant of the cost, above 0. The 10 s of Finagle hide a burst of work beside a
        replica, which lasts a fifth of a second or less; hence 0.5 s by default.

    References
    ----------
    Twitter Finagle, ``PeakEwma`` load balancer.
    """

    __slots__ = ("_draw", "_ewma_seconds")
    learns = True

    def __init__(self, random: Random, ewma_seconds: float = 0.5) -> None:
        self._draw = random.random
        self._ewma_seconds = ewma_seconds

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""
        one, other = draw_two(candidates, self._draw)
        return one if self.load(one, now) <= self.load(other, now) else other

    def observe(self, replica: Replica, elapsed_seconds: float, now: float) -> None:
        """See `Picker`."""
        cost = replica.cost_seconds
        if elapsed_seconds < cost:
            kept = self._kept(replica, now)
            elapsed_seconds += (cost - elapsed_seconds) * kept
        replica.cost_seconds = elapsed_seconds
        replica.cost_at = max(now, replica.cost_at)

    def load(self, replica: Replica, now: float) -> float:
        """Return the cost of a replica times what it would have in flight.

        Parameters
        ----------
        replica : Replica
        now : float
            On the client's clock, in seconds.

        Returns
        -------
        float
            Seconds; far above any latency where an attempt is in flight and none was answered.
        """
        inflight = len(replica.open)
        if not replica.cost_seconds:
            return _UNKNOWN_SECONDS * inflight
        return replica.cost_seconds * self._kept(replica, now) * (inflight + 1)

    def _kept(self, replica: Replica, now: float) -> float:
        """Return which share of the cost is left of it by now."""
        return exp(min(0.0, replica.cost_at - now) / self._ewma_seconds)
