# SPDX-License-Identifier: MIT
"""Which replica has the fewest attempts of ours in flight?

Both choices know what this client has sent and nothing else, so what they know is never old.
Ties are broken at random: with a fixed order all clients would send to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from resonance.policies._replica import Replica
from resonance.policies.choice._drawing import least
from resonance.policies.choice._picker import Forgetful

__all__ = ["LeastInflight", "TwoChoices"]


class TwoChoices(Forgetful):
    """Draw two different replicas, and take the one with fewer attempts in flight.

    Parameters
    ----------
    random : random.Random
        What it draws with.

    References
    ----------
    M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE Transactions
    on Parallel and Distributed Systems 12(10), 2001, doi:10.1109/71.963420.
    """

    __slots__ = ("_draw",)

    def __init__(self, random: Random) -> None:
        self._draw = random.random

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,  # noqa: ARG002 -- of `Picker`
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""
        # This is `draw_two`, written out because it is on the path of every call. The first
        # being any of them, taking it on a tie is fair.
        others = len(candidates) - 1
        drawn = self._draw() * (others + 1)
        first = int(drawn)
        one = candidates[first]
        other = candidates[first + int((drawn - first) * others) - others]
        return one if len(one.open) <= len(other.open) else other


class LeastInflight(Forgetful):
    """Look at all replicas, and take one with the fewest attempts in flight.

    Parameters
    ----------
    random : random.Random
        What breaks ties.
    """

    __slots__ = ("_draw",)

    def __init__(self, random: Random) -> None:
        self._draw = random.random

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,  # noqa: ARG002 -- of `Picker`
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""
        return least(candidates, _count, self._draw)


def _count(replica: Replica) -> int:
    return len(replica.open)
