# SPDX-License-Identifier: MIT
"""What if someone who sees all replicas handed out shares of the load, seldom and with care?

Shares are in proportion to head-room, which is what pressure leaves, and nobody's share is more
than twice an even one: should the calm side be hit next, it has no more than that. They are
worked out again at most every interval, and left alone while they would change little.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random
from typing import Final

from resonance.policies._replica import Replica
from resonance.policies.choice._picker import Forgetful

__all__ = ["Headroom", "Shares"]

_LEAST: Final = 0.05
"""*Chosen*: of head-room, so that no replica is without calls and nothing is divided by 0."""
_MOST_EVEN_SHARES: Final = 2.0


class Shares:
    """Shares of the load as a daemon would hand them out.

    Parameters
    ----------
    interval_seconds : float
        They change at most this often.
    hysteresis : float
        And only when one of them would change by more than this, 0 to 1.
    """

    __slots__ = ("_hysteresis", "_interval_seconds", "_next_at", "_shares")

    def __init__(self, interval_seconds: float, hysteresis: float) -> None:
        self._interval_seconds = interval_seconds
        self._hysteresis = hysteresis
        self._next_at = -inf
        self._shares: list[float] = []

    def at(self, replicas: Sequence[Replica], now: float) -> Sequence[float]:
        """Return the shares of replicas, in their order.

        Parameters
        ----------
        replicas : sequence of Replica
            Where a pressure is not known it counts as none.
        now : float
            On the client's clock, in seconds.

        Returns
        -------
        sequence of float
            Each above 0; they add up to 1, or to less where one was cut off.
        """
        if now < self._next_at and len(replicas) == len(self._shares):
            return self._shares
        self._next_at = now + self._interval_seconds
        rooms = [max(_LEAST, 1.0 - (each.known_pressure(now) or 0.0)) for each in replicas]
        whole, most = sum(rooms), _MOST_EVEN_SHARES / max(1, len(rooms))
        shares = [min(most, room / whole) for room in rooms]
        if len(shares) != len(self._shares) or self._hysteresis < max(
            abs(new - old) for new, old in zip(shares, self._shares, strict=True)
        ):
            self._shares = shares
        return self._shares


class Headroom(Forgetful):
    """Draw two replicas by their shares, and take the one with fewer attempts in flight.

    Parameters
    ----------
    random : random.Random
        What it draws with.
    interval_seconds, hysteresis : float
        As of `Shares`.
    """

    __slots__ = ("_random", "_shares")

    def __init__(
        self, random: Random, interval_seconds: float = 0.1, hysteresis: float = 0.1
    ) -> None:
        self._random = random
        self._shares = Shares(interval_seconds, hysteresis)

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`.

        Raises
        ------
        IndexError
            When there are no candidates.
        """
        if not candidates:
            raise IndexError("no candidates to choose from")
        one, other = self._random.choices(candidates, self._shares.at(candidates, now), k=2)
        return one if len(one.open) <= len(other.open) else other
