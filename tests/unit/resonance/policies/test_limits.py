# SPDX-License-Identifier: MIT
from __future__ import annotations

from math import inf, log10, nan
from random import Random
from typing import Literal

import pytest

from resonance.policies._limits import Gradient2, Limit, Vegas, make_limit
from resonance.policies._records import LimitPolicy

ALGORITHMS: tuple[Literal["gradient2", "vegas"], ...] = ("gradient2", "vegas")


def made(
    algorithm: Literal["gradient2", "vegas"],
    *,
    initial: int = 20,
    smallest: int = 4,
    largest: int = 200,
) -> Limit:
    policy = LimitPolicy(algorithm=algorithm, initial=initial, smallest=smallest, largest=largest)
    return make_limit(policy, Random(1))


def feed(
    limit: Limit, elapsed_seconds: float, times: int, *, inflight: int | None = None
) -> list[int]:
    limits: list[int] = []
    for k in range(times):
        limit.observe(elapsed_seconds, inflight or limit.limit, is_drop=False, now=float(k))
        limits.append(limit.limit)
    return limits


def queueing(limit: Limit, *, servers: int, service_seconds: float, times: int) -> list[int]:
    """All of the limit is used; what the servers cannot take at once waits its turn."""
    limits: list[int] = []
    for k in range(times):
        elapsed = service_seconds * max(1.0, limit.limit / servers)
        limit.observe(elapsed, limit.limit, is_drop=False, now=float(k))
        limits.append(limit.limit)
    return limits


def test_the_policy_says_which_algorithm_it_is() -> None:
    assert isinstance(made("gradient2"), Gradient2)
    assert isinstance(made("vegas"), Vegas)


def test_chance_need_not_be_given() -> None:
    assert make_limit(LimitPolicy(algorithm="vegas")).limit == 20


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_begins_as_the_policy_says(algorithm: Literal["gradient2", "vegas"]) -> None:
    assert made(algorithm, initial=17).limit == 17


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_grows_to_the_largest_while_calls_take_no_longer(
    algorithm: Literal["gradient2", "vegas"],
) -> None:
    limits = feed(made(algorithm), 0.01, 400)
    assert limits == sorted(limits)
    assert limits[-1] == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_does_not_grow_while_it_is_not_felt(
    algorithm: Literal["gradient2", "vegas"],
) -> None:
    assert set(feed(made(algorithm), 0.01, 400, inflight=9)) == {20}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_never_leaves_its_bounds(algorithm: Literal["gradient2", "vegas"]) -> None:
    limit = made(algorithm, initial=10, smallest=5, largest=12)
    feed(limit, 0.001, 100)
    assert limit.limit == 12
    for k in range(100):
        limit.observe(0.001, limit.limit, is_drop=True, now=1000.0 + k)
    assert limit.limit == 5


def test_vegas_settles_a_little_above_what_the_servers_take() -> None:
    limits = queueing(made("vegas", largest=1000), servers=40, service_seconds=0.01, times=1000)
    assert all(40 <= limit <= 60 for limit in limits[100:])


def test_gradient2_gives_way_when_latency_multiplies() -> None:
    limit = made("gradient2", initial=100)
    feed(limit, 0.01, 600)
    before = limit.limit
    feed(limit, 0.05, 5)
    assert limit.limit < 0.8 * before


def test_gradient2_takes_one_step_as_the_formula_says() -> None:
    limit = made("gradient2")
    limit.observe(0.010, 20, is_drop=False, now=0.0)
    assert limit.limit == 20  # 0.8 * 20 + 0.2 * (20 * 1 + 4) = 20.8
    limit.observe(0.040, 20, is_drop=False, now=1.0)
    # The mean of both is 25 ms, the gradient 1.5 * 25 / 40.
    assert limit.limit == int(0.8 * 20.8 + 0.2 * (20.8 * 0.9375 + 4.0))


def test_gradient2_never_halves_at_once() -> None:
    limit = made("gradient2", initial=100)
    feed(limit, 0.001, 11, inflight=1)
    limit.observe(100.0, 100, is_drop=False, now=20.0)
    assert limit.limit == int(0.8 * 100 + 0.2 * (100 * 0.5 + 4.0))


