# SPDX-License-Identifier: MIT
"""What becomes of one workload under one arm?

The run goes window by window: bursts whose natural releases lie in it are released by the
arm, jobs that arrive in it go through the queue, and the arm sees what became known by its
end. An arm that never looks gets the whole run as one window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from resonance_core.control.records import Floats
from resonance_core.simulation.arms import Arm, Window
from resonance_core.simulation.jobs import SETUP, Jobs, Progress, Setup
from resonance_core.simulation.queues import FirstComeFirstServed, ProcessorSharing, Queue
from resonance_core.simulation.workload import Ints, Workload

__all__ = ["Trace", "run"]


@dataclass(frozen=True, slots=True)
class Trace:
    """All that happened.

    Attributes
    ----------
    workload : Workload
    request_wait_seconds, request_end_seconds : (requests,) float64
    job_end_seconds : (jobs,) float64
        Of the bursts' jobs, in the order of `Workload.job_seconds`.
    release_seconds, intended_seconds : (bursts,) float64
        As the arm decided.
    setups : int
        Bursts that came cold.
    """

    workload: Workload
    request_wait_seconds: Floats
    request_end_seconds: Floats
    job_end_seconds: Floats
    release_seconds: Floats
    intended_seconds: Floats
    setups: int


def run(workload: Workload, arm: Arm) -> Trace:
    """Simulate `workload` under `arm` until every job has ended."""
    state = _Run(workload, arm)
    restart = workload.scenario.restart_seconds
    duration = workload.scenario.duration_seconds
    number = 0
    while state.now_seconds < duration:
        number += 1
        # A product, as 0.1 added up 300 times is not 30.
        end = min(number * arm.window_seconds, duration)
        if restart is not None and restart <= end:
            state.step(restart)
            arm.restart(1, restart)
            restart = None
        state.step(end)
    state.step(math.inf)
    return state.trace()


class _Run:
    def __init__(self, workload: Workload, arm: Arm) -> None:
        scenario, bursts = workload.scenario, workload.bursts
        self.now_seconds = 0.0
        self._workload, self._arm = workload, arm
        self._queue: Queue = (
            FirstComeFirstServed(scenario.cores)
            if scenario.discipline == "fifo"
            else ProcessorSharing(scenario.cores)
        )
        count = len(workload.request_seconds) + len(workload.job_seconds)
        self._wait_seconds, self._end_seconds = np.full(count, np.nan), np.full(count, np.nan)
        self._release_seconds = np.empty(len(bursts.jobs))
        self._intended_seconds = np.empty(len(bursts.jobs))
        self._progress = Progress(workload)
        self._setup = Setup(scenario.setup_seconds, scenario.warm_seconds, self._is_first())
        self._later = Jobs.none()
        """Jobs that were released, and arrive after the last window."""
        self._next_burst = self._next_request = 0
        self._order = np.empty(count + len(bursts.jobs), dtype=np.int64)
        """Number of the job at each place in the queue's order of arrival."""
        self._arrived = 0

    def _is_first(self) -> Ints:
        requests = len(self._workload.request_seconds)
        first = np.zeros(requests + len(self._workload.job_seconds), dtype=np.int64)
        first[requests + self._workload.bursts.first_job] = 1
        return first

    def step(self, until_seconds: float) -> None:
        """Run one window."""
        arriving = Jobs.joined(
            self._requests(until_seconds), self._later, self._released(until_seconds)
        )
        due, self._later = arriving.until(until_seconds)
        due = self._setup.added(due)
        self._order[self._arrived : self._arrived + len(due)] = due.number
        self._arrived += len(due)
        places, waits, ends = self._queue.serve(
            due.arrival_seconds, due.service_seconds, until_seconds
        )
        number = self._order[places]
        is_ours = number != SETUP
        number, waits, ends = number[is_ours], waits[is_ours], ends[is_ours]
        self._wait_seconds[number], self._end_seconds[number] = waits, ends
        if math.isfinite(until_seconds):
            self._observe(number, waits, ends, until_seconds)
        self.now_seconds = until_seconds

    def _requests(self, until_seconds: float) -> Jobs:
        """Return the requests of the window."""
        workload, first = self._workload, self._next_request
        last = int(np.searchsorted(workload.request_seconds, until_seconds))
        self._next_request = last
        return Jobs(
            workload.request_seconds[first:last],
            workload.request_service_seconds[first:last],
            np.arange(first, last),
        )

    def _released(self, until_seconds: float) -> Jobs:
        """Ask the arm about the bursts of the window and return their jobs."""
        bursts = self._workload.bursts
        first = self._next_burst
        last = int(np.searchsorted(bursts.natural_seconds, until_seconds))
        self._next_burst = last
        part = bursts.between(first, last)
        decided = self._arm.release(part)
        self._release_seconds[first:last] = decided.release_seconds
        self._intended_seconds[first:last] = decided.intended_seconds
        before = int(part.first_job[0]) if len(part.jobs) else 0
        number = np.arange(before, before + int(part.jobs.sum()))
        step = number - np.repeat(part.first_job, part.jobs)
        pace = np.repeat(decided.pace_seconds / part.jobs, part.jobs)
        arrival = np.repeat(decided.release_seconds, part.jobs) + step * pace
        requests = len(self._workload.request_seconds)
        return Jobs(arrival, self._workload.job_seconds[number], number + requests)

    def _observe(self, number: Ints, waits: Floats, ends: Floats, until_seconds: float) -> None:
        workload = self._workload
        is_request = number < len(workload.request_seconds)
        request, job = number[is_request], number[~is_request] - len(workload.request_seconds)
        services = workload.request_service_seconds[request]
        worked = float(services.sum() + workload.job_seconds[job].sum())
        window = until_seconds - self.now_seconds
        busy = worked / (window * workload.scenario.cores) if window > 0.0 else 0.0
        waited_until = ends[is_request]
        if workload.scenario.discipline == "fifo":
            waited_until = waited_until - services
        burst, burst_end = self._progress.ended(job, ends[~is_request], until_seconds)
        self._arm.observe(
            Window(until_seconds, waits[is_request], waited_until, min(busy, 1.0), burst, burst_end)
        )

    def trace(self) -> Trace:
        requests = len(self._workload.request_seconds)
        return Trace(
            self._workload,
            self._wait_seconds[:requests],
            self._end_seconds[:requests],
            self._end_seconds[requests:],
            self._release_seconds,
            self._intended_seconds,
            self._setup.count,
        )
