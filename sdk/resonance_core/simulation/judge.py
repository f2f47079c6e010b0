# SPDX-License-Identifier: MIT
"""How did an arm do, alone and against another of the same seeds?

All latencies are open loop: they begin when the source wanted its burst, so a hold counts.
A ratio is formed within a seed, where both arms met the same work, and averaged over seeds
as a geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resonance_core.control.records import Floats
from resonance_core.errors import InvalidSampleError
from resonance_core.simulation.run import Trace

__all__ = ["QUANTILES", "Holds", "Outcome", "Ratios", "Traffic", "judge", "ratios"]

QUANTILES = (0.5, 0.95, 0.99, 0.999)
Traffic = Literal["requests", "sources", "all"]


@dataclass(frozen=True, slots=True)
class Holds:
    """What the sources were held.

    Attributes
    ----------
    steady_seconds : float
        Mean step per burst in the last third of the run, either way.
    longest_step_seconds : float
        Of the hold from one cycle to the next; grants are no step.
    largest_share_of_bound : float
        The source that was held most in all, by 1.5 T + 0.001 T t; at most 1.
    """

    steady_seconds: float
    longest_step_seconds: float
    largest_share_of_bound: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes
    ----------
    latency_seconds : dict of traffic to tuple of float
        At `QUANTILES`.
    wait_p99_seconds : float
        Of the requests: what a probe of the run queue sees.
    jobs_per_second : float
        Ended within the judged time.
    holds : Holds
    """

    latency_seconds: dict[Traffic, tuple[float, ...]]
    wait_p99_seconds: float
    jobs_per_second: float
    holds: Holds


@dataclass(frozen=True, slots=True)
class Ratios:
    """One arm by another.

    Attributes
    ----------
    latency : dict of traffic to tuple of float
        At `QUANTILES`; below 1 is better.
    low, high : dict of traffic to tuple of float
        Of single seeds.
    wait_p99, throughput : float
    """

    latency: dict[Traffic, tuple[float, ...]]
    low: dict[Traffic, tuple[float, ...]]
    high: dict[Traffic, tuple[float, ...]]
    wait_p99: float
    throughput: float


def judge(trace: Trace, *, is_granted: bool = False) -> Outcome:
    """Return what `trace` comes to.

    Parameters
    ----------
    trace : Trace
        What happened in one run.
    is_granted : bool
        Offsets were granted at the start and after a restart, so they are no steps.

    Returns
    -------
    Outcome
    """
    workload = trace.workload
    scenario = workload.scenario
    since = scenario.warmup_seconds
    request_latency = trace.request_end_seconds - workload.request_seconds
    intended = np.repeat(trace.intended_seconds, workload.bursts.jobs)
    job_latency = trace.job_end_seconds - intended
    is_judged = workload.request_seconds >= since
    requests = request_latency[is_judged]
    sources = job_latency[intended >= since]
    ends = np.concatenate((trace.request_end_seconds, trace.job_end_seconds))
    ended = int(np.count_nonzero((ends >= since) & (ends < scenario.duration_seconds)))
    return Outcome(
        {
            "requests": _quantiles(requests),
            "sources": _quantiles(sources),
            "all": _quantiles(np.concatenate((requests, sources))),
        },
        _quantile(trace.request_wait_seconds[is_judged], 0.99),
        ended / (scenario.duration_seconds - since),
        _holds(trace, is_granted=is_granted),
    )


def ratios(outcomes: Sequence[Outcome], references: Sequence[Outcome]) -> Ratios:
    """Return the outcomes of one arm by those of another, seed by seed.

    Parameters
    ----------
    outcomes : sequence of Outcome
        One per seed, at least one.
    references : sequence of Outcome
        Of the same seeds in the same order.

    Returns
    -------
    Ratios
        Geometric means over the seeds, with the least and the largest.

    Raises
    ------
    InvalidSampleError
        There is no seed, or not the same number of both.
    """
    if not outcomes or len(outcomes) != len(references):
        raise InvalidSampleError("outcomes", "one per seed and arm are needed")
    pairs = list(zip(outcomes, references, strict=True))
    found: dict[Traffic, list[tuple[float, ...]]] = {
        traffic: [
            tuple(map(_ratio, ours.latency_seconds[traffic], theirs.latency_seconds[traffic]))
            for ours, theirs in pairs
        ]
        for traffic in outcomes[0].latency_seconds
    }
    columns: dict[Traffic, list[tuple[float, ...]]] = {
        traffic: list(zip(*rows, strict=True)) for traffic, rows in found.items()
    }
    return Ratios(
        latency=_each(_geometric, columns),
        low=_each(min, columns),
        high=_each(max, columns),
        wait_p99=_geometric([_ratio(a.wait_p99_seconds, b.wait_p99_seconds) for a, b in pairs]),
        throughput=_geometric([_ratio(a.jobs_per_second, b.jobs_per_second) for a, b in pairs]),
    )


def _holds(trace: Trace, *, is_granted: bool) -> Holds:
    workload = trace.workload
    bursts, scenario = workload.bursts, workload.scenario
    hold = trace.release_seconds - bursts.natural_seconds
    late_from = scenario.duration_seconds * 2.0 / 3.0
    longest = share = total_late = 0.0
    count_late = 0
    for source, period in enumerate(workload.period_seconds.tolist()):
        for generation in range(len(workload.origin_seconds)):
            own = np.flatnonzero((bursts.source == source) & (bursts.generation == generation))
            if not len(own):
                continue
            steps = np.diff(hold[own], prepend=hold[own[0]] if is_granted else 0.0)
            longest = max(longest, float(np.abs(steps).max()))
            held = np.cumsum(np.maximum(steps, 0.0))
            bound = 1.5 * period + 0.001 * period * np.arange(1, len(own) + 1)
            share = max(share, float((held / bound).max()))
            is_late = bursts.natural_seconds[own] >= late_from
            total_late += float(np.abs(steps[is_late]).sum())
            count_late += int(is_late.sum())
    return Holds(total_late / max(count_late, 1), longest, share)


def _quantiles(values: Floats) -> tuple[float, ...]:
    return tuple(_quantile(values, each) for each in QUANTILES)


def _quantile(values: Floats, ratio: float) -> float:
    return float(np.quantile(values, ratio)) if len(values) else math.nan


def _each(
    sum_up: Callable[[Sequence[float]], float], columns: dict[Traffic, list[tuple[float, ...]]]
) -> dict[Traffic, tuple[float, ...]]:
    return {traffic: tuple(map(sum_up, each)) for traffic, each in columns.items()}


def _ratio(ours: float, theirs: float) -> float:
    """Return a quotient; 1 where both are the same, be it nothing."""
    if ours == theirs:
        return 1.0
    return ours / theirs if theirs else math.inf


def _geometric(values: Sequence[float]) -> float:
    if min(values) == 0.0:
        return 0.0
    return math.exp(math.fsum(map(math.log, values)) / len(values))
