# SPDX-License-Identifier: MIT
from __future__ import annotations

from random import Random

import pytest

from resonance.policies._records import ThrottlePolicy
from resonance.policies._throttle import Throttle

WINDOW = 120.0
ANSWERED_AFTER = 4.0  # two bins of the window: calls older than that should have been answered


def throttle(*, multiplier: float = 2.0) -> Throttle:
    return Throttle(ThrottlePolicy(multiplier=multiplier, window=WINDOW), Random(1))


def run(each: Throttle, since: float, until: float, *, rate: float, accepts: bool) -> list[bool]:
    admitted: list[bool] = []
    for k in range(int((until - since) * rate)):
        now = since + k / rate
        admitted.append(each.admits(now))
        if admitted[-1] and accepts:
            each.accepted(now)
    return admitted


def test_a_service_that_accepts_all_is_never_throttled() -> None:
    assert all(run(throttle(), 0.0, 300.0, rate=20.0, accepts=True))


def test_one_that_accepts_half_is_not_throttled() -> None:
    each = throttle()
    for k in range(2000):
        assert each.admits(k / 10)
        if k % 2 == 0:
            each.accepted(k / 10)


def test_one_that_accepts_nothing_gets_next_to_nothing() -> None:
    each = throttle()
    run(each, 0.0, 60.0, rate=20.0, accepts=False)
    late = run(each, 60.0, 120.0, rate=20.0, accepts=False)
    assert sum(late) < 0.01 * len(late)


def test_it_never_refuses_for_certain() -> None:
    each = throttle()
    run(each, 0.0, 120.0, rate=20.0, accepts=False)
    assert 0.99 < each.refusal_probability(120.0) < 1.0


def test_the_probability_is_the_books() -> None:
    each = throttle()
    for _ in range(100):
        each.admits(0.0)
    for _ in range(20):
        each.accepted(0.0)
    now = ANSWERED_AFTER
    assert each.refusal_probability(now) == pytest.approx((100 - 2 * 20) / (100 + 1))


def test_another_multiplier_allows_more() -> None:
    each = throttle(multiplier=4.0)
    for _ in range(100):
        each.admits(0.0)
    for _ in range(20):
        each.accepted(0.0)
    assert each.refusal_probability(ANSWERED_AFTER) == pytest.approx(20 / 101)


def test_a_hundred_first_calls_at_once_are_all_sent() -> None:
    each = throttle()
    assert all(each.admits(0.0) for _ in range(100))


def test_calls_count_when_they_are_sent_and_not_when_they_fail() -> None:
    each = throttle()
    for _ in range(50):
        each.admits(0.0)  # and no word of any: they hang
    assert each.refusal_probability(ANSWERED_AFTER) > 0.9


def test_calls_refused_here_count_too() -> None:
    each = throttle()
    run(each, 0.0, 30.0, rate=10.0, accepts=False)
    probability = each.refusal_probability(30.0 + ANSWERED_AFTER)
    assert probability == pytest.approx(300 / 301)


def test_it_finds_out_when_the_service_is_back() -> None:
    each = throttle()
    run(each, 0.0, 60.0, rate=20.0, accepts=False)
    run(each, 60.0, 1500.0, rate=20.0, accepts=True)
    assert all(run(each, 1500.0, 1530.0, rate=20.0, accepts=True))


def test_what_is_older_than_the_window_is_forgotten() -> None:
    each = throttle()
    run(each, 0.0, 10.0, rate=50.0, accepts=False)
    assert each.refusal_probability(10.0 + WINDOW) == 0.0


def test_a_long_silence_empties_it() -> None:
    each = throttle()
    run(each, 0.0, 10.0, rate=50.0, accepts=True)
    assert each.admits(1e9)
    assert each.refusal_probability(1e9 + ANSWERED_AFTER) == pytest.approx(0.5)


def test_a_clock_that_stands_or_starts_below_zero_does_no_harm() -> None:
    each = throttle()
    assert all(each.admits(-1e6) for _ in range(10))
    assert each.admits(-1e6 - 1.0)
