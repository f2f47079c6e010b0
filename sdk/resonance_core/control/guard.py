# SPDX-License-Identifier: MIT
"""What ends an attempt before the tail has to prove it.

Each class watches one thing and says when it has happened; what is done then is the group's
and the controller's business.
"""

from __future__ import annotations

import math
from typing import Final

from resonance_core.spectral.change import PageHinkley

__all__ = ["Clock", "Herd", "Load", "Workload"]

HERD_CHUNKS: Final = 3
HERD_RATIO: Final = 1.10
"""*Chosen*: an estimate of a discrepancy from 16 cycles scatters by a few percent."""
CHANGE: Final = 0.15
CHANGE_SUM: Final = 1.2
"""Page-Hinkley on natural logarithms; *chosen*: shifts of a quarter are found within some ten
chunks, one of a factor of four in the next."""
OVERLOAD: Final = 0.95
OVERLOAD_CLEAR: Final = 0.93
SMOOTHING: Final = 0.1
"""*Chosen*: the load of about the last ten observations."""
LEAST_JUMP_SECONDS: Final = 1.0
JUMP_TICKS: Final = 10.0


class Herd:
    """Do our holds align what would not be aligned without them?"""

    def __init__(self) -> None:
        self._chunks = 0

    def reset(self) -> None:
        """Begin anew."""
        self._chunks = 0

    def update(self, present_seconds: float, natural_seconds: float, floor_seconds: float) -> bool:
        """Take the discrepancy with and without our holds; True after the third bad chunk.

        Parameters
        ----------
        present_seconds, natural_seconds : float
        floor_seconds : float
            A discrepancy below it is nobody's harm.
        """
        is_worse = present_seconds > max(HERD_RATIO * natural_seconds, floor_seconds)
        self._chunks = self._chunks + 1 if is_worse else 0
        return self._chunks >= HERD_CHUNKS


class Workload:
    """Is it still the workload that was judged? Page-Hinkley on its discrepancy and its work."""

    def __init__(self) -> None:
        self._changes = [PageHinkley(CHANGE, CHANGE_SUM) for _ in range(2)]

    def reset(self) -> None:
        """Forget the level."""
        for change in self._changes:
            change.reset()

    def update(self, natural_seconds: float, work_seconds: float, floor_seconds: float) -> bool:
        """Take a chunk; True when it is another workload.

        Parameters
        ----------
        natural_seconds : float
            Discrepancy without our holds.
        work_seconds : float
            Of all known sources per period; nothing is learnt from 0.
        floor_seconds : float
            Discrepancies below it are the same.
        """
        if work_seconds <= 0.0:
            return False
        levels = (math.log(max(natural_seconds, floor_seconds)), math.log(work_seconds))
        found = [change.update(level) for change, level in zip(self._changes, levels, strict=True)]
        if any(found):
            self.reset()
        return any(found)


class Clock:
    """Did time go on as it does? Not over a suspend, nor where a clock was set."""

    def __init__(self) -> None:
        self._last = math.nan
        self._usual = math.nan

    def advance(self, now_seconds: float) -> tuple[float, bool]:
        """Return how far the clock went, and whether it jumped.

        A jump is a step backwards, or one of more than a second and ten usual ticks, *chosen*. The
        time that it skipped is not passed on.

        Parameters
        ----------
        now_seconds : float
            Of this tick.

        Returns
        -------
        elapsed_seconds : float
            Since the last tick; 0 at the first and after a jump.
        is_jump : bool
        """
        if math.isnan(self._last):
            self._last = now_seconds
            return 0.0, False
        gap = now_seconds - self._last
        self._last = now_seconds
        if gap < 0.0:
            return 0.0, True
        if math.isnan(self._usual):
            self._usual = gap
            return gap, False
        if gap > max(LEAST_JUMP_SECONDS, JUMP_TICKS * self._usual):
            return 0.0, True
        self._usual += 0.1 * (gap - self._usual)
        return gap, False


class Load:
    """Is there so much load that no placement helps?

    Attributes
    ----------
    busy_ratio : float
        Smoothed, 0 to 1; NaN before the first observation.
    is_overloaded : bool
    """

    def __init__(self) -> None:
        self.busy_ratio = math.nan
        self.is_overloaded = False

    def update(self, busy_ratio: float) -> bool:
        """Take an observation; True when it is an overload now and was none before."""
        if math.isnan(self.busy_ratio):
            self.busy_ratio = busy_ratio
        self.busy_ratio += SMOOTHING * (busy_ratio - self.busy_ratio)
        was = self.is_overloaded
        limit = OVERLOAD_CLEAR if was else OVERLOAD
        self.is_overloaded = self.busy_ratio > limit
        return self.is_overloaded and not was
