# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.stats import circmean, rayleightest

from resonance_core.calculus.phasor import (
    debiased,
    debiased_r,
    discrepancy,
    effective_number,
    fold,
    folded_histogram,
    mean_phase,
    order_parameters,
    peak_to_peak,
    rayleigh,
    spread,
    workload_profile,
    wrap,
)
from resonance_core.errors import InvalidSampleError

_TURN = 2.0 * math.pi
_QUARTERS = np.radians([0.0, 90.0, 180.0, 270.0])
_HALVES = np.radians([0.0, 0.0, 180.0, 180.0])


@pytest.mark.parametrize(
    ("phases", "moduli"),
    [
        (_QUARTERS, [0.0, 0.0, 0.0, 1.0]),
        (_HALVES, [0.0, 1.0, 0.0, 1.0]),
        ([0.0, 0.5, 1.0], [0.918388, 0.693535, 0.380491, 0.055902]),
        ([0.1, 0.2, 6.2], [0.993137]),
    ],
    ids=["four corners", "two clusters", "within a radian", "around zero"],
)
def test_order_parameters_of_known_phases(phases: list[float], moduli: list[float]) -> None:
    found = order_parameters(phases, len(moduli))
    assert np.abs(found) == pytest.approx(moduli, abs=1e-6)


def test_the_mean_phase_is_that_of_the_first_harmonic_also_around_zero() -> None:
    assert mean_phase([0.0, 0.5, 1.0]) == pytest.approx(0.5, abs=1e-12)
    assert mean_phase([0.1, 0.2, 6.2]) == pytest.approx(0.072364, abs=1e-6)
    assert mean_phase([6.2, 6.1]) == pytest.approx(6.15, abs=1e-12)


def test_weights_pull_the_order_parameters() -> None:
    splay = np.radians([90.0, 225.0, 292.5, 337.5])
    found = np.abs(order_parameters(splay, 3, [4.0, 2.0, 1.0, 1.0]))
    assert found == pytest.approx([0.160468, 0.505333, 0.752382], abs=1e-6)


def test_the_debiased_order_parameter_knows_what_chance_adds() -> None:
    assert debiased(_HALVES) == pytest.approx(-1.0 / 3.0, abs=1e-12)
    assert debiased([0.0, 0.5, 1.0]) == pytest.approx(0.765156, abs=1e-6)
    assert debiased([2.0, 2.0, 2.0], [5.0, 1.0, 0.1]) == pytest.approx(1.0, abs=1e-12)
    assert debiased_r(_HALVES) == pytest.approx(-math.sqrt(1.0 / 3.0), abs=1e-12)


def test_one_phase_alone_says_nothing_of_alignment() -> None:
    assert math.isnan(debiased([1.0]))
    assert math.isnan(debiased([1.0, 2.0], [3.0, 0.0]))
    assert math.isnan(debiased_r([1.0]))


@pytest.mark.parametrize(
    ("n", "mean", "quantile"),
    [
        (2, 0.6366, 0.997),
        (4, 0.4496, 0.846),
        (8, 0.3158, 0.601),
        (16, 0.2226, 0.429),
        (64, 0.1109, 0.216),
        (256, 0.0554, 0.108),
    ],
)
def test_random_phases_have_the_order_parameter_of_chance(
    n: int, mean: float, quantile: float
) -> None:
    draws = 4_000
    phases = np.random.default_rng(n).uniform(0.0, _TURN, (draws, n))
    r = np.array([abs(order_parameters(each)[0]) for each in phases])
    # What is compared was itself simulated and rounded to four digits.
    assert abs(r.mean() - mean) < 3.0 * r.std() / math.sqrt(draws) + 5e-4
    assert np.quantile(r, 0.95) == pytest.approx(quantile, rel=0.02)
    squared = np.array([debiased(each) for each in phases])
    assert abs(squared.mean()) < 3.0 * squared.std() / math.sqrt(draws)


def test_the_debiased_form_is_unbiased_for_unequal_weights() -> None:
    generator = np.random.default_rng(3)
    weights = generator.lognormal(0.0, 1.0, 12)
    squared = [debiased(each, weights) for each in generator.uniform(0.0, _TURN, (4_000, 12))]
    assert abs(np.mean(squared)) < 3.0 * np.std(squared) / math.sqrt(len(squared))


