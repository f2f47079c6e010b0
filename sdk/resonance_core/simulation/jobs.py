# SPDX-License-Identifier: MIT
"""Which jobs arrive in a window, what a cold burst adds to them, and which bursts are over?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from resonance_core.control.records import Floats
from resonance_core.simulation.workload import Ints, Workload

__all__ = ["SETUP", "Jobs", "Progress", "Setup"]

SETUP = -1
"""Number of a job that only exists because a burst came cold."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs that arrive.

    Attributes
    ----------
    arrival_seconds, service_seconds : (n,) float64
    number : (n,) int64
        Requests first, then the jobs of the bursts, as `Workload` has them; or `SETUP`.
    """

    arrival_seconds: Floats
    service_seconds: Floats
    number: Ints

    @classmethod
    def none(cls) -> Jobs:
        """Return no jobs."""
        return cls(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))

    @classmethod
    def joined(cls, *parts: Jobs) -> Jobs:
        """Return the jobs of all parts, one part after the other."""
        return cls(
            np.concatenate([each.arrival_seconds for each in parts]),
            np.concatenate([each.service_seconds for each in parts]),
            np.concatenate([each.number for each in parts]),
        )

    def until(self, seconds: float) -> tuple[Jobs, Jobs]:
        """Return what arrives before, in order of arrival, and the rest."""
        due = np.flatnonzero(self.arrival_seconds < seconds)
        due = due[np.argsort(self.arrival_seconds[due], kind="stable")]
        return self[due], self[np.flatnonzero(self.arrival_seconds >= seconds)]

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, which: Ints) -> Jobs:
        return Jobs(self.arrival_seconds[which], self.service_seconds[which], self.number[which])


class Progress:
    """Which bursts have ended."""

    def __init__(self, workload: Workload) -> None:
        jobs = workload.bursts.jobs
        self._burst_of_job = np.repeat(np.arange(len(jobs)), jobs)
        self._missing = jobs.copy()
        self._end_seconds = np.zeros(len(jobs))
        self._running = np.empty(0, dtype=np.int64)

    def ended(self, jobs: Ints, ends: Floats, now_seconds: float) -> tuple[Ints, Floats]:
        """Take jobs and their ends; return the bursts that are over by now.

        Parameters
        ----------
        jobs : (k,) int64
            Places of jobs that became known.
        ends : (k,) float64
            Seconds; may be later than now.
        now_seconds : float

        Returns
        -------
        bursts : (b,) int64
            Whose last job has ended, ascending.
        ends : (b,) float64
            When, in seconds.
        """
        bursts = self._burst_of_job[jobs]
        np.subtract.at(self._missing, bursts, 1)
        np.maximum.at(self._end_seconds, bursts, ends)
        running = np.union1d(self._running, bursts)
        is_over = (self._missing[running] == 0) & (self._end_seconds[running] <= now_seconds)
        self._running = running[~is_over]
        over = running[is_over]
        return over, self._end_seconds[over]


class Setup:
    """What a burst costs that comes cold.

    Parameters
    ----------
    setup_seconds : float
        Work that a cold burst has on top, zero or more; 0 for none.
    warm_seconds : float
        For how long a burst after another one is not cold.
    is_first : (jobs,) int64
        By number of the job: 1 for the first of its burst, else 0.
    """

    def __init__(self, setup_seconds: float, warm_seconds: float, is_first: Ints) -> None:
        self._setup_seconds, self._warm_seconds = setup_seconds, warm_seconds
        self._is_first = is_first
        self._warm_until = -math.inf
        self.count = 0

    def added(self, jobs: Jobs) -> Jobs:
        """Put one more job before the first of each burst that comes cold."""
        if self._setup_seconds == 0.0 or not len(jobs):
            return jobs
        cold: list[int] = []
        for place in np.flatnonzero(self._is_first[jobs.number]).tolist():
            at = float(jobs.arrival_seconds[place])
            if at > self._warm_until:
                cold.append(place)
            self._warm_until = at + self._warm_seconds
        self.count += len(cold)
        return Jobs(
            np.insert(jobs.arrival_seconds, cold, jobs.arrival_seconds[cold]),
            np.insert(jobs.service_seconds, cold, self._setup_seconds),
            np.insert(jobs.number, cold, SETUP),
        )
