# SPDX-License-Identifier: MIT
"""How long does half of the work of this server take? The median of the last seconds."""

from __future__ import annotations

from math import inf
from typing import Final

from resonance.policies._window import Window

__all__ = ["ServiceTimes"]

_REFRESH_SECONDS: Final = 0.1
_MOST_PENDING: Final = 512
_LEAST_SAMPLES: Final = 20
"""Service times below which their median is not believed. *Chosen*: that of 20 lies between the
true quartiles in 97 of 100 cases."""


class ServiceTimes:
    """What requests took in service, without their wait in the queue."""

    def __init__(self) -> None:
        self._window = Window()
        self._refresh_at = -inf

    def add(self, elapsed_seconds: float, now: float, *, is_drop: bool = False) -> None:
        """Take in one that ended.

        Parameters
        ----------
        elapsed_seconds : float
            What it took.
        now : float
            Seconds on a clock that never goes back.
        is_drop : bool
            It was given up: it would have taken longer.
        """
        if is_drop:
            self._window.censored(elapsed_seconds)
        else:
            self._window.pending.append(elapsed_seconds)
        if now >= self._refresh_at or len(self._window.pending) >= _MOST_PENDING:
            self._refresh(now)

    def median_seconds(self, now: float) -> float | None:
        """Return what half of the requests of the last seconds took at most.

        Parameters
        ----------
        now : float
            As in `add`.

        Returns
        -------
        float or None
            ``None`` while too few are known.
        """
        if now >= self._refresh_at:
            self._refresh(now)
        return self._window.quantile(0.5) if self._window.count >= _LEAST_SAMPLES else None

    def _refresh(self, now: float) -> None:
        self._refresh_at = now + _REFRESH_SECONDS
        self._window.refresh(now)
