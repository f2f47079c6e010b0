# SPDX-License-Identifier: MIT
from __future__ import annotations

from random import Random
from statistics import fmean, pstdev
from typing import get_args

import pytest

from resonance.policies._backoff import Backoff
from resonance.policies._records import RetryPolicy, Strategy

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
JITTERED: tuple[Strategy, ...] = ("full_jitter", "equal_jitter", "decorrelated_jitter")


def backoff(strategy: Strategy, *, base: float = 0.02, longest: float = 1.0) -> Backoff:
    policy = RetryPolicy(strategy=strategy, base_delay=base, max_delay=longest)
    return Backoff(policy, Random(1))


def drawn(each: Backoff, n: int, *, previous: float = 0.0, stretch: float = 1.0) -> list[float]:
    return [each.delay(n, previous, stretch) for _ in range(2000)]


def test_full_jitter_is_uniform_from_nothing_to_the_span() -> None:
    delays = drawn(backoff("full_jitter"), 2)
    assert 0.0 <= min(delays) < 0.002
    assert 0.078 < max(delays) <= 0.08
    assert fmean(delays) == pytest.approx(0.04, rel=0.05)


def test_equal_jitter_keeps_half_of_the_span() -> None:
    delays = drawn(backoff("equal_jitter"), 2)
    assert 0.04 <= min(delays) < 0.042
    assert 0.078 < max(delays) <= 0.08


def test_decorrelated_jitter_goes_up_to_three_times_the_delay_before() -> None:
    delays = drawn(backoff("decorrelated_jitter"), 5, previous=0.1)
    assert 0.02 <= min(delays) < 0.025
    assert 0.29 < max(delays) <= 0.3


def test_the_first_decorrelated_delay_follows_the_base() -> None:
    delays = drawn(backoff("decorrelated_jitter"), 0)
    assert min(delays) >= 0.02
    assert 0.058 < max(delays) <= 0.06


def test_a_decorrelated_delay_is_at_most_the_longest() -> None:
    assert max(drawn(backoff("decorrelated_jitter"), 9, previous=50.0)) == 1.0


def test_fixed_is_always_the_base() -> None:
    assert set(drawn(backoff("fixed"), 7)) == {0.02}


def test_exponential_doubles_up_to_the_longest() -> None:
    each = backoff("exponential")
    assert [each.delay(n) for n in range(8)] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]


def test_a_multiplier_of_one_does_not_grow() -> None:
    policy = RetryPolicy(strategy="exponential", multiplier=1.0)
    assert Backoff(policy, Random(1)).delay(10**6) == 0.02


@pytest.mark.parametrize("multiplier", [2, 1.5, 1e308, float("inf")])
@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 10**9, 10**400])
def test_no_number_of_retries_is_too_many(multiplier: float, n: int) -> None:
    policy = RetryPolicy(strategy="exponential", multiplier=multiplier)
    delay = Backoff(policy, Random(1)).delay(n)
    assert delay == (0.02 if n == 0 else pytest.approx(min(1.0, delay)))
    assert n < 1000 or delay == 1.0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("n", [0, 3, 10**400])
def test_a_base_of_zero_retries_at_once(strategy: Strategy, n: int) -> None:
    assert set(drawn(backoff(strategy, base=0.0), n)) == {0.0}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stretch_widens_what_is_random(strategy: Strategy) -> None:
    each = backoff(strategy)
    spread = pstdev(drawn(each, 3, previous=0.05))
    stretched = pstdev(drawn(each, 3, previous=0.05, stretch=2.0))
    assert stretched > 1.8 * spread
    assert stretched > 0.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stretch_makes_no_delay_shorter_than_without(strategy: Strategy) -> None:
    each = backoff(strategy)
    assert fmean(drawn(each, 3, previous=0.05, stretch=2.0)) > fmean(drawn(each, 3, previous=0.05))


def test_a_stretch_may_pass_the_longest_by_its_factor() -> None:
    delays = drawn(backoff("full_jitter"), 50, stretch=2.0)
    assert 1.95 < max(delays) <= 2.0


@pytest.mark.parametrize("strategy", JITTERED)
def test_the_same_chance_draws_the_same_delays(strategy: Strategy) -> None:
    assert drawn(backoff(strategy), 3) == drawn(backoff(strategy), 3)
