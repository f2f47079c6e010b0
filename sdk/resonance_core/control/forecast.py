# SPDX-License-Identifier: MIT
"""What does a group's own work make of the node: now, without our holds, and as planned?"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.backlog import (
    PROFILE_BINS,
    Capacity,
    backlog_profile,
    delay_bound,
)
from resonance_core.control.counterfactual import LEVELS, Counterfactual
from resonance_core.control.picture import Picture
from resonance_core.control.plan import Plan
from resonance_core.control.records import Floats
from resonance_core.control.roster import Rows
from resonance_core.control.series import Series
from resonance_core.control.watch import Watch

__all__ = ["Forecast"]

REPLAY_PERIODS: Final = 36.0
"""*Chosen*: a replay is the dearest part of a prediction, and chance is the only news."""
_TURN: Final = 2.0 * math.pi


class Forecast:
    """Backlog, bound and counterfactual of one group.

    Parameters
    ----------
    period_seconds, origin_seconds : float
        Of the group.
    series : Series
        Waits of others.
    cores : float

    Attributes
    ----------
    profile_seconds : (PROFILE_BINS,) float64
        Backlog per core over one period with the holds in force.
    delay_bound_seconds : float
        Of a burst; inf where unstable, NaN where not known.
    checks, violations : int
        Bursts that were compared with the bound, and those that took longer.
    predicted_ratio : float
        p99 of the waits of others under the plan, by that without our holds; NaN where not
        known.
    watch : Watch
        What was done while nothing was held.
    """

    def __init__(
        self, period_seconds: float, origin_seconds: float, series: Series, cores: float
    ) -> None:
        self._period = period_seconds
        self._origin = origin_seconds
        self._waits = Counterfactual()
        self._plan: Plan | None = None
        self._planned: tuple[Floats, Floats] = (np.zeros(LEVELS), np.zeros(LEVELS))
        self._replayed_seconds = -math.inf
        self.watch = Watch(period_seconds, series, cores)
        self.profile_seconds: Floats = np.zeros(PROFILE_BINS)
        self.delay_bound_seconds = math.nan
        self.checks = 0
        self.violations = 0
        self.predicted_ratio = math.nan

    def forget(self, now_seconds: float) -> None:
        """Begin anew: the workload has changed."""
        self._waits.forget()
        self.watch.pause(now_seconds)
        self.predicted_ratio = math.nan

    def update(
        self,
        picture: Picture,
        holds_seconds: Floats,
        plan: Plan | None,
        *,
        capacity: Capacity,
        busy_ratio: float,
        known_seconds: float,
    ) -> None:
        """Compute everything anew for a picture.

        Parameters
        ----------
        picture : Picture
        holds_seconds : (members,) float64
            In force.
        plan : Plan or None
            Of the same members.
        capacity : Capacity
        busy_ratio : float
            Share of the CPUs' time in use; NaN where not known.
        known_seconds : float
            All bursts that began before are reported.
        """
        members = picture.members
        self.profile_seconds = backlog_profile(members, holds_seconds, self._period, capacity)
        jitter = picture.estimate.jitter_rad[picture.is_known] * (members.periods_seconds / _TURN)
        self.delay_bound_seconds = delay_bound(
            members, holds_seconds, jitter, self._period, capacity
        )
        self.watch.advance(known_seconds, busy_ratio, self._waits)
        # what was predicted in shadow stands
        if plan is not None and not holds_seconds.any():
            self._predict(picture.known_rows, plan, known_seconds)

    def _predict(self, rows: Rows, plan: Plan, now_seconds: float) -> None:
        """Replay the last periods under the plan, if that is due."""
        is_same = plan is self._plan
        rest = REPLAY_PERIODS * self._period
        is_known = not math.isnan(self.predicted_ratio)
        if is_known and abs(now_seconds - self._replayed_seconds) < rest:
            return
        replayed = self.watch.planned(
            dict(zip(rows.tolist(), plan.hold_seconds.tolist(), strict=True))
        )
        if replayed is None:
            return
        self._replayed_seconds, self._plan = now_seconds, plan
        if is_same:
            replayed = self._planned[0] + replayed[0], self._planned[1] + replayed[1]
        self._planned = replayed
        self.predicted_ratio = self._waits.ratio(*self._planned)

    def check(self, completions_seconds: Floats) -> None:
        """Compare how long bursts took with the bound; without one nothing is compared."""
        if not math.isfinite(self.delay_bound_seconds):
            return
        self.checks += len(completions_seconds)
        self.violations += int((completions_seconds > self.delay_bound_seconds).sum())

    def peak_seconds(self, after_seconds: float) -> float:
        """Return the next time at which the backlog is largest; NaN where there is none."""
        profile = self.profile_seconds
        if not np.isfinite(profile).all() or profile.max() <= 0.0:
            return math.nan
        # a bin's backlog is that at its end
        phase = (int(np.argmax(profile)) + 1) / PROFILE_BINS * self._period
        return after_seconds + (self._origin + phase - after_seconds) % self._period