def test_gradient2_forgets_an_overload_soon() -> None:
    limit = made("gradient2", initial=100)
    feed(limit, 1.0, 600, inflight=1)
    feed(limit, 0.01, 100, inflight=1)
    feed(limit, 0.04, 10, inflight=100)
    assert limit.limit < 100  # 40 ms count as slow again, though they took 1 s before


@pytest.mark.parametrize("limit", [20, 50, 100, 180])
def test_vegas_grows_by_six_logarithms_while_there_is_no_queue(limit: int) -> None:
    vegas = made("vegas", initial=limit)
    vegas.observe(0.010, limit, is_drop=False, now=0.0)
    vegas.observe(0.010, limit, is_drop=False, now=1.0)
    assert vegas.limit == min(200, int(limit + 6.0 * log10(limit)))


def test_vegas_stays_while_its_queue_is_as_wanted() -> None:
    vegas = made("vegas", initial=100)
    vegas.observe(0.010, 100, is_drop=False, now=0.0)
    vegas.observe(0.0108, 100, is_drop=False, now=1.0)  # a queue of 8, between 6 and 12
    assert vegas.limit == 100


def test_vegas_shrinks_by_a_logarithm_when_its_queue_is_long() -> None:
    vegas = made("vegas", initial=100)
    vegas.observe(0.010, 100, is_drop=False, now=0.0)
    vegas.observe(0.020, 100, is_drop=False, now=1.0)
    assert vegas.limit == 98


def test_vegas_measures_its_shortest_time_anew_now_and_then() -> None:
    vegas = made("vegas", initial=10, largest=10)
    vegas.observe(0.010, 10, is_drop=False, now=0.0)
    feed(vegas, 0.015, 400)  # more than 30 * 10: the service has become slower for good
    assert vegas.limit == 10


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_drop_makes_it_smaller_though_it_is_not_felt(
    algorithm: Literal["gradient2", "vegas"],
) -> None:
    limit = made(algorithm, initial=100)
    limit.observe(0.5, 1, is_drop=True, now=1.0)
    assert limit.limit == (90 if algorithm == "gradient2" else 98)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_calls_that_are_dropped_together_are_one_overload(
    algorithm: Literal["gradient2", "vegas"],
) -> None:
    limit = made(algorithm, initial=100)
    limit.observe(0.5, 100, is_drop=True, now=1.0)
    once = limit.limit
    for k in range(99):
        limit.observe(0.5, 100, is_drop=True, now=1.0 + k / 1000)
    assert limit.limit == once


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_next_overload_counts_again(algorithm: Literal["gradient2", "vegas"]) -> None:
    limit = made(algorithm, initial=100)
    limit.observe(0.5, 100, is_drop=True, now=1.0)
    once = limit.limit
    limit.observe(0.5, 100, is_drop=True, now=1.6)
    assert limit.limit < once


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_quick_refusal_is_not_taken_for_a_quick_reply(
    algorithm: Literal["gradient2", "vegas"],
) -> None:
    limit, twin = made(algorithm, initial=100), made(algorithm, initial=100)
    for each in (limit, twin):
        feed(each, 0.01, 20, inflight=1)
    for _ in range(20):
        limit.observe(1e-6, 1, is_drop=True, now=100.0)
    before = limit.limit
    feed(limit, 0.01, 20)
    feed(twin, 0.01, 20)
    grown, usual = limit.limit - before, twin.limit - 100
    assert grown > 0.5 * usual  # 10 ms are still the usual, and not slow beside a refusal


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("elapsed_seconds", [0.0, -1.0, nan])
def test_a_time_that_cannot_be_tells_nothing(
    algorithm: Literal["gradient2", "vegas"], elapsed_seconds: float
) -> None:
    limit = made(algorithm)
    assert set(feed(limit, elapsed_seconds, 10)) == {20}
    assert feed(limit, 0.01, 400)[-1] == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_call_that_never_ended_does_not_poison_it(
    algorithm: Literal["gradient2", "vegas"],
) -> None:
    limit = made(algorithm)
    feed(limit, 0.01, 20)
    limit.observe(inf, limit.limit, is_drop=False, now=30.0)
    assert feed(limit, 0.01, 400)[-1] == 200
