# SPDX-License-Identifier: MIT
"""What is done in one slot, and how is it told from what the machine did besides?

The same seed gives every arm of a round the same calls and the same batch jobs, so that what is
compared differs in the decisions alone.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.driving import Arrivals
from resonance.bench.reference.processes import Jobs

__all__ = ["Demand", "arrivals", "jobs", "realtime"]

_PRIORITY: Final = 10
_THREADS: Final = 3
_THREAD_SECONDS: Final = 0.040


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the nodes in a slot.

    Parameters
    ----------
    clients : int
        Each with a service of its own; together they send all.
    rate_per_second : float
    batch_load : float
        CPU time of the batch jobs that come to each CPU that is not starved, as a share of it.
    seconds, warm_up_seconds : float
        What is measured, and what goes before it.
    is_starved : bool
        On the first CPU there are threads that never sleep, and no batch jobs.
    """

    clients: int
    rate_per_second: float
    batch_load: float = 0.0
    seconds: float = 3.0
    warm_up_seconds: float = 0.5
    is_starved: bool = False

    @property
    def whole_seconds(self) -> float:
        """Return how long a slot is."""
        return self.warm_up_seconds + self.seconds


def arrivals(demand: Demand, seed: object) -> Arrivals:
    """Draw when calls are due, and whose they are (Poisson).

    Parameters
    ----------
    demand : Demand
    seed : object

    Returns
    -------
    sequence of (float, int)
        Seconds after the beginning, and the client; in order of time.
    """
    draw = Random(f"{seed} calls")  # noqa: S311 - the same for every arm, and no secret
    drawn: list[tuple[float, int]] = []
    at = draw.expovariate(demand.rate_per_second)
    while at < demand.whole_seconds:
        drawn.append((at, draw.randrange(demand.clients)))
        at += draw.expovariate(demand.rate_per_second)
    return drawn


def jobs(demand: Demand, seed: object, place: int, cpus: int = 1) -> Jobs:
    """Draw the batch jobs of some CPUs, independently of those of others.

    Parameters
    ----------
    demand : Demand
    seed : object
    place : int
        Which of those that share the seed.
    cpus : int
        Over how many CPUs the jobs may spread.

    Returns
    -------
    sequence of (float, sequence of float)
        When each is due after the beginning, and the CPU seconds of its threads.
    """
    if not demand.batch_load:
        return []
    draw = Random(f"{seed} jobs {place}")  # noqa: S311 - as above
    per_second = cpus * demand.batch_load / (_THREADS * _THREAD_SECONDS)
    drawn: list[tuple[float, list[float]]] = []
    at = draw.expovariate(per_second)
    while at < demand.whole_seconds:
        works = [draw.expovariate(1.0 / _THREAD_SECONDS) for _ in range(_THREADS)]
        drawn.append((at, works))
        at += draw.expovariate(per_second)
    return drawn


@contextmanager
def realtime() -> Generator[None]:
    """Let the generator run when it is due, and nothing collect garbage meanwhile.

    The class is SCHED_FIFO, which the kernel bounds to 95 % of the time; threads and processes
    begun meanwhile do not inherit it.

    Raises
    ------
    ExperimentError
        The kernel does not allow it.
    """
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY))
    except PermissionError as error:
        raise ExperimentError(
            "sending on time", "no real-time class is permitted: run as root, or with CAP_SYS_NICE"
        ) from error
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        gc.enable()
