# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resonance_core.simulation.scenario import Requests, Scenario, SourceBlock, reference_scenario
from resonance_core.simulation.workload import draw_workload


def _one(**fields: Any) -> Scenario:
    return Scenario(name="one", sources=(SourceBlock(**fields),), duration_seconds=100.0)


def test_the_same_seed_draws_the_same_work() -> None:
    scenario = reference_scenario(8, 0.75)
    first, again, other = (draw_workload(scenario, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.job_seconds, again.job_seconds)
    assert np.array_equal(first.request_seconds, again.request_seconds)
    assert np.array_equal(first.bursts.natural_seconds, again.bursts.natural_seconds)
    assert not np.array_equal(first.work_seconds, other.work_seconds)


def test_the_work_is_what_the_scenario_says() -> None:
    scenario = reference_scenario(16, 0.75)
    work = draw_workload(scenario, 3)
    assert work.work_seconds.mean() == pytest.approx(0.009375, rel=1e-12)
    load = (work.job_seconds.sum() + work.request_service_seconds.sum()) / (4 * 30.0)
    # About 90 000 exponential jobs, and the count of the requests is Poisson: sd 0.5 %.
    assert load == pytest.approx(0.75, rel=0.015)
    assert work.bursts.jobs.sum() == len(work.job_seconds)


def test_what_varies_in_a_source_leaves_the_requests_alone() -> None:
    calm, loose = (draw_workload(_one(jitter_seconds=jitter), 5) for jitter in (0.0, 0.004))
    assert np.array_equal(calm.request_seconds, loose.request_seconds)


def test_releases_stay_on_their_lattice() -> None:
    bursts = draw_workload(_one(jitter_seconds=0.001), 6).bursts
    error = bursts.natural_seconds - bursts.lattice_seconds
    assert np.diff(bursts.lattice_seconds) == pytest.approx(0.1)
    assert error.std() == pytest.approx(0.001, rel=3.0 / math.sqrt(2 * len(error)))
    assert (np.diff(bursts.natural_seconds) > 0.0).all()


def test_phases_wander_as_far_as_they_are_told() -> None:
    bursts = draw_workload(_one(jitter_seconds=0.0, drift_seconds=0.002), 7).bursts
    steps = np.diff(bursts.natural_seconds) - 0.1
    assert steps.std() == pytest.approx(0.002, rel=3.0 / math.sqrt(2 * len(steps)))


def test_detuning_spreads_the_true_periods() -> None:
    work = draw_workload(
        _one(count=400, work_seconds=0.0005, jitter_seconds=0.0, detuning_ratio=1e-3), 8
    )
    own = [work.bursts.natural_seconds[work.bursts.source == k] for k in range(400)]
    periods = np.array([np.diff(each).mean() for each in own])
    assert periods.std() == pytest.approx(1e-4, rel=3.0 / math.sqrt(800))
    assert (work.period_seconds == 0.1).all()


def test_a_source_without_a_period_releases_at_the_same_rate() -> None:
    work = draw_workload(_one(count=20, is_periodic=False), 9)
    gaps = np.concatenate(
        [np.diff(work.bursts.natural_seconds[work.bursts.source == k]) for k in range(20)]
    )
    assert gaps.mean() == pytest.approx(0.1, rel=3.0 / math.sqrt(len(gaps)))
    assert gaps.std() == pytest.approx(0.1, rel=0.05)


def test_all_blocks_are_aligned_with_each_other() -> None:
    scenario = reference_scenario(12, 0.5, periods_seconds=(0.1, 0.05, 0.025), spread_seconds=0.0)
    origin = draw_workload(scenario, 1).origin_seconds[0]
    assert origin % 0.025 == pytest.approx(np.zeros(12), abs=1e-12)


def test_a_restart_draws_new_phases_and_ends_the_old_ones() -> None:
    scenario = replace(_one(count=5), restart_seconds=25.0)
    work = draw_workload(scenario, 2)
    after = work.bursts.natural_seconds >= 25.0
    assert (work.bursts.generation == after).all()
    assert not np.allclose(work.origin_seconds[0] % 0.1, work.origin_seconds[1] % 0.1, atol=1e-5)


def test_a_small_burst_is_one_job() -> None:
    work = draw_workload(_one(work_seconds=0.0002), 2)
    assert (work.bursts.jobs == 1).all()
    assert work.job_seconds.mean() == pytest.approx(0.0002, rel=3.0 / math.sqrt(1_000))


@pytest.mark.parametrize(
    ("service", "variation"),
    [("constant", 0.0), ("exponential", 1.0), ("lognormal", 1.5), ("bimodal", 27.0 / 19.0)],
)
def test_services_have_the_mean_and_the_variation_they_say(service: Any, variation: float) -> None:
    requests = Requests(utilisation_ratio=0.5, service=service)
    scenario = Scenario(
        name="services", sources=(SourceBlock(),), requests=requests, duration_seconds=200.0
    )
    seconds = draw_workload(scenario, 4).request_service_seconds
    spread = seconds.std() / seconds.mean()
    assert seconds.mean() == pytest.approx(0.001, rel=1e-9 + 3.0 * variation / 600.0)
    assert spread == pytest.approx(variation, rel=0.05, abs=1e-9)
