# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.kuramoto import (
    adler_beat,
    adler_phase,
    critical_coupling,
    gaussian,
    lorentzian,
    lorentzian_order_parameter,
    order_parameter,
    repulsion,
)
from resonance_core.calculus.phasor import discrepancy, order_parameters, wrap
from resonance_core.calculus.placement import least_discrepancy, weighted_splay
from resonance_core.errors import InvalidSampleError

_TURN = 2.0 * math.pi


def test_a_lorentzian_population() -> None:
    assert critical_coupling(lorentzian(0.5)) == pytest.approx(1.0, abs=1e-12)
    assert lorentzian_order_parameter(2.0, 0.5) == pytest.approx(0.707107, abs=1e-6)
    assert lorentzian_order_parameter(4.0, 0.5) == pytest.approx(0.866025, abs=1e-6)
    assert lorentzian_order_parameter(1.0, 0.5) == 0.0
    for coupling in (1.1, 2.0, 4.0):
        closed = lorentzian_order_parameter(coupling, 0.5)
        assert order_parameter(coupling, lorentzian(0.5)) == pytest.approx(closed, abs=1e-9)


def test_other_populations() -> None:
    assert critical_coupling(gaussian(1.0)) == pytest.approx(1.595769, abs=1e-6)
    assert order_parameter(2.0, gaussian(1.0)) == pytest.approx(0.715174, abs=1e-6)
    assert order_parameter(3.0, gaussian(1.0)) == pytest.approx(0.925182, abs=1e-6)
    assert order_parameter(1.5, gaussian(1.0)) == 0.0
    uniform = critical_coupling(lambda omega: 0.5 * (np.abs(omega) <= 1.0))
    assert uniform == pytest.approx(1.273240, abs=1e-6)


def test_a_simulated_population_locks_as_the_formula_says() -> None:
    population, step = 2_000, 0.05
    shares = (np.arange(population) + 0.5) / population
    natural = 0.5 * np.tan(math.pi * (shares - 0.5))
    phases = np.random.default_rng(1).uniform(0.0, _TURN, population)
    found: list[float] = []
    for n in range(1_200):
        mean = np.exp(1j * phases).mean()
        speed = natural + 2.0 * abs(mean) * np.sin(np.angle(mean) - phases)
        phases = phases + step * speed
        if n >= 600:
            found.append(abs(mean))
    # Finite size makes it fluctuate by 1/sqrt(N); Euler's steps and the cut tails stay below.
    assert np.mean(found) == pytest.approx(math.sqrt(0.5), abs=3.0 / math.sqrt(population) / 3.0)


def test_a_pulled_oscillator_locks_or_slips() -> None:
    assert adler_phase(0.3, 0.5) == pytest.approx(0.643501, abs=1e-6)
    assert adler_phase(-0.3, 0.5) == pytest.approx(-0.643501, abs=1e-6)
    assert adler_beat(0.3, 0.5) == 0.0
    assert math.isnan(adler_phase(0.5, 0.3))
    beat = adler_beat(0.5, 0.3)
    assert beat == pytest.approx(0.4, abs=1e-12)
    assert _TURN / beat == pytest.approx(15.707963, abs=1e-6)


def test_the_sawtooth_is_the_sum_of_all_its_harmonics() -> None:
    generator = np.random.default_rng(2)
    phases, weights = generator.uniform(0.0, _TURN, 6), generator.lognormal(0.0, 1.0, 6)
    assert repulsion(phases, weights) == pytest.approx(
        repulsion(phases, weights, 200_000), abs=1e-4
    )


def test_bursts_at_one_point_do_not_repel_each_other() -> None:
    assert repulsion([1.0, 1.0, 1.0]) == pytest.approx(np.zeros(3), abs=1e-12)
    assert repulsion([1.0, 1.0, 1.0], harmonics=3) == pytest.approx(np.zeros(3), abs=1e-12)


@pytest.mark.parametrize(("gain", "remains"), [(0.05, 0.95), (0.35, 0.65), (1.0, 0.0)])
def test_within_an_order_every_error_shrinks_by_one_less_the_gain(
    gain: float, remains: float
) -> None:
    weights = np.array([4.0, 2.0, 1.0, 1.0])
    splay = weighted_splay(weights)
    errors = np.array([0.2, -0.1, 0.05, 0.1])
    errors -= weights @ errors / weights.sum()
    moved = splay + errors + 2.0 * gain * repulsion(splay + errors, weights)
    after = np.mod(moved - splay + math.pi, _TURN) - math.pi
    assert after == pytest.approx(remains * errors, abs=1e-9)


def test_the_flow_goes_downhill_to_the_splay() -> None:
    generator = np.random.default_rng(3)
    weights = generator.lognormal(0.0, 0.5, 9)
    phases = generator.uniform(0.0, _TURN, 9)
    before = discrepancy(phases, weights)
    for _ in range(300):
        phases = wrap(phases + 2.0 * 0.05 * repulsion(phases, weights))
        now = discrepancy(phases, weights)
        assert now <= before + 1e-12
        before = now
    assert before == pytest.approx(least_discrepancy(weights), rel=1e-6)


def test_one_harmonic_rests_in_clusters_that_still_queue() -> None:
    clusters = np.repeat([0.0, math.pi], 8) + 1e-3 * np.arange(16)
    phases = clusters
    for _ in range(200):
        phases = wrap(phases + 0.5 * repulsion(phases, harmonics=1))
    assert abs(order_parameters(phases)[0]) < 1e-3
    assert discrepancy(phases, np.ones(16)) > 10.0 * least_discrepancy(np.ones(16))


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_couplings_that_are_none_are_refused(bad: float) -> None:
    for call in (
        lambda: order_parameter(bad, gaussian(1.0)),
        lambda: gaussian(bad),
        lambda: lorentzian(bad),
        lambda: lorentzian_order_parameter(bad, 1.0),
        lambda: lorentzian_order_parameter(1.0, bad),
        lambda: adler_phase(1.0, bad),
        lambda: adler_beat(1.0, bad),
    ):
        with pytest.raises(InvalidSampleError):
            call()


def test_empty_and_weightless_populations_are_refused() -> None:
    for phases, weights in (([], []), ([1.0], [0.0])):
        for harmonics in (None, 2):
            with pytest.raises(InvalidSampleError):
                repulsion(phases, weights, harmonics)
    with pytest.raises(InvalidSampleError, match="detuning"):
        adler_phase(math.nan, 1.0)
