# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from resonance_core.calculus.log import (
    chernoff,
    decay_rate,
    effective_bandwidth,
    log_sum_exp,
    maslov_temperature,
    quantile_bound,
)
from resonance_core.errors import InvalidSampleError, UnstableQueueError

_ETAS = (0.9, 0.4, 0.6)
"""Decay rates of the waits in three M/M/1 queues in a row."""


def tandem(theta: float) -> float:
    return math.inf if theta >= 0.4 else -sum(math.log(1.0 - theta / eta) for eta in _ETAS)


def exact_tandem_exceedance(x: float) -> float:
    """Return P(sum of independent exponentials > x), by partial fractions."""
    return sum(
        math.exp(-eta * x) * math.prod(other / (other - eta) for other in _ETAS if other != eta)
        for eta in _ETAS
    )


def test_known_sums() -> None:
    assert log_sum_exp([1.0, 2.0, 3.0]) == pytest.approx(3.407606, abs=1e-6)
    assert log_sum_exp([1.0, 2.0, 3.0], 0.1) == pytest.approx(3.0000045, abs=1e-7)


def test_at_temperature_zero_the_sum_is_the_maximum() -> None:
    assert log_sum_exp([1.0, 2.0, 3.0], 0.0) == 3.0
    assert log_sum_exp([1.0, -math.inf, 3.0], 1e-300) == 3.0
    assert log_sum_exp([-math.inf, -math.inf]) == -math.inf


def test_the_sum_does_not_overflow() -> None:
    assert log_sum_exp([1e308, 1e308]) == 1e308
    assert log_sum_exp([-1e308, 1.0]) == 1.0


def test_a_temperature_for_an_error() -> None:
    tau = maslov_temperature(8, 0.01)
    assert log_sum_exp(np.zeros(8), tau) == pytest.approx(0.01, abs=1e-12)


@pytest.mark.parametrize("bad", [[], [math.nan], [math.inf, 1.0]])
def test_sums_of_no_numbers_are_refused(bad: list[float]) -> None:
    with pytest.raises(InvalidSampleError):
        log_sum_exp(bad)


def test_the_bound_of_a_tandem_is_above_the_exact_tail() -> None:
    exact = brentq(lambda x: exact_tandem_exceedance(x) - 1e-3, 1.0, 100.0)
    assert exact == pytest.approx(21.447, abs=5e-4)
    bound = quantile_bound(tandem, 1e-3, 0.4)
    assert bound == pytest.approx(29.544, abs=5e-4)
    assert bound / exact == pytest.approx(1.38, abs=5e-3)
    union = sum(math.log(3e3) / eta for eta in _ETAS)  # of hops that may each fail a third
    assert union == pytest.approx(42.256, abs=5e-4)
    assert union / exact == pytest.approx(1.97, abs=0.02)


def test_the_quantile_bound_inverts_the_tail_bound() -> None:
    ratio, theta = chernoff(tandem, quantile_bound(tandem, 1e-3, 0.4), 0.4)
    assert ratio == pytest.approx(1e-3, rel=1e-9)
    assert 0.0 < theta < 0.4


def test_the_bound_of_a_gaussian_is_known_in_closed_form() -> None:
    ratio, theta = chernoff(lambda t: 0.5 * t * t, 3.0, 10.0)
    assert ratio == pytest.approx(math.exp(-4.5), rel=1e-9)
    assert theta == pytest.approx(3.0, rel=1e-6)


def test_below_the_mean_the_bound_says_nothing() -> None:
    assert chernoff(lambda t: t + 0.5 * t * t, 0.5, 10.0) == (1.0, 0.0)


def test_a_range_that_reaches_beyond_the_cumulants_finds_the_same() -> None:
    assert chernoff(tandem, 30.0, 5.0)[0] == pytest.approx(chernoff(tandem, 30.0, 0.4)[0], rel=1e-9)


def test_the_decay_of_a_queue_with_constant_service() -> None:
    theta = decay_rate(lambda t: 0.7 * math.expm1(t), 1.0, 5.0)
    assert theta == pytest.approx(0.675472, abs=1e-6)
    assert math.log(1e3) / theta == pytest.approx(10.227, abs=5e-4)


def test_kingmans_bound_holds_in_a_simulated_queue() -> None:
    generator = np.random.default_rng(11)
    jobs = 400_000
    steps = 1.0 - generator.exponential(1.0 / 0.7, jobs)
    walk = np.cumsum(steps)
    waits = walk - np.minimum(np.minimum.accumulate(walk), 0.0)
    bound = math.log(1e3) / 0.675472
    p999 = np.quantile(waits, 0.999)
    assert 1.0 < bound / p999 < 1.15


def test_bandwidth_lies_between_the_mean_and_the_peak() -> None:
    def cumulants(theta: float) -> float:
        return math.log(0.5 + 0.5 * math.exp(2.0 * theta))

    assert effective_bandwidth(cumulants, 1e-6) == pytest.approx(1.0, abs=1e-5)
    assert effective_bandwidth(cumulants, 100.0) == pytest.approx(2.0, abs=1e-2)
    assert decay_rate(cumulants, 3.0, 50.0) == 50.0


def test_a_queue_that_gets_more_than_it_serves_has_no_decay() -> None:
    with pytest.raises(UnstableQueueError):
        decay_rate(lambda t: 1.2 * math.expm1(t), 1.0, 5.0)


def test_cumulants_that_are_no_numbers_are_refused() -> None:
    for call in (
        lambda: chernoff(lambda _: math.nan, 1.0, 1.0),
        lambda: quantile_bound(lambda _: math.nan, 0.1, 1.0),
        lambda: effective_bandwidth(lambda _: math.nan, 1.0),
    ):
        with pytest.raises(InvalidSampleError, match="log_mgf"):
            call()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_ranges_without_an_inside_are_refused(bad: float) -> None:
    for call in (
        lambda: chernoff(tandem, 1.0, bad),
        lambda: quantile_bound(tandem, 0.1, bad),
        lambda: effective_bandwidth(tandem, bad),
        lambda: maslov_temperature(3, bad),
    ):
        with pytest.raises(InvalidSampleError):
            call()
    with pytest.raises(InvalidSampleError):
        quantile_bound(tandem, 1.0, 0.4)
    with pytest.raises(InvalidSampleError):
        chernoff(tandem, math.nan, 0.4)
    with pytest.raises(InvalidSampleError):
        maslov_temperature(1, 0.1)
