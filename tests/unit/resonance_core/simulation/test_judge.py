# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.records import Floats
from resonance_core.errors import InvalidSampleError
from resonance_core.simulation.arms import Granted, untouched
from resonance_core.simulation.judge import Holds, Outcome, judge, ratios
from resonance_core.simulation.run import Trace, run
from resonance_core.simulation.scenario import Requests, Scenario, SourceBlock
from resonance_core.simulation.workload import Workload, draw_workload


@pytest.fixture
def workload() -> Workload:
    scenario = Scenario(
        name="two",
        sources=(SourceBlock(count=2, jitter_seconds=0.0),),
        duration_seconds=6.0,
        warmup_seconds=3.0,
    )
    return draw_workload(scenario, 1)


def _held(workload: Workload, holds: Floats) -> Trace:
    """Return what would be if each burst's hold were given; latencies count from the natural."""
    trace = run(workload, untouched(workload))
    natural = workload.bursts.natural_seconds
    return Trace(
        workload,
        trace.request_wait_seconds,
        trace.request_end_seconds,
        trace.job_end_seconds + np.repeat(holds, workload.bursts.jobs),
        natural + holds,
        natural,
        0,
    )


def test_a_hold_is_latency_of_the_source_and_not_of_the_requests(workload: Workload) -> None:
    nothing = np.zeros(len(workload.bursts.jobs))
    plain, held = judge(_held(workload, nothing)), judge(_held(workload, nothing + 0.004))
    assert held.latency_seconds["requests"] == plain.latency_seconds["requests"]
    later = np.subtract(held.latency_seconds["sources"], plain.latency_seconds["sources"])
    assert later == pytest.approx([0.004] * 4)


def test_nothing_is_judged_before_the_warm_up_is_over(workload: Workload) -> None:
    nothing = np.zeros(len(workload.bursts.jobs))
    early = np.where(workload.bursts.natural_seconds < 2.9, 0.05, 0.0)
    plain, slow = judge(_held(workload, nothing)), judge(_held(workload, early))
    assert slow.latency_seconds == plain.latency_seconds


def test_jobs_per_second_are_counted_within_the_judged_time(workload: Workload) -> None:
    trace = run(workload, untouched(workload))
    ends = np.concatenate((trace.request_end_seconds, trace.job_end_seconds))
    count = ((ends >= 3.0) & (ends < 6.0)).sum()
    assert judge(trace).jobs_per_second == pytest.approx(count / 3.0)


def test_holds_are_measured_by_their_steps(workload: Workload) -> None:
    number = np.zeros(len(workload.bursts.jobs))
    for source in (0, 1):
        own = workload.bursts.source == source
        number[own] = np.arange(own.sum())
    # Source 0 slews by 5 ms in each of ten cycles and stays; source 1 never moves.
    holds = np.where(workload.bursts.source == 0, np.minimum(number * 0.005, 0.05), 0.0)
    found = judge(_held(workload, holds)).holds
    assert found.longest_step_seconds == pytest.approx(0.005)
    assert found.steady_seconds == pytest.approx(0.0, abs=1e-12)
    assert found.largest_share_of_bound == pytest.approx(0.05 / (0.15 + 0.0001 * 11))


def test_steps_late_in_the_run_are_the_steady_hold(workload: Workload) -> None:
    late = workload.bursts.natural_seconds >= 5.0
    holds = np.where((workload.bursts.source == 0) & late, 0.006, 0.0)
    bursts_late = (workload.bursts.natural_seconds >= 4.0).sum()
    assert judge(_held(workload, holds)).holds.steady_seconds == pytest.approx(0.006 / bursts_late)


def test_a_grant_is_no_step(workload: Workload) -> None:
    trace = run(workload, Granted(workload, np.full_like(workload.origin_seconds, 0.04)))
    assert judge(trace, is_granted=True).holds.longest_step_seconds == pytest.approx(0.0, abs=1e-12)
    assert judge(trace).holds.longest_step_seconds == pytest.approx(0.04)


def _outcome(latency: float, jobs: float = 10.0) -> Outcome:
    four = (latency,) * 4
    latencies = {"requests": four, "sources": four, "all": four}
    return Outcome(latencies, latency, jobs, Holds(0.0, 0.0, 0.0))  # type: ignore[arg-type]


def test_seeds_are_averaged_geometrically() -> None:
    found = ratios([_outcome(1.0), _outcome(8.0)], [_outcome(2.0), _outcome(4.0)])
    assert found.latency["requests"] == pytest.approx([1.0] * 4)
    assert found.low["all"] == pytest.approx([0.5] * 4)
    assert found.high["sources"] == pytest.approx([2.0] * 4)
    assert found.wait_p99 == pytest.approx(math.sqrt(0.5 * 2.0))
    assert found.throughput == 1.0


@pytest.mark.parametrize("references", [[], [_outcome(1.0)]])
def test_arms_without_common_seeds_are_not_compared(references: list[Outcome]) -> None:
    with pytest.raises(InvalidSampleError):
        ratios([_outcome(1.0)] * 2, references)
    with pytest.raises(InvalidSampleError):
        ratios([], [])


def test_nothing_by_nothing_is_no_change() -> None:
    nothing, something = _outcome(0.0), _outcome(1.0)
    assert ratios([nothing], [nothing]).wait_p99 == 1.0
    assert ratios([something], [nothing]).wait_p99 == math.inf
    assert ratios([nothing, something], [something] * 2).wait_p99 == 0.0


def test_without_requests_their_latency_is_not_known() -> None:
    scenario = Scenario(
        name="alone", sources=(SourceBlock(),), requests=Requests(utilisation_ratio=0.0)
    )
    workload = draw_workload(scenario, 1)
    outcome = judge(run(workload, untouched(workload)))
    assert math.isnan(outcome.latency_seconds["requests"][2])
    assert math.isnan(outcome.wait_p99_seconds)
    assert outcome.latency_seconds["sources"] == outcome.latency_seconds["all"]
    assert math.isnan(ratios([outcome], [outcome]).wait_p99)
