# SPDX-License-Identifier: MIT
"""Two replicas at random, or the least of all with ties broken at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from resonance.policies._replica import Replica

__all__ = ["draw_two", "least"]


def draw_two(candidates: Sequence[Replica], draw: Callable[[], float]) -> tuple[Replica, Replica]:
    """Return two different candidates in random order; of one candidate, it and itself.

    Parameters
    ----------
    candidates : sequence of Replica
        At least one.
    draw : callable
        Returns a number from 0 to below 1; called once.

    Returns
    -------
    tuple of Replica

    Raises
    ------
    IndexError
        When there are no candidates.
    """
    # The whole part of the draw is the first index, what is left of it says how far to go on
    # from there, 1 to all the others. Less the length, that index is negative until it has
    # gone round.
    others = len(candidates) - 1
    drawn = draw() * (others + 1)
    first = int(drawn)
    return candidates[first], candidates[first + int((drawn - first) * others) - others]


def least(
    candidates: Sequence[Replica], score: Callable[[Replica], float], draw: Callable[[], float]
) -> Replica:
    """Return a candidate of the lowest score, each of several alike.

    Parameters
    ----------
    candidates : sequence of Replica
        At least one.
    score : callable
        Returns the score of a replica, which is finite.
    draw : callable
        Returns a number from 0 to below 1.

    Returns
    -------
    Replica

    Raises
    ------
    IndexError
        When there are no candidates.
    """
    best, lowest, ties = candidates[0], inf, 0
    for replica in candidates:
        value = score(replica)
        if value < lowest:
            best, lowest, ties = replica, value, 1
        elif value == lowest:
            ties += 1
            if draw() * ties < 1.0:  # the n-th of equals takes the place of one in n
                best = replica
    return best
