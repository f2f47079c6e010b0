# SPDX-License-Identifier: MIT
"""How often may anything change? So many an hour, not too fast, and not what just failed.

A trial changes a setting up to three times (made, taken back, made again), and what is kept is
taken back one day. A trial begins only where all of that fits into the hour, so that a change
that must go is never held up by a limit, and the limit is never passed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from resonance_tuning.guard import Guard
from resonance_tuning.records import Setting, Target

__all__ = ["TRIAL_CHANGES", "Limits"]

TRIAL_CHANGES: Final = 3
_HOUR_SECONDS: Final = 3_600.0
_MOST_DOUBLINGS: Final = 10


class Limits:
    """The memory of changes and failures.

    Parameters
    ----------
    guard : Guard
        The limits.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._changes: deque[float] = deque()
        self._rests_until: dict[tuple[str, Target], float] = {}
        self._failures: dict[tuple[str, Target], int] = {}

    def count(self, now_seconds: float) -> None:
        """Count a change."""
        self._changes.append(now_seconds)

    def is_time(self, now_seconds: float) -> bool:
        """Whether the last change is long enough ago for another."""
        last = self._changes[-1] if self._changes else -_HOUR_SECONDS
        return now_seconds - last >= self._guard.min_change_interval_seconds

    def why_no_trial(self, now_seconds: float, live: int) -> str:
        """Return why no trial may begin while so many steps are kept, or nothing."""
        while self._changes and self._changes[0] <= now_seconds - _HOUR_SECONDS:
            self._changes.popleft()
        most = self._guard.max_changes_per_hour
        reserved = TRIAL_CHANGES + live + 1
        if len(self._changes) + reserved > most:
            done = len(self._changes)
            return f"{done} changes in an hour and {reserved} for a trial; {most} are allowed"
        return "" if self.is_time(now_seconds) else "the last change was a moment ago"

    def rest(
        self,
        now_seconds: float,
        settings: Iterable[Setting],
        seconds: float,
        *,
        doubles: bool = True,
    ) -> None:
        """Leave these settings alone for so long; twice as long with each failure before."""
        for setting in settings:
            key = setting.knob, setting.target
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + doubles
            rest_seconds = seconds * 2 ** min(failures, _MOST_DOUBLINGS)
            self._rests_until[key] = now_seconds + rest_seconds

    def is_resting(self, now_seconds: float, setting: Setting) -> bool:
        """Whether a setting is to be left alone now."""
        return now_seconds < self._rests_until.get((setting.knob, setting.target), now_seconds)
