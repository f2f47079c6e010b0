# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import genpareto

from resonance_core.calculus.arguments import Floats
from resonance_core.calculus.evt import fit_tail, return_level
from resonance_core.calculus.pareto import (
    anderson_darling,
    bootstrap_p,
    maximum_likelihood,
    mean_excess_shape,
)
from resonance_core.errors import InvalidSampleError


def pareto(shape: float, n: int, seed: int = 1) -> Floats:
    """Draw from the distribution whose every tail has this shape."""
    exponential = np.random.default_rng(seed).standard_exponential(n)
    drawn: Floats = np.expm1(shape * exponential) / shape if shape else exponential
    return drawn


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.8])
def test_the_fit_is_the_one_of_greatest_likelihood(shape: float) -> None:
    excesses = np.sort(0.004 * pareto(shape, 800))
    found, scale = maximum_likelihood(excesses)
    assert found == pytest.approx(shape, abs=3.0 * (1.0 + shape) / math.sqrt(800))
    best = genpareto.logpdf(excesses, found, scale=scale).sum()
    for other, by in ((found + 0.01, 1.0), (found - 0.01, 1.0), (found, 1.01), (found, 0.99)):
        assert genpareto.logpdf(excesses, other, scale=scale * by).sum() < best


def test_the_distance_is_that_of_the_definition() -> None:
    excesses = np.sort(pareto(0.2, 200))
    below = genpareto.cdf(excesses, 0.2)
    ranks = 2.0 * np.arange(1, 201) - 1.0
    defined = -200 - (ranks @ (np.log(below) + np.log(1.0 - below[::-1]))) / 200
    assert anderson_darling(excesses, 0.2, 1.0) == pytest.approx(defined, rel=1e-9)


def test_the_p_of_a_true_tail_is_uniform_and_of_a_false_one_small() -> None:
    def p(excesses: Floats, seed: int) -> float:
        shape, scale = maximum_likelihood(excesses)
        distance = anderson_darling(excesses, shape, scale)
        return bootstrap_p(distance, excesses.size, shape, 19, seed)

    true = [p(np.sort(pareto(0.2, 100, seed)), seed) for seed in range(60)]
    assert abs(np.mean(true) - 0.525) < 3.0 * math.sqrt(1.0 / 12.0 / 60.0)
    generator = np.random.default_rng(2)
    false = [p(np.sort(generator.normal(10.0, 1.0, 100)), seed) for seed in range(5)]
    assert max(false) == 0.05


def test_the_mean_excess_slopes_with_the_shape() -> None:
    assert mean_excess_shape(np.sort(pareto(0.0, 20_000))) == pytest.approx(0.0, abs=0.05)
    assert mean_excess_shape(np.sort(pareto(-0.4, 20_000))) == pytest.approx(-0.4, abs=0.05)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.25])
def test_a_tail_is_known_beyond_what_was_observed(shape: float) -> None:
    tail = fit_tail(pareto(shape, 4_000))
    assert tail.is_trustworthy
    assert tail.shape == pytest.approx(shape, abs=3.0 * tail.shape_error)
    assert tail.values == 4_000
    assert tail.exceedances == round(4_000 * tail.exceedance_ratio)
    level = return_level(tail, 1e-4, confidence=0.99)
    true = float(genpareto.isf(1e-4, shape))
    assert level.is_trustworthy
    assert level.low < true < level.high
    assert level.low < level.value < level.high


def test_the_interval_covers_as_often_as_it_says() -> None:
    true = float(genpareto.isf(1e-4, 0.1))
    draws, covered = 60, 0
    for seed in range(draws):
        tail = fit_tail(pareto(0.1, 1_000, seed), threshold=1.2, resamples=19)
        level = return_level(tail, 1e-4, confidence=0.9)
        covered += level.low <= true <= level.high
    assert covered / draws == pytest.approx(0.9, abs=3.0 * math.sqrt(0.09 / draws))


def test_the_threshold_rises_until_the_tail_fits() -> None:
    generator = np.random.default_rng(4)
    # A body of its own below 5, an exponential tail above it: a tenth of all.
    body, above = generator.normal(3.0, 0.3, 9_000), 5.0 + generator.standard_exponential(1_000)
    tail = fit_tail(generator.permutation(np.concatenate([body, above])))
    assert tail.threshold >= 3.5
    assert tail.is_trustworthy
    assert tail.shape == pytest.approx(0.0, abs=3.0 * tail.shape_error)


def test_clusters_are_counted_once() -> None:
    values = np.repeat(pareto(0.1, 1_000), 4) + np.tile([0.0, 1e-6, 2e-6, 3e-6], 1_000)
    tail = fit_tail(values, threshold=float(np.quantile(values, 0.9)))
    assert tail.extremal_index == pytest.approx(0.25, abs=0.08)
    alone = fit_tail(pareto(0.1, 4_000), threshold=2.0)
    assert alone.extremal_index > 0.85
    assert tail.shape_error > 1.5 * (1.0 + tail.shape) / math.sqrt(tail.exceedances)


def test_a_tail_that_fits_nothing_is_not_believed_and_says_why() -> None:
    generator = np.random.default_rng(5)
    two = np.concatenate([generator.normal(10.0, 0.1, 500), generator.normal(20.0, 0.1, 500)])
    tail = fit_tail(generator.permutation(two), threshold=9.0)
    assert not tail.is_trustworthy
    assert "do not follow the fitted tail" in tail.reason
    assert not return_level(tail, 1e-3).is_trustworthy


@pytest.mark.parametrize(
    ("values", "threshold", "why"),
    [
        (pareto(0.1, 40), 0.0, "only"),
        (pareto(1.5, 2_000), 0.0, "the mean is infinite"),
        (np.random.default_rng(6).uniform(0.0, 1.0, 2_000), 0.5, "end abruptly"),
    ],
    ids=["few", "heavy", "cut off"],
)
def test_doubtful_tails_say_what_speaks_against_them(
    values: Floats, threshold: float, why: str
) -> None:
    tail = fit_tail(values, threshold)
    assert not tail.is_trustworthy
    assert why in tail.reason or "do not follow" in tail.reason


def test_levels_too_far_out_are_given_but_not_believed() -> None:
    tail = fit_tail(pareto(0.0, 2_000))
    level = return_level(tail, 1e-6)
    assert not level.is_trustworthy
    assert level.reason == "the sample is too short by 500 times"
    assert level.value == pytest.approx(math.log(1e6), rel=0.5)


def test_the_same_values_give_the_same_answer() -> None:
    values = pareto(0.2, 1_000)
    first, second = fit_tail(values), fit_tail(values.copy())
    assert (first.shape, first.p, first.reason) == (second.shape, second.p, second.reason)


@pytest.mark.parametrize("bad", [[], [1.0] * 10, [1.0] * 100, [math.nan] * 100])
def test_samples_without_a_tail_are_refused(bad: list[float]) -> None:
    with pytest.raises(InvalidSampleError):
        fit_tail(bad)


def test_levels_within_the_sample_are_refused() -> None:
    tail = fit_tail(pareto(0.1, 500))
    for ratio in (0.0, 1e-300, tail.exceedance_ratio, 1.0, math.nan):
        with pytest.raises(InvalidSampleError, match="exceedance_ratio"):
            return_level(tail, ratio)
    with pytest.raises(InvalidSampleError, match="confidence"):
        return_level(tail, 1e-3, confidence=1.0)
    with pytest.raises(InvalidSampleError, match="resamples"):
        fit_tail(pareto(0.1, 500), resamples=3)
