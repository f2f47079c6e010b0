# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.arguments import Floats
from resonance_core.calculus.phasor import discrepancy, peak_to_peak, wrap
from resonance_core.calculus.placement import (
    least_discrepancy,
    place_harmonic,
    random_discrepancy,
    rotate_to_least_delay,
    unfold,
    weighted_splay,
)
from resonance_core.errors import InvalidSampleError, NoPlacementError

_TURN = 2.0 * math.pi


def test_the_splay_gives_each_burst_an_arc_like_its_work() -> None:
    phases = weighted_splay([4.0, 2.0, 1.0, 1.0])
    assert np.degrees(phases) == pytest.approx([90.0, 225.0, 292.5, 337.5], abs=1e-9)


def test_the_splay_has_the_least_discrepancy_for_every_order() -> None:
    weights = [4.0, 2.0, 1.0, 1.0]
    assert least_discrepancy(weights) == pytest.approx(0.770833, abs=1e-6)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]):
        phases = weighted_splay(weights, order)
        assert np.argsort(phases).tolist() == order
        assert discrepancy(phases, weights) == pytest.approx(least_discrepancy(weights), rel=1e-12)
        assert peak_to_peak(phases, weights) == pytest.approx(4.0, rel=1e-12)


def test_a_source_without_work_takes_no_room() -> None:
    phases = weighted_splay([1.0, 0.0, 1.0])
    assert phases == pytest.approx([math.pi / 2, math.pi, 1.5 * math.pi])


def test_random_phases_have_this_discrepancy_in_the_mean() -> None:
    assert random_discrepancy([3.0, 4.0]) == pytest.approx(25.0 / 12.0)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]])
def test_nothing_to_place_is_said(weights: list[float]) -> None:
    with pytest.raises(NoPlacementError):
        weighted_splay(weights)
    with pytest.raises(NoPlacementError):
        place_harmonic(np.zeros(len(weights)), weights, np.ones(len(weights)))


def test_an_order_names_each_source_once() -> None:
    with pytest.raises(InvalidSampleError, match="order"):
        weighted_splay([1.0, 1.0], [0, 0])


def total_delay(targets: Floats, phases: Floats, weights: Floats, laps: Floats) -> float:
    return float(weights @ np.mod(targets - phases + 1e-12, laps))


@pytest.mark.parametrize("seed", range(8))
def test_no_other_rotation_delays_less(seed: int) -> None:
    generator = np.random.default_rng(seed)
    phases, targets = generator.uniform(0.0, _TURN, (2, 6))
    weights = generator.lognormal(0.0, 1.0, 6)
    multiples = generator.choice([1, 2, 3], 6)
    laps = _TURN / multiples
    rotated = rotate_to_least_delay(targets, phases, weights, multiples)
    found = total_delay(rotated, phases, weights, laps)
    others = [
        total_delay(targets + c, phases, weights, laps) for c in np.linspace(0.0, _TURN, 5_000)
    ]
    assert found <= min(others) + 1e-9
    # One constant for all, up to their own periods.
    turned = np.mod(rotated - targets, _TURN / 6)  # 6 is a common multiple
    assert np.ptp(np.mod(turned - turned[0] + 0.1, _TURN / 6)) < 1e-9


def test_sources_that_are_where_they_should_be_are_not_delayed() -> None:
    phases = weighted_splay([3.0, 2.0, 1.0])
    assert rotate_to_least_delay(phases + 1.0, phases, [3.0, 2.0, 1.0]) == pytest.approx(phases)


def test_someone_always_stays() -> None:
    phases = np.array([0.1, 0.2, 0.3])
    rotated = rotate_to_least_delay(weighted_splay(np.ones(3), [0, 1, 2]), phases, np.ones(3))
    delays = np.mod(rotated - phases, _TURN)
    assert delays.min() == 0.0
    assert delays.max() < _TURN


def test_unfolding_repeats_a_source_as_often_as_it_releases() -> None:
    phases, weights = unfold([0.5, 1.0], [3.0, 1.0], [1, 2])
    assert phases == pytest.approx([0.5, 1.0, 1.0 + math.pi])
    assert weights.tolist() == [3.0, 1.0, 1.0]


