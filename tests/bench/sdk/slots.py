# SPDX-License-Identifier: MIT
"""What is done in one slot, and how is it told from what the machine did besides?

The same seed gives every arm of a round the same calls and the same batch jobs, so that what is
compared differs in the decisions alone.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from .driving import Arrivals, Trace
from .processes import Jobs

__all__ = ["Load", "Sample", "arrivals", "busy_seconds", "jobs", "judged", "realtime"]

_PRIORITY: Final = 10
_THREADS: Final = 3
_THREAD_SECONDS: Final = 0.040
_LATE_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the nodes in a slot.

    Attributes
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


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm in one slot, seconds from when calls were due.

    Attributes
    ----------
    p50, p95, p99, p999 : float
    late_p99 : float
        How late the generator was.
    extra_ratio, wasted_ratio : float
        As in `Trace`, of the whole slot.
    used_cores, foreign_cores : float
        CPUs that the rig used, the generator included, and that others did.
    call_seconds : float
        CPU time of the rig by calls, where there are no neighbours what a call costs.
    job_seconds : float
        Median time of the batch jobs; NaN without.
    """

    p50: float
    p95: float
    p99: float
    p999: float
    late_p99: float
    extra_ratio: float
    wasted_ratio: float
    used_cores: float
    foreign_cores: float
    call_seconds: float
    job_seconds: float

    def doubt(self, most_foreign_cores: float) -> str:
        """Return why this is not to be believed; nothing where it is."""
        if self.foreign_cores > most_foreign_cores:
            return f"{self.foreign_cores:.2f} CPUs were used by others"
        if self.late_p99 > _LATE_SHARE * self.p99:
            return f"the generator was {self.late_p99 * 1e3:.2f} ms late"
        return ""


def arrivals(load: Load, seed: object) -> Arrivals:
    """Draw when calls are due, and whose they are (Poisson)."""
    draw = Random(f"{seed} calls")
    drawn: list[tuple[float, int]] = []
    at = draw.expovariate(load.rate_per_second)
    while at < load.whole_seconds:
        drawn.append((at, draw.randrange(load.clients)))
        at += draw.expovariate(load.rate_per_second)
    return drawn


def jobs(load: Load, seed: object, cpu: int) -> Jobs:
    """Draw the batch jobs of one CPU, independently of the others."""
    if not load.batch_load:
        return []
    draw = Random(f"{seed} jobs of CPU {cpu}")
    per_second = load.batch_load / (_THREADS * _THREAD_SECONDS)
    drawn: list[tuple[float, list[float]]] = []
    at = draw.expovariate(per_second)
    while at < load.whole_seconds:
        works = [draw.expovariate(1.0 / _THREAD_SECONDS) for _ in range(_THREADS)]
        drawn.append((at, works))
        at += draw.expovariate(per_second)
    return drawn


def judged(
    trace: Trace,
    warm_up_seconds: float,
    *,
    elapsed_seconds: float,
    used_seconds: float,
    foreign_seconds: float,
    job_seconds: float,
) -> Sample:
    """Work out what is reported of a slot, calls that were due in its warm-up left out.

    Parameters
    ----------
    trace : Trace
    warm_up_seconds : float
    elapsed_seconds : float
    used_seconds, foreign_seconds : float
        CPU time meanwhile, of the rig and of others.
    job_seconds : float
    """
    pairs = zip(trace.due_seconds, trace.took_seconds, strict=True)
    took = sorted(took for due, took in pairs if due >= warm_up_seconds)
    if not took:
        raise ValueError("no call was due after the warm-up")
    return Sample(
        p50=_quantile(took, 0.5),
        p95=_quantile(took, 0.95),
        p99=_quantile(took, 0.99),
        p999=_quantile(took, 0.999),
        late_p99=_quantile(sorted(trace.late_seconds), 0.99),
        extra_ratio=trace.extra_ratio,
        wasted_ratio=trace.wasted_ratio,
        used_cores=used_seconds / elapsed_seconds,
        foreign_cores=foreign_seconds / elapsed_seconds,
        call_seconds=used_seconds / trace.calls,
        job_seconds=job_seconds,
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def busy_seconds() -> float:
    """Return the time that the CPUs of this host were not idle, all together."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    # user nice system idle iowait irq softirq steal: all but idle and iowait.
    busy = [int(value) for place, value in enumerate(fields[:8]) if place not in {3, 4}]
    return sum(busy) / os.sysconf("SC_CLK_TCK")


@contextmanager
def realtime() -> Iterator[None]:
    """Let the generator run when it is due, and nothing collect garbage meanwhile.

    The class is SCHED_FIFO, which the kernel bounds to 95 % of the time; threads and processes
    begun meanwhile do not inherit it.
    """
    gc.collect()
    gc.disable()
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, policy, os.sched_param(_PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        gc.enable()
