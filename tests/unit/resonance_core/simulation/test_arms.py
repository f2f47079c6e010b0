# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.calculus.phasor import discrepancy, order_parameters
from resonance_core.control.records import Floats
from resonance_core.simulation.arms import (
    Granted,
    Jitter,
    Kuramoto,
    budget_seconds,
    oracle,
    random_phases,
    untouched,
)
from resonance_core.simulation.run import run
from resonance_core.simulation.scenario import reference_scenario
from resonance_core.simulation.workload import Workload, draw_workload


@pytest.fixture
def workload() -> Workload:
    return draw_workload(reference_scenario(16, 0.3, cycles=60, warmup_cycles=5), 1)


def _last_phases(workload: Workload, release: Floats) -> Floats:
    """Return each source's phase at its last burst, without jitter."""
    hold = release - workload.bursts.natural_seconds
    last = [np.flatnonzero(workload.bursts.source == k)[-1] for k in range(16)]
    return 2.0 * np.pi * (workload.bursts.lattice_seconds + hold)[last] / 0.1


def test_the_budget_is_seven_milliseconds_or_seven_percent() -> None:
    assert budget_seconds(np.array([0.02, 0.1, 2.0])) == pytest.approx([0.0014, 0.007, 0.007])


def test_none_leaves_every_burst_where_it_is(workload: Workload) -> None:
    decided = untouched(workload).release(workload.bursts)
    assert np.array_equal(decided.release_seconds, workload.bursts.natural_seconds)
    assert np.array_equal(decided.intended_seconds, workload.bursts.natural_seconds)


def test_jitter_stays_within_the_budget_and_counts_as_latency(workload: Workload) -> None:
    decided = Jitter(workload, np.random.default_rng(1)).release(workload.bursts)
    held = decided.release_seconds - workload.bursts.natural_seconds
    assert 0.0 <= held.min() <= held.max() <= 0.007
    assert held.mean() == pytest.approx(0.0035, rel=0.1)
    assert np.array_equal(decided.intended_seconds, workload.bursts.natural_seconds)


def test_random_phases_do_not_depend_on_the_true_ones(workload: Workload) -> None:
    granted = random_phases(workload, np.random.default_rng(3))
    phases = (workload.origin_seconds + granted.offset_seconds) % 0.1
    wanted = np.random.default_rng(3).uniform(0.0, np.full((1, 16), 0.1))
    assert phases == pytest.approx(wanted)
    assert (granted.offset_seconds >= 0.0).all()


def _granted_discrepancy(workload: Workload, granted: Granted) -> float:
    phases = 2.0 * np.pi * (workload.origin_seconds[0] + granted.offset_seconds[0]) / 0.1
    return discrepancy(phases, workload.work_seconds)


def test_the_oracle_reaches_the_least_discrepancy(workload: Workload) -> None:
    work = workload.work_seconds
    least = (work**3).sum() / (12.0 * work.sum())
    assert _granted_discrepancy(workload, oracle(workload)) == pytest.approx(least, rel=1e-9)
    assert _granted_discrepancy(workload, untouched(workload)) > 20.0 * least


def test_the_oracle_holds_nobody_longer_than_a_period(workload: Workload) -> None:
    mixed = draw_workload(reference_scenario(12, 0.5, periods_seconds=(0.1, 0.05, 0.025)), 2)
    for each in (workload, mixed):
        offsets = oracle(each).offset_seconds
        assert (offsets >= 0.0).all()
        assert (offsets < each.period_seconds).all()


def test_kuramoto_ends_without_a_first_harmonic_and_with_others(workload: Workload) -> None:
    phases = _last_phases(workload, run(workload, Kuramoto(workload)).release_seconds)
    first, second, *_ = np.abs(order_parameters(phases, harmonics=4, weights=workload.work_seconds))
    assert first < 0.02
    assert second > 0.3


def test_kuramoto_keeps_the_controllers_steps_and_never_takes_one_back(workload: Workload) -> None:
    release = run(workload, Kuramoto(workload)).release_seconds
    hold = release - workload.bursts.natural_seconds
    for source in range(16):
        steps = np.diff(hold[workload.bursts.source == source], prepend=0.0)
        assert -1e-12 <= steps.min() <= steps.max() <= 0.007 + 1e-12