@pytest.mark.parametrize("multiple", [1, 3])
def test_one_common_period_is_placed_in_closed_form(multiple: int) -> None:
    generator = np.random.default_rng(9)
    weights = generator.lognormal(0.0, 0.5, 16)
    multiples = np.full(16, multiple)
    phases = place_harmonic(generator.normal(0.0, 0.1, 16), weights, multiples)
    found = discrepancy(*unfold(phases, weights, multiples))
    # Every lap of T/p has the discrepancy of one.
    assert found == pytest.approx(least_discrepancy(weights), rel=1e-9)


@pytest.mark.parametrize("choices", [(1, 2, 4), (1, 2, 3, 5), (1, 7, 13, 16), (11, 13, 14, 15)])
@pytest.mark.parametrize("sources", [8, 64])
def test_mixed_periods_are_placed_far_better_than_by_chance(
    choices: tuple[int, ...], sources: int
) -> None:
    generator = np.random.default_rng(sources)
    weights = generator.lognormal(0.0, 0.5, sources)
    multiples = generator.choice(choices, sources)
    phases = generator.normal(0.0, 0.05, sources)
    found = discrepancy(*unfold(place_harmonic(phases, weights, multiples), weights, multiples))
    chance = np.mean(
        [
            discrepancy(*unfold(generator.uniform(0.0, _TURN, sources), weights, multiples))
            for _ in range(50)
        ]
    )
    assert found < (0.75 if sources == 8 else 0.15) * chance


def test_a_descent_finds_the_splay_around_a_source_that_stays() -> None:
    weights = np.random.default_rng(2).lognormal(0.0, 0.5, 16)
    fixed = np.arange(16) == 3
    start = np.random.default_rng(3).normal(1.0, 0.1, 16)
    phases = place_harmonic(start, weights, np.ones(16), fixed=fixed)
    assert phases[3] == pytest.approx(start[3], abs=1e-12)
    assert discrepancy(phases, weights) < 1.05 * least_discrepancy(weights)


def test_what_stays_is_left_where_it_is() -> None:
    generator = np.random.default_rng(4)
    start = generator.uniform(0.0, _TURN, 12)
    fixed = generator.random(12) < 0.5
    phases = place_harmonic(start, np.ones(12), generator.choice([1, 2, 5], 12), fixed=fixed)
    assert phases[fixed] == pytest.approx(start[fixed], abs=1e-12)
    everything = place_harmonic(start, np.ones(12), np.ones(12), fixed=np.ones(12, dtype=bool))
    assert everything == pytest.approx(start, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_is_never_worse_than_what_there_is(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sources = int(generator.integers(1, 12))
    start = generator.uniform(-9.0, 9.0, sources)
    weights = generator.lognormal(0.0, 2.0, sources)
    multiples = generator.integers(1, 17, sources)
    fixed = generator.random(sources) < 0.3
    phases = place_harmonic(start, weights, multiples, fixed=fixed)
    assert (phases == wrap(phases)).all()
    before, after = (discrepancy(*unfold(at, weights, multiples)) for at in (start, phases))
    assert after <= before * (1.0 + 1e-12)


@pytest.mark.parametrize("multiples", [[0], [1.5], [-1]])
def test_a_multiple_is_a_whole_number(multiples: list[float]) -> None:
    with pytest.raises(InvalidSampleError, match="multiples"):
        place_harmonic([1.0], [1.0], multiples)


def test_a_source_with_more_bursts_than_there_are_bins_has_no_place() -> None:
    with pytest.raises(InvalidSampleError, match="multiples"):
        place_harmonic([0.0, 0.0], [1.0, 1.0], [1, 100_000])


def test_bad_placements_are_refused_by_name() -> None:
    with pytest.raises(InvalidSampleError, match="fixed"):
        place_harmonic([1.0], [1.0], [1], fixed=[True, False])
    with pytest.raises(InvalidSampleError, match="bins"):
        place_harmonic([1.0], [1.0], [1], bins=0)
    with pytest.raises(InvalidSampleError, match="sweeps"):
        place_harmonic([1.0], [1.0], [1], sweeps=0)
    with pytest.raises(InvalidSampleError, match="targets_rad"):
        rotate_to_least_delay([], [], [])
    with pytest.raises(InvalidSampleError, match="phases_rad"):
        rotate_to_least_delay([1.0], [math.nan], [1.0])
