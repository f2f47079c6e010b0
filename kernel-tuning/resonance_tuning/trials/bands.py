# SPDX-License-Identifier: MIT
"""Is it bad, or good, and for how long? Two edges with room between, so that nothing flaps."""

from __future__ import annotations

from collections import deque

from resonance_tuning.guard import Guard

__all__ = ["Band", "Starvation"]


class Band:
    """Windows in a row on either side of an objective.

    Attributes
    ----------
    breaches, quiet : int
        Windows in a row beyond the objective, and below `Guard.leave_ratio` of it.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.breaches = 0
        self.quiet = 0

    def observe(self, load: float | None) -> None:
        """Take one window.

        Parameters
        ----------
        load : float or None
            Of the worst cgroup, in objectives; ``None`` where nobody knows, which is no reason
            to go on nor to go back.
        """
        if load is None:
            self.breaches = 0
            return
        self.breaches = self.breaches + 1 if load > 1.0 else 0
        self.quiet = self.quiet + 1 if load < self._guard.leave_ratio else 0

    def reset(self) -> None:
        """Begin anew: what was seen was under other settings."""
        self.breaches = self.quiet = 0


class Starvation:
    """Whether batch work has stood still for too long, all in all."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._seen: deque[tuple[float, float]] = deque()
        self._seconds = 0.0

    def observe(self, seconds: float, full_ratio: float | None) -> bool:
        """Take what was seen for so many seconds; begins anew once it is too much."""
        if full_ratio is None:
            return False
        self._seen.append((seconds, full_ratio))
        self._seconds += seconds
        span = self._guard.batch_full_pressure_seconds
        while self._seconds - self._seen[0][0] >= span:
            self._seconds -= self._seen.popleft()[0]
        stood = sum(seconds * ratio for seconds, ratio in self._seen)
        if self._seconds < span or stood <= self._guard.batch_full_pressure_ratio * self._seconds:
            return False
        self._seen.clear()
        self._seconds = 0.0
        return True
