# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.phasor import rayleigh
from resonance_core.control.estimate import Estimate, estimate

PERIOD = 0.1


def rings(
    phase_seconds: float = 0.03, jitter_seconds: float = 0.0, drift_seconds: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    cycles = np.arange(16)
    times = 7.0 + phase_seconds + cycles * (PERIOD + drift_seconds)
    times = np.sort(times + random.normal(0.0, 1.0, (200, 16)) * jitter_seconds, axis=1)
    return times, np.full((200, 16), 0.002)


def judged(**how: float) -> Estimate:
    times, works = rings(**how)
    return estimate(times, works, np.full(200, PERIOD), 7.0)


def test_the_phase_is_that_of_the_mean_release() -> None:
    seen = judged(phase_seconds=0.03)
    assert seen.phase_rad == pytest.approx(2.0 * math.pi * 0.3)
    assert seen.is_sharp.all()
    assert seen.is_steady.all()
    assert seen.work_seconds == pytest.approx(0.002)


@pytest.mark.parametrize("jitter_seconds", [0.001, 0.005, 0.01])
def test_the_jitter_is_that_of_the_releases(jitter_seconds: float) -> None:
    seen = judged(jitter_seconds=jitter_seconds)
    squares = (seen.jitter_rad * PERIOD / (2.0 * math.pi)) ** 2
    assert math.sqrt(squares.mean()) == pytest.approx(jitter_seconds, rel=0.05)


def test_the_phase_errs_by_a_quarter_of_the_jitter() -> None:
    seen = judged(jitter_seconds=0.004)
    errors = seen.phase_rad * PERIOD / (2.0 * math.pi) - 0.03
    assert errors.std() == pytest.approx(0.001, rel=0.15)


def test_steady_sources_are_seldom_called_drifting() -> None:
    assert judged(jitter_seconds=0.004).is_steady.mean() > 0.97


def test_a_hundredth_of_the_period_per_cycle_is_a_drift() -> None:
    assert not judged(jitter_seconds=0.001, drift_seconds=0.001).is_steady.any()


def test_releases_anywhere_have_no_period() -> None:
    random = np.random.default_rng(1)
    times = np.sort(random.uniform(0.0, 1.6, (2000, 16)), axis=1)
    seen = estimate(times, np.ones_like(times), np.full(2000, PERIOD), 0.0)
    assert seen.is_sharp.mean() < 0.003


def test_the_rayleigh_probability_is_that_of_the_calculus() -> None:
    random = np.random.default_rng(2)
    phases = random.normal(1.0, 1.2, (1, 16))
    seen = estimate(phases * PERIOD / (2.0 * math.pi) + 5.0, phases, np.full(1, PERIOD), 5.0)
    assert seen.rayleigh_p[0] == pytest.approx(rayleigh(phases[0] % (2.0 * math.pi))[1])


def test_a_ring_that_is_not_full_says_nothing() -> None:
    times, works = rings()
    times[:, 0] = math.nan
    seen = estimate(times, works, np.full(200, PERIOD), 7.0)
    assert not seen.is_full.any()
    assert np.isnan(seen.phase_rad).all()
    assert (seen.rayleigh_p == 1.0).all()
    assert not seen.is_sharp.any()


def test_work_that_is_known_of_some_bursts_is_their_mean() -> None:
    times, works = rings()
    works[0, ::2] = math.nan
    works[1] = math.nan
    seen = estimate(times, works, np.full(200, PERIOD), 7.0)
    assert seen.work_seconds[0] == pytest.approx(0.002)
    assert math.isnan(seen.work_seconds[1])
