# SPDX-License-Identifier: MIT
"""Where does a source begin that has just been (re)started?

A grant is a new schedule, so it may be of any size and costs no latency. Who was here before
gets its old place back: a restart of all sources at once must not align them. Who was not gets
the next point of a low-discrepancy sequence, so that a hundred newcomers spread as well.

References
----------
Weyl, Math. Ann. 77 (1916), 313, doi:10.1007/BF01475864: multiples of an irrational number are
uniform; the golden ratio is the one whose multiples keep the largest gaps smallest.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

__all__ = ["Memory", "golden_point"]

GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_Place = tuple[str, float]


def golden_point(index: int) -> float:
    """Return the point of the golden sequence with this index, 0 to 1."""
    return (0.5 + index * GOLDEN) % 1.0


class Memory:
    """Places of sources that have left, by name and period.

    Parameters
    ----------
    most : int
        Places that are kept; the oldest are forgotten first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: OrderedDict[_Place, list[float]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """Return how many places are kept."""
        return self._count

    def keep(self, name: str, period_seconds: float, phase_ratio: float) -> None:
        """Remember where a source was.

        Parameters
        ----------
        name : str
        period_seconds : float
        phase_ratio : float
            Its phase in its own period, 0 to 1.
        """
        place = (name, period_seconds)
        self._places.setdefault(place, []).append(phase_ratio)
        self._places.move_to_end(place)
        self._count += 1
        if self._count > self._most:
            oldest, phases = next(iter(self._places.items()))
            phases.pop(0)
            self._count -= 1
            if not phases:
                del self._places[oldest]

    def take(self, name: str, period_seconds: float) -> float | None:
        """Give a place back to the first who asks for it; ``None`` if there is none."""
        place = (name, period_seconds)
        phases = self._places.get(place)
        if phases is None:
            return None
        self._count -= 1
        phase = phases.pop(0)
        if not phases:
            del self._places[place]
        return phase
