# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.phasor import fold, mean_phase
from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.membership import membership

PERIOD = 0.1
CYCLES = 16
SECONDS = CYCLES * PERIOD


def source(
    generator: np.random.Generator, period: float, jitter: float, background: float
) -> np.ndarray:
    """A jittered lattice of 16 cycles of 100 ms, and events that belong to nobody."""
    first = generator.uniform(0.0, period)
    lattice = np.arange(first, first + SECONDS, period)
    lattice += generator.normal(0.0, jitter, len(lattice))
    strays = generator.uniform(0.0, SECONDS, generator.poisson(background * CYCLES))
    return np.sort(np.concatenate([lattice, strays]))


@pytest.mark.parametrize("jitter", [0.0, 0.001, 0.002, 0.005])
@pytest.mark.parametrize("background", [0.0, 0.2])
def test_members_are_told_from_decoys(jitter: float, background: float) -> None:
    generator = np.random.default_rng(round(jitter * 1e4 + background * 100))
    members = others = 0
    for _ in range(200):
        members += membership(source(generator, PERIOD, jitter, background), PERIOD).is_member
        beside = PERIOD / (1.0 + generator.uniform(0.03, 0.4) * generator.choice([-1.0, 1.0]))
        others += membership(source(generator, beside, jitter, background), PERIOD).is_member
    assert members >= 0.95 * 200  # recall
    assert members >= 0.95 * (members + others)  # precision


@pytest.mark.parametrize("jitter", [0.0005, 0.002, 0.005, 0.010])
def test_the_phase_of_sixteen_cycles_is_as_exact_as_their_jitter_allows(jitter: float) -> None:
    generator = np.random.default_rng(round(jitter * 1e5))
    lattices = 0.03 + PERIOD * np.arange(CYCLES) + generator.normal(0.0, jitter, (3000, CYCLES))
    expected = 2.0 * math.pi * 0.03 / PERIOD
    errors = [mean_phase(fold(times, PERIOD)) - expected for times in lattices]
    bound = 2.0 * math.pi * jitter / PERIOD / math.sqrt(CYCLES)
    assert float(np.sqrt(np.mean(np.square(errors)))) / bound <= 1.05


def test_a_half_of_the_period_is_not_the_period() -> None:
    assert not membership(source(np.random.default_rng(1), 0.05, 0.001, 0.0), PERIOD).is_member


def test_events_without_a_period_are_members_of_none() -> None:
    generator = np.random.default_rng(2)
    found = [membership(np.sort(generator.uniform(0, SECONDS, 16)), PERIOD) for _ in range(500)]
    assert sum(each.is_member for each in found) <= 5
    assert np.mean([each.rayleigh_p < 0.1 for each in found]) == pytest.approx(0.1, abs=0.04)


def test_the_drift_of_a_detuned_source_is_measured() -> None:
    times = np.arange(32) * PERIOD * 1.01
    found = membership(times, PERIOD)
    assert found.drift_rad == pytest.approx(16 * 0.01 * 2.0 * math.pi, rel=0.05)
    assert not found.is_member


def test_a_long_watched_source_may_drift_as_slowly_as_a_briefly_watched_one() -> None:
    slow = PERIOD * (1.0 + 0.2 / 120.0)
    assert membership(np.arange(16) * slow, PERIOD).is_member
    assert membership(np.arange(64) * slow, PERIOD).is_member


def test_the_standard_error_is_the_scatter_of_the_drift() -> None:
    generator = np.random.default_rng(3)
    found = [membership(source(generator, PERIOD, 0.005, 0.0), PERIOD) for _ in range(400)]
    scatter = float(np.std([each.drift_rad for each in found]))
    assert np.mean([each.drift_error_rad for each in found]) == pytest.approx(scatter, rel=0.15)


@pytest.mark.parametrize(
    ("times", "period"),
    [
        ([], PERIOD),
        ([1.0, 2.0, 3.0], PERIOD),
        ([1.0, 3.0, 2.0, 4.0], PERIOD),
        ([1.0, 1.0, 1.0, 1.0], PERIOD),
        ([1.0, 2.0, 3.0, math.nan], PERIOD),
        ([1.0, 2.0, 3.0, 4.0], 0.0),
        ([1.0, 2.0, 3.0, 4.0], math.nan),
    ],
)
def test_what_has_no_cycles_is_refused(times: list[float], period: float) -> None:
    with pytest.raises(InvalidSampleError):
        membership(times, period)