def test_the_effective_number_counts_equal_weights_once_each() -> None:
    assert effective_number([2.0] * 7) == pytest.approx(7.0)
    assert effective_number([1.0, 0.0, 0.0]) == pytest.approx(1.0)
    assert effective_number([1e-200, 1e-200]) == pytest.approx(2.0)
    assert effective_number([0.0, 0.0]) == 0.0


def test_rayleighs_test_of_a_known_sample() -> None:
    # Fifty phases with R = 0.3 exactly: aligned and spread ones in proportion.
    phases = np.concatenate([np.zeros(15), np.arange(35) * _TURN / 35])
    z, p = rayleigh(phases)
    assert z == pytest.approx(4.5, abs=1e-12)
    assert p == pytest.approx(0.010474, abs=1e-6)


def test_rayleighs_test_agrees_with_astropy() -> None:
    generator = np.random.default_rng(1)
    for concentration in (0.05, 0.2, 0.5):
        phases = generator.vonmises(1.0, concentration, 49)  # it uses the series below fifty
        assert rayleigh(phases)[1] == pytest.approx(float(rayleightest(phases)), rel=1e-9)
        mean = float(np.mod(circmean(phases), _TURN))
        assert mean_phase(phases) == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 64])
def test_rayleighs_p_is_a_probability_for_few_and_sharp_phases(n: int) -> None:
    z, p = rayleigh(np.full(n, 2.0))
    assert z == pytest.approx(n)
    assert 0.0 < p <= 1.0
    if n >= 16:
        assert p < 1e-3


def test_rayleighs_p_is_uniform_under_chance_at_sixteen() -> None:
    draws = 4_000
    phases = np.random.default_rng(4).uniform(0.0, _TURN, (draws, 16))
    p = np.array([rayleigh(each)[1] for each in phases])
    for level in (0.01, 0.05, 0.5):
        error = math.sqrt(level * (1.0 - level) / draws)
        assert abs((p < level).mean() - level) < 3.0 * error


def test_the_spread_inverts_the_wrapped_normal() -> None:
    assert spread(math.exp(-0.125)) == pytest.approx(0.5, abs=1e-12)
    assert spread(1.0) == 0.0
    assert spread(0.0) == math.inf
    with pytest.raises(InvalidSampleError):
        spread(1.1)


def test_folding_forgets_whole_periods_and_keeps_the_phase() -> None:
    times = 1e6 + 0.1 * np.arange(5) + 0.025
    assert fold(times, 0.1, 1e6) == pytest.approx(np.full(5, math.pi / 2), abs=1e-6)
    assert fold([-0.025], 0.1)[0] == pytest.approx(1.5 * math.pi)


def test_a_period_too_short_to_divide_by_is_refused() -> None:
    with pytest.raises(InvalidSampleError, match="period_seconds"):
        fold([1.0], 1e-320)


def test_an_angle_just_below_zero_stays_below_a_turn() -> None:
    assert wrap(-1e-20) == 0.0
    assert (wrap([-1e-20, _TURN, 4.0 * math.pi, -0.5]) < _TURN).all()
    assert fold([-1e-30], 0.1)[0] == 0.0


def test_a_folded_histogram_counts_each_event_in_its_part_of_the_period() -> None:
    counts = folded_histogram([0.0, 0.1, 0.26, 0.399], 0.1, 4)
    assert counts.tolist() == [2.0, 0.0, 1.0, 1.0]
    weighed = folded_histogram([0.0, 0.1, 0.26, 0.399], 0.1, 4, [1.0, 2.0, 3.0, 4.0])
    assert weighed.tolist() == [3.0, 0.0, 3.0, 4.0]
    assert folded_histogram([], 0.1).tolist() == [0.0] * 64


def test_the_discrepancy_of_aligned_splayed_and_random_phases() -> None:
    weights = np.array([4.0, 2.0, 1.0, 1.0])
    splay = np.radians([90.0, 225.0, 292.5, 337.5])
    assert discrepancy(splay, weights) == pytest.approx(0.770833, abs=1e-6)
    assert discrepancy(np.full(4, 3.0), weights) == pytest.approx(16.0 / 3.0, abs=1e-9)
    equal = np.full(16, 120.0 / 16)
    assert math.sqrt(discrepancy(np.zeros(16), equal)) / 4 == pytest.approx(8.660, abs=5e-4)
    spaced = np.arange(16) * _TURN / 16
    assert math.sqrt(discrepancy(spaced, equal)) / 4 == pytest.approx(0.541, abs=5e-4)
    generator = np.random.default_rng(5)
    found = [discrepancy(generator.uniform(0.0, _TURN, 16), equal) for _ in range(3_000)]
    assert abs(np.mean(found) - 16 * 7.5**2 / 12) < 3.0 * np.std(found) / math.sqrt(3_000)
    assert math.sqrt(np.mean(found)) / 4 == pytest.approx(2.165, rel=0.05)


