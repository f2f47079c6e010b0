# SPDX-License-Identifier: MIT
"""What does a group's own work make of the node: now, without our holds, and as planned?"""

from __future__ import annotations

import math

import numpy as np

from resonance_core.control.backlog import (
    PROFILE_BINS,
    Capacity,
    backlog_profile,
    delay_bound,
)
from resonance_core.control.counterfactual import Counterfactual
from resonance_core.control.picture import Picture
from resonance_core.control.plan import Plan
from resonance_core.control.records import Floats

__all__ = ["Forecast"]

_TURN = 2.0 * math.pi


class Forecast:
    """Backlog, bound and counterfactual of one group.

    Parameters
    ----------
    period_seconds, origin_seconds : float
        Of the group.
    service_seconds : float
        Work of one request; by its chance the end of a busy time varies.

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
    """

    def __init__(
        self, period_seconds: float, origin_seconds: float, service_seconds: float
    ) -> None:
        self._period = period_seconds
        self._origin = origin_seconds
        self._service = service_seconds
        self._waits = Counterfactual()
        self.profile_seconds: Floats = np.zeros(PROFILE_BINS)
        self.delay_bound_seconds = math.nan
        self.checks = 0
        self.violations = 0
        self.predicted_ratio = math.nan

    def forget(self) -> None:
        """Begin anew: the workload has changed."""
        self._waits.forget()
        self.predicted_ratio = math.nan

    def update(
        self, picture: Picture, holds_seconds: Floats, plan: Plan | None, capacity: Capacity
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
        """
        members = picture.members
        self.profile_seconds = backlog_profile(members, holds_seconds, self._period, capacity)
        jitter = picture.estimate.jitter_rad[picture.is_known] * (members.periods_seconds / _TURN)
        self.delay_bound_seconds = delay_bound(
            members, holds_seconds, jitter, self._period, capacity
        )
        if holds_seconds.any():
            return  # what was predicted in shadow stands
        if plan is not None:
            planned = backlog_profile(members, plan.hold_seconds, self._period, capacity)
            self.predicted_ratio = self._waits.ratio(
                self.profile_seconds, planned, self._blur_bins(jitter, capacity)
            )

    def _blur_bins(self, jitter_seconds: Floats, capacity: Capacity) -> int:
        """Return two standard deviations of the end of the longest busy time, in bins."""
        peak = float(self.profile_seconds.max(initial=0.0))
        finite = jitter_seconds[np.isfinite(jitter_seconds)]
        spread = float(np.mean(finite**2)) if len(finite) else 0.0
        if not math.isfinite(peak):
            return PROFILE_BINS
        deviation = math.sqrt(spread + peak * self._service / capacity.cores)
        return math.ceil(2.0 * deviation * PROFILE_BINS / self._period)

    def check(self, completions_seconds: Floats) -> None:
        """Compare how long bursts took with the bound; without one nothing is compared."""
        if not math.isfinite(self.delay_bound_seconds):
            return
        self.checks += len(completions_seconds)
        self.violations += int((completions_seconds > self.delay_bound_seconds).sum())

    def add_bins(
        self, start_seconds: float, bin_seconds: float, events: Floats, waits: Floats
    ) -> None:
        """Take in waits of others from a while without holds, by the bin in which they ended."""
        ends = start_seconds + (np.arange(len(events)) + 0.5) * bin_seconds
        with np.errstate(divide="ignore", invalid="ignore"):
            mean: Floats = np.where(events > 0.0, waits / events, 0.0)
        # what a wait met was the queue when it began
        began = ends - np.where(np.isfinite(mean), mean, 0.0)
        phases = np.asarray(((began - self._origin) % self._period) / self._period, np.float64)
        self._waits.add(phases, events, waits)

    def peak_seconds(self, after_seconds: float) -> float:
        """Return the next time at which the backlog is largest; NaN where there is none."""
        profile = self.profile_seconds
        if not np.isfinite(profile).all() or profile.max() <= 0.0:
            return math.nan
        # a bin's backlog is that at its end
        phase = (int(np.argmax(profile)) + 1) / PROFILE_BINS * self._period
        return after_seconds + (self._origin + phase - after_seconds) % self._period
