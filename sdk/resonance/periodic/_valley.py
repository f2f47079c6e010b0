# SPDX-License-Identifier: MIT
"""How long until the periodic work of the node is at its lowest?

The daemon tells the backlog of the sources' work over one period, in equal parts. It is kept
here by a thread that listens for it, so that asking costs microseconds and never waits.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance.hints._client import Hints
from resonance.hints._link import SOCKET_VARIABLE, socket_path
from resonance.hints._records import State

__all__ = ["Profile", "forecast_here", "next_valley"]

_LOOK_NS: Final = 1_000_000_000
_VALID_NS: Final = 3_000_000_000
"""Chosen: three of the heartbeats in which the daemon repeats what it knows."""
_LEVEL_RATIO: Final = 0.05
"""Chosen: parts this close to the lowest, as a share of the range, are as low."""

_SHORTEST_SECONDS: Final = 1e-9
"""What repeats within a clock's step is no period."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The backlog of periodic work over one period.

    Attributes
    ----------
    backlog_seconds : sequence of float
        In equal parts; none where nothing is known.
    origin_seconds : float
        When the first part begins, any period.
    period_seconds : float
    """

    backlog_seconds: Sequence[float]
    origin_seconds: float
    period_seconds: float

    def valley(self, now_seconds: float, within_seconds: float) -> tuple[float, float]:
        """Return how long until the lowest stretch begins, and until it ends.

        Of what lies ahead by at most `within_seconds`; the earliest of equally low ones.

        Parameters
        ----------
        now_seconds : float
            On the clock of the profile's origin.
        within_seconds : float
            How far to look; from a period on it begins anew.

        Returns
        -------
        begin_seconds, end_seconds : float
            From now; both 0 where nothing is known.
        """
        backlog, parts = self.backlog_seconds, len(self.backlog_seconds)
        is_known = parts and _SHORTEST_SECONDS <= self.period_seconds < math.inf
        if not (is_known and within_seconds > 0.0):
            return 0.0, 0.0
        within_seconds = min(within_seconds, self.period_seconds)  # then it begins anew
        lowest, highest = min(backlog), max(backlog)
        if not math.isfinite(sum(backlog)):  # more work than is served: no low to come
            return 0.0, 0.0
        part_seconds = self.period_seconds / parts
        first, into = divmod((now_seconds - self.origin_seconds) / part_seconds % parts, 1.0)
        ahead = min(int(into + within_seconds / part_seconds), parts - 1)
        levels = [backlog[(int(first) + each) % parts] for each in range(ahead + 1)]
        enough = min(levels) + _LEVEL_RATIO * (highest - lowest)
        begin = next(each for each, level in enumerate(levels) if level <= enough)
        end = next((each for each in range(begin, ahead + 1) if levels[each] > enough), ahead + 1)
        begin_seconds = max((begin - into) * part_seconds, 0.0)
        return begin_seconds, min((end - into) * part_seconds, max(begin_seconds, within_seconds))

    def delay(self, now_seconds: float, within_seconds: float) -> float:
        """Return how long to wait: 0 in a valley, else to a point of the next.

        A random one, since everybody on the node is told the same valley.

        Parameters
        ----------
        now_seconds : float
            On the clock of the profile's origin.
        within_seconds : float
            Longest wait.

        Returns
        -------
        float
            Seconds, 0 to `within_seconds`.
        """
        begin_seconds, end_seconds = self.valley(now_seconds, within_seconds)
        if begin_seconds <= 0.0:
            return 0.0
        return random.uniform(begin_seconds, end_seconds)  # noqa: S311 - spreads, hides nothing


def next_valley(within: float = 0.025) -> float:
    """Return how long to wait until the node is least busy with periodic work.

    For work that may wait a little, such as the window in which a batch is gathered: close it
    there. Costs microseconds and never waits for the daemon; the first answers are 0, until
    the daemon was heard.

    Parameters
    ----------
    within : float
        Longest wait, seconds.

    Returns
    -------
    float
        Seconds, 0 to `within`; 0 also where nothing is known.

    Examples
    --------
    >>> 0.0 <= next_valley(within=0.01) <= 0.01
    True
    """
    profile = forecast_here().profile()
    return profile.delay(time.monotonic(), within) if profile else 0.0


class _Forecast:
    """What one daemon last told of the periodic work of its node."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._hints: Hints | None = None
        self._heard: tuple[int, Profile] | None = None
        self._look_at_ns = 0
        self._starting = threading.Lock()

    def profile(self) -> Profile | None:
        """Return the profile, where it is known and not old."""
        now_ns = time.monotonic_ns()
        if self._hints is None and now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + _LOOK_NS
            self._listen()
        heard = self._heard
        return heard[1] if heard and now_ns - heard[0] <= _VALID_NS else None

    def begin_in_child(self) -> None:
        """Begin anew in a forked child, to which nobody listens."""
        self._begin()

    def _listen(self) -> None:
        with self._starting:
            if self._hints is None and os.path.exists(self._path):
                self._hints = Hints(self._path)
                self._hints.subscribe(self._hear, ["other"], interval_seconds=1.0)

    def _hear(self, state: State | None) -> None:
        rhythm = state.rhythm if state else None
        if rhythm is None:
            self._heard = None
            return
        profile = Profile(
            rhythm.profile_seconds, rhythm.profile_origin_ns / 1e9, rhythm.profile_period_seconds
        )
        self._heard = time.monotonic_ns(), profile


def forecast_here() -> _Forecast:
    """Return what the daemon of the environment told this process."""
    given = os.environ.get(SOCKET_VARIABLE)
    found = _forecasts.get(given)
    if found is not None:
        return found
    with _finding:
        return _forecasts.setdefault(given, _Forecast(socket_path(None)))


_forecasts: dict[str | None, _Forecast] = {}
_finding = threading.Lock()


def _begin_in_child() -> None:
    global _finding  # noqa: PLW0603 - its owner did not come along
    _finding = threading.Lock()
    for each in _forecasts.values():
        each.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
