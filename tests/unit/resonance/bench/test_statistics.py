# SPDX-License-Identifier: MIT
from __future__ import annotations

import statistics
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from resonance.bench.statistics import Estimate, ratios, sign_test, summarize

POSITIVE = st.floats(1e-3, 1e3)
SEVERAL = st.lists(POSITIVE, min_size=1, max_size=12)


def _nothing(repetitions: int, number: int) -> list[list[float]]:
    """Ratios of a thing to itself: as often above 1 as below."""
    draw = Random(f"A/A {repetitions}")
    return [[draw.lognormvariate(0.0, 0.1) for _ in range(repetitions)] for _ in range(number)]


@pytest.mark.parametrize("values", [[0.7], [1.0, 2.0], [0.8, 0.9, 1.0, 1.1, 7.0]])
def test_the_ratio_is_the_median(values: list[float]) -> None:
    estimate = summarize(values)
    assert estimate.ratio == statistics.median(values)
    assert estimate.low <= estimate.ratio <= estimate.high


@settings(max_examples=25)
@given(SEVERAL)
def test_the_interval_is_within_the_values_and_holds_the_median(values: list[float]) -> None:
    estimate = summarize(values)
    assert min(values) <= estimate.low <= estimate.ratio <= estimate.high <= max(values)


@settings(max_examples=25)
@given(SEVERAL, st.integers(-8, 8))
def test_a_scale_scales_the_estimate_and_nothing_else(values: list[float], power: int) -> None:
    """A power of two, so that nothing is rounded."""
    scale = 2.0**power
    one, other = summarize(values), summarize([scale * value for value in values])
    assert other == Estimate(scale * one.ratio, scale * one.low, scale * one.high)


@settings(max_examples=25)
@given(SEVERAL)
def test_the_same_values_have_the_same_interval(values: list[float]) -> None:
    assert summarize(values) == summarize(values)


@pytest.mark.parametrize("repetitions", [6, 8, 12, 25])
def test_the_interval_is_that_of_another_implementation(repetitions: int) -> None:
    draw = Random(repetitions)
    values = [draw.lognormvariate(0.0, 0.3) for _ in range(repetitions)]
    theirs = bootstrap(
        (values,),
        np.median,
        n_resamples=4_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    ours = summarize(values)
    spread = theirs.high - theirs.low
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.15 * spread)


@pytest.mark.parametrize(("repetitions", "least"), [(6, 0.88), (7, 0.80), (8, 0.88), (12, 0.90)])
def test_the_interval_of_a_thing_beside_itself_mostly_holds_one(
    repetitions: int, least: float
) -> None:
    """By order statistics 87 % with seven repetitions: few are too sure of themselves."""
    number = 150
    held = sum(not summarize(each).excludes(1.0) for each in _nothing(repetitions, number))
    assert least <= held / number <= 0.995


def test_a_difference_is_seen() -> None:
    draw = Random(5)
    estimate = summarize([0.7 * draw.lognormvariate(0.0, 0.1) for _ in range(12)])
    assert estimate.excludes(1.0)
    assert not estimate.excludes(0.7)


def test_the_ends_of_an_interval_are_in_it() -> None:
    estimate = Estimate(1.0, 0.9, 1.1)
    assert not estimate.excludes(0.9)
    assert not estimate.excludes(1.1)
    assert estimate.excludes(0.899)
    assert estimate.excludes(1.101)


def test_ratios_are_of_the_same_place() -> None:
    assert ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 3))
def test_the_sign_test_is_that_of_another_implementation(below: int, above: int, same: int) -> None:
    ours = sign_test([0.5] * below + [2.0] * above + [1.0] * same)
    theirs = binomtest(below, below + above).pvalue if below + above else 1.0
    assert ours == pytest.approx(theirs)
    assert 0.0 < ours <= 1.0


@settings(max_examples=50)
@given(SEVERAL)
def test_the_sign_test_does_not_care_which_one_is_the_reference(values: list[float]) -> None:
    assert sign_test(values) == sign_test([1.0 / value for value in values])


def test_the_sign_test_does_not_see_how_far() -> None:
    assert sign_test([0.99] * 7 + [100.0]) == sign_test([0.01] * 7 + [1.01])


def test_thousands_of_repetitions_have_a_sign_test() -> None:
    assert sign_test([2.0] * 2_000) == 0.0
    assert sign_test([2.0, 0.5] * 1_000) == 1.0
    assert 0.0 < sign_test([2.0] * 1_100 + [0.5] * 900) < 1e-4


def test_a_thing_beside_itself_is_rarely_lopsided() -> None:
    of = _nothing(12, 400)
    assert sum(sign_test(each) <= 0.05 for each in of) / len(of) <= 0.05