def test_the_discrepancy_is_the_sum_over_all_harmonics() -> None:
    generator = np.random.default_rng(6)
    phases, weights = generator.uniform(0.0, _TURN, 7), generator.lognormal(0.0, 1.0, 7)
    m = np.arange(1, 20_001)
    moduli = np.abs(order_parameters(phases, m.size, weights)) * weights.sum()
    summed = float((moduli**2 / m**2).sum()) / (2.0 * math.pi**2)
    rest = float((weights**2).sum()) / (2.0 * math.pi**2 * m.size)  # of the truncated harmonics
    assert discrepancy(phases, weights) == pytest.approx(summed + rest, rel=1e-4)


def test_without_work_there_is_no_discrepancy() -> None:
    assert discrepancy([], []) == 0.0
    assert peak_to_peak([], []) == 0.0
    assert workload_profile([], [], 4).tolist() == [0.0] * 4
    assert discrepancy([1.0, 2.0], [0.0, 0.0]) == 0.0


def test_the_profile_rises_at_a_burst_and_falls_between() -> None:
    profile = workload_profile([math.pi], [4.0], 4)
    assert profile.tolist() == pytest.approx([-0.5, -1.5, 1.5, 0.5])
    assert peak_to_peak([math.pi], [4.0]) == pytest.approx(4.0)
    assert peak_to_peak([1.0, 1.0], [4.0, 2.0]) == pytest.approx(6.0)


def test_the_mean_square_of_a_fine_profile_is_the_discrepancy() -> None:
    generator = np.random.default_rng(7)
    phases, weights = generator.uniform(0.0, _TURN, 9), generator.lognormal(0.0, 1.0, 9)
    profile = workload_profile(phases, weights, 100_000)
    assert (profile**2).mean() == pytest.approx(discrepancy(phases, weights), rel=1e-3)
    assert np.ptp(profile) == pytest.approx(peak_to_peak(phases, weights), rel=1e-3)


@pytest.mark.parametrize(
    ("sources", "expected"), [(4, 0.571), (8, 0.419), (16, 0.307), (64, 0.158), (256, 0.080)]
)
def test_the_gain_of_a_splay_over_random_phases_for_uneven_weights(
    sources: int, expected: float
) -> None:
    weights = np.random.default_rng(sources).lognormal(0.0, 0.5, (4_000, sources))
    squares, cubes = (weights**2).sum(axis=1), (weights**3).sum(axis=1)
    gains = np.sqrt(cubes / (weights.sum(axis=1) * squares))
    # The table rounds to three digits.
    assert abs(gains.mean() - expected) < 3.0 * gains.std() / math.sqrt(4_000) + 6e-3


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], [[1.0, 2.0]]])
def test_phases_that_are_no_numbers_are_refused(bad: list[float]) -> None:
    for function in (order_parameters, debiased, mean_phase, rayleigh):
        with pytest.raises(InvalidSampleError):
            function(bad)


def test_empty_samples_and_weights_without_sum_are_refused_by_name() -> None:
    with pytest.raises(InvalidSampleError, match="phases_rad: must not be empty"):
        order_parameters([])
    with pytest.raises(InvalidSampleError, match="weights: are all zero"):
        order_parameters([1.0], weights=[0.0])
    with pytest.raises(InvalidSampleError, match="weights: must not be negative"):
        discrepancy([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(InvalidSampleError, match="weights: must be 2 values, not 1"):
        discrepancy([1.0, 2.0], [1.0])
    with pytest.raises(InvalidSampleError, match="period_seconds"):
        fold([1.0], 0.0)
    with pytest.raises(InvalidSampleError, match="harmonics"):
        order_parameters([1.0], 0)
    for bins in (0, -1):
        with pytest.raises(InvalidSampleError, match="bins"):
            folded_histogram([1.0], 1.0, bins)
        with pytest.raises(InvalidSampleError, match="bins"):
            workload_profile([1.0], [1.0], bins)
