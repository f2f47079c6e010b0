# SPDX-License-Identifier: MIT
"""What if pressure only made a choice less certain? It moves a share of the calls, never all.

Two replicas are drawn and compared by attempts in flight, as ever. When the loser's pressure is
lower, the decision is turned over with a probability of at most the difference: so a difference
that is small, or wrong, or old moves little, and the drawing keeps what is left to every
replica even when all clients see the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from resonance.policies._replica import Replica
from resonance.policies.choice._drawing import draw_two
from resonance.policies.choice._picker import Forgetful

__all__ = ["Flipped"]


class Flipped(Forgetful):
    """Two choices, turned over with the probability by which the winner's pressure is higher.

    Parameters
    ----------
    random : random.Random
        What it draws with.
    bound : float
        The highest probability of turning over, 0 to 1.
    """

    __slots__ = ("_bound", "_draw")

    def __init__(self, random: Random, bound: float = 1.0) -> None:
        self._draw = random.random
        self._bound = bound

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""
        winner, loser = draw_two(candidates, self._draw)
        if len(loser.open) < len(winner.open):
            winner, loser = loser, winner
        high, low = winner.known_pressure(now), loser.known_pressure(now)
        if high is None or low is None or high <= low:
            return winner
        return loser if self._draw() < min(self._bound, high - low) else winner
