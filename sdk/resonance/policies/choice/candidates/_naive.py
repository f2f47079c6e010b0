# SPDX-License-Identifier: MIT
"""What if pressure simply multiplied the attempts in flight? Everybody runs to the same place.

This is the arm that is known to be bad, which the others are measured by: with many clients,
who all see the same pressure and each only its own attempts, a minimum over it herds.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from resonance.policies._replica import Replica
from resonance.policies.choice._drawing import draw_two, least
from resonance.policies.choice._picker import Forgetful

__all__ = ["PressureTimes"]


class PressureTimes(Forgetful):
    """Take the lowest of (attempts in flight + 1) times (1 + slope times pressure).

    Parameters
    ----------
    random : random.Random
        What it draws with.
    slope : float
        Of the pressure, 0 or more. A pressure that is not known counts as none.
    is_full_scan : bool
        Take the lowest of all replicas, not of two drawn.
    """

    __slots__ = ("_draw", "_is_full_scan", "_slope")

    def __init__(self, random: Random, slope: float = 4.0, *, is_full_scan: bool = False) -> None:
        self._draw = random.random
        self._slope = slope
        self._is_full_scan = is_full_scan

    def pick(
        self,
        candidates: Sequence[Replica],
        now: float,
        key: object | None = None,  # noqa: ARG002 -- of `Picker`
    ) -> Replica:
        """See `Picker`."""

        def score(replica: Replica) -> float:
            pressure = replica.known_pressure(now) or 0.0
            return (replica.inflight + 1) * (1.0 + self._slope * pressure)

        if self._is_full_scan:
            return least(candidates, score, self._draw)
        one, other = draw_two(candidates, self._draw)
        return one if score(one) <= score(other) else other
