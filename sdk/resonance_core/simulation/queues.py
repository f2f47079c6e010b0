# SPDX-License-Identifier: MIT
"""When does each job start and end on a few equal servers?

Both queues take jobs in the order of their arrival, a window at a time, and keep their state
between windows. A job is known by its place in that order. Time is simulated: it only comes in
as an argument.
"""

from __future__ import annotations

import heapq
import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from resonance_core.control.records import Floats

__all__ = ["FirstComeFirstServed", "Known", "ProcessorSharing", "Queue"]

Known = tuple[npt.NDArray[np.int64], Floats, Floats]
"""Places of jobs in the order of arrival, time each was there without service, and its end."""


class Queue(Protocol):
    """Equal servers and a discipline."""

    def serve(
        self, arrival_seconds: Floats, service_seconds: Floats, until_seconds: float
    ) -> Known:
        """Take the jobs of one window and return those that became known in it.

        Parameters
        ----------
        arrival_seconds : (n,) float64
            Ascending, none before the last window's end, none after `until_seconds`.
        service_seconds : (n,) float64
            Time each job takes on a server of its own, >= 0.
        until_seconds : float
            End of the window; infinity drains the queue.

        Returns
        -------
        Known
            Places (k,) int64, times without service and ends (k,) float64 in seconds.
        """
        ...


class FirstComeFirstServed:
    """A job starts when a server is free and everybody before it has started.

    A job becomes known when it starts, as a scheduler's probe sees it; its end follows from
    its service and lies up to that much later.

    Parameters
    ----------
    servers : int
        At least 1.

    References
    ----------
    Kiefer and Wolfowitz, Trans. AMS 78 (1955): the recursion on the vector of free times.
    """

    def __init__(self, servers: int) -> None:
        self._free = [0.0] * servers
        self._jobs = 0
        self._unknown = np.empty((4, 0))
        """Start, place, wait and end of jobs that start after the last window."""

    def serve(
        self, arrival_seconds: Floats, service_seconds: Floats, until_seconds: float
    ) -> Known:
        """See `Queue`."""
        free, replace = self._free, heapq.heapreplace
        starts: list[float] = []
        append = starts.append
        for arrival, service in zip(
            arrival_seconds.tolist(), service_seconds.tolist(), strict=True
        ):
            start = free[0]
            if start < arrival:  # noqa: PLR1730 - max() is a call per job, and jobs are millions
                start = arrival
            replace(free, start + service)
            append(start)
        start_seconds = np.array(starts)
        place = np.arange(self._jobs, self._jobs + len(starts), dtype=np.float64)
        self._jobs += len(starts)
        jobs = np.stack(
            (start_seconds, place, start_seconds - arrival_seconds, start_seconds + service_seconds)
        )
        jobs = np.concatenate((self._unknown, jobs), axis=1)
        # Starts ascend in this discipline: those not yet known are the last ones.
        count = int(np.searchsorted(jobs[0], until_seconds, side="right"))
        self._unknown = jobs[:, count:]
        return jobs[1, :count].astype(np.int64), jobs[2, :count], jobs[3, :count]


class ProcessorSharing:
    """All jobs present share the servers equally, none gets more than one.

    What a fair preemptive scheduler comes to with slices short against the jobs. A job
    becomes known when it ends.

    Parameters
    ----------
    servers : int
        At least 1.

    References
    ----------
    Kleinrock, J. ACM 14 (1967). With equal shares jobs end in the order of (service anybody
    present has attained when the job came) + (its own service), so one heap suffices.
    """

    def __init__(self, servers: int) -> None:
        self._servers = servers
        self._present: list[tuple[float, int, float, float]] = []
        """Goal of attained service, place, arrival and service of each job there."""
        self._attained = 0.0
        self._now = 0.0
        self._jobs = 0

    def serve(
        self, arrival_seconds: Floats, service_seconds: Floats, until_seconds: float
    ) -> Known:
        """See `Queue`."""
        ended: list[tuple[int, float, float]] = []
        for arrival, service in zip(
            arrival_seconds.tolist(), service_seconds.tolist(), strict=True
        ):
            self._run(arrival, ended)
            heapq.heappush(self._present, (self._attained + service, self._jobs, arrival, service))
            self._jobs += 1
        self._run(until_seconds, ended)
        table = np.array(ended).reshape(-1, 3)
        return table[:, 0].astype(np.int64), table[:, 1], table[:, 2]

    def _run(self, until_seconds: float, ended: list[tuple[int, float, float]]) -> None:
        present, now, attained = self._present, self._now, self._attained
        while present:
            rate = min(1.0, self._servers / len(present))
            goal, place, arrival, service = present[0]
            end = now + (goal - attained) / rate
            if end > until_seconds:
                attained += (until_seconds - now) * rate
                break
            heapq.heappop(present)
            now, attained = end, goal
            ended.append((place, max(end - arrival - service, 0.0), end))
        # An idle node starts its account anew, so that it does not grow without bound.
        self._attained = attained if present else 0.0
        self._now = until_seconds if math.isfinite(until_seconds) else now
