# SPDX-License-Identifier: MIT
"""How has one replica done lately? Counted in two halves of a window, turned over by its owner."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import Final

__all__ = ["Tally"]

_MOST_LATENCIES: Final = 256
"""*Chosen*: the median of as many scatters by 6 % where latencies scatter as much as those of an
exponential distribution do (a standard error of log(2) / sqrt(256) by log(2))."""


class Tally:
    """Calls of one replica, over between half a window and a whole one.

    Parameters
    ----------
    window_seconds : float
        Over how long.
    now : float
        On the client's clock, in seconds.

    Attributes
    ----------
    calls, failures : int
        In the current half.
    latencies : list of float
        Seconds of successes in it, evenly over its time; each n-th once they are many.
    starving_since : float
        Since when its tasks have waited for a CPU, without a break; infinity: they have not.
    is_starved_out : bool
        Its last ejection was for that.
    starvations : int
        Ejections for that, in a row.
    return_seconds : float
        How long it takes to come back after its ejection; 0: it has not been ejected.
    """

    __slots__ = (
        "_began_at",
        "_calls_before",
        "_failures_before",
        "_half_seconds",
        "_latencies_before",
        "_skipped",
        "_starving_at",
        "_stride",
        "_turn_at",
        "calls",
        "failures",
        "is_starved_out",
        "latencies",
        "return_seconds",
        "starvations",
        "starving_since",
    )

    def __init__(self, window_seconds: float, now: float) -> None:
        self._half_seconds = window_seconds / 2.0
        self._began_at = now
        self._turn_at = now + self._half_seconds
        self._stride = 1
        self.starving_since = inf
        self._starving_at = -inf
        self.is_starved_out = False
        self.starvations = 0
        self.return_seconds = 0.0
        self._skipped = 0
        self.calls = self._calls_before = 0
        self.failures = self._failures_before = 0
        self.latencies: list[float] = []
        self._latencies_before: list[float] = []

    @property
    def all_calls(self) -> int:
        """Calls in the window."""
        return self.calls + self._calls_before

    @property
    def failure_ratio(self) -> float:
        """Share of the calls in the window that failed; 0 without calls."""
        return (self.failures + self._failures_before) / max(1, self.all_calls)

    def latency_seconds(self, share: float) -> float | None:
        """Return a quantile of the latencies of successes, or ``None`` without any.

        Parameters
        ----------
        share : float
            Of the successes that took no longer, above 0 and up to 1.

        Returns
        -------
        float or None
            Seconds.
        """
        latencies = sorted((*self._latencies_before, *self.latencies))
        return latencies[ceil(share * len(latencies)) - 1] if latencies else None

    def is_representative(self, now: float) -> bool:
        """Tell whether it covers half a window at least, so that no passing burst is all of it.

        Parameters
        ----------
        now : float
            On the client's clock, in seconds.
        """
        return now - self._began_at >= self._half_seconds

    def succeed(self, latencies: Sequence[float]) -> None:
        """Take note of successes.

        Parameters
        ----------
        latencies : sequence of float
            What each took, in seconds.
        """
        self.calls += len(latencies)
        kept = self.latencies
        kept.extend(latencies[self._skipped :: self._stride])
        self._skipped = (self._skipped - len(latencies)) % self._stride
        while len(kept) > _MOST_LATENCIES:
            del kept[::2]
            self._stride *= 2

    def starve(self, now: float, patience_seconds: float) -> None:
        """Take note that its tasks wait for a CPU much of the time.

        Parameters
        ----------
        now : float
            On the client's clock, in seconds.
        patience_seconds : float
            How far back the last note may be for this to be the same time of need.
        """
        if now - self._starving_at > patience_seconds:
            self.starving_since = now
        self.starving_since = min(self.starving_since, now)
        self._starving_at = now

    def turn(self, now: float) -> None:
        """Begin a new half where the current one is over.

        Parameters
        ----------
        now : float
            On the client's clock, in seconds.
        """
        late_seconds = now - self._turn_at
        if late_seconds < 0.0:
            return
        self._keep()
        if late_seconds >= self._half_seconds:  # nothing was counted for a whole half
            self._keep()
        self._turn_at = now + self._half_seconds

    def _keep(self) -> None:
        self._calls_before = self.calls
        self._failures_before = self.failures
        self._latencies_before = self.latencies
        self._stride = max(1, self._stride // 2)  # the rate may have fallen
        self._skipped = 0
        self.calls = 0
        self.failures = 0
        self.latencies = []
