# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from resonance.policies._brake import Brake

IN_STEP = 0.65
SPREAD = 0.35


def told(starts: Iterable[float]) -> Brake:
    brake = Brake()
    for start in sorted(starts):
        brake.started(start)
    return brake


def bursts(random: Random, *, count: int, size: int, period: float, width: float) -> list[float]:
    return sorted(
        100.0 + burst * period + random.uniform(0.0, width)
        for burst in range(count)
        for _ in range(size)
    )


def poisson(random: Random, *, rate: float, seconds: float) -> list[float]:
    starts: list[float] = []
    now = 100.0
    while (now := now + random.expovariate(rate)) < 100.0 + seconds:
        starts.append(now)
    return starts


def alarms(starts: list[float]) -> int:
    """Look every quarter of a second, as retries do; return how often they seem in step."""
    brake, seen, looked_at = Brake(), 0, 100.0
    for start in starts:
        brake.started(start)
        if start - looked_at >= 0.25:
            looked_at = start
            seen += (brake.order_parameter(start) or 0.0) > IN_STEP
    return seen


@pytest.mark.parametrize("count", [0, 1, 7])
def test_of_fewer_than_eight_nothing_is_known(count: int) -> None:
    assert told([100.0] * count).order_parameter(100.0) is None


@pytest.mark.parametrize("period", [0.06, 0.1, 0.25, 0.37, 0.5, 0.81, 1.0, 1.7, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_bursts_of_any_period_are_in_step(period: float, seed: int) -> None:
    starts = bursts(Random(seed), count=4, size=10, period=period, width=0.05 * period)
    order_parameter = told(starts).order_parameter(starts[-1])
    assert order_parameter is not None
    assert order_parameter > IN_STEP


@pytest.mark.parametrize("base", [0.02, 0.05, 0.1, 0.2])
def test_exponential_delays_without_jitter_are_in_step(base: float) -> None:
    random = Random(1)
    starts = [
        100.0 + base * (2**n - 1) + random.uniform(0.0, 0.003) for n in (1, 2, 3) for _ in range(10)
    ]
    assert (told(starts).order_parameter(max(starts)) or 0.0) > IN_STEP


def test_one_burst_is_in_step_with_itself() -> None:
    starts = [100.0 + k * 1e-4 for k in range(10)]
    assert (told(starts).order_parameter(101.0) or 0.0) > IN_STEP


@pytest.mark.parametrize("rate", [1.0, 3.0, 10.0, 30.0, 100.0, 400.0])
@pytest.mark.parametrize("seed", range(3))
def test_retries_at_random_times_are_not(rate: float, seed: int) -> None:
    assert alarms(poisson(Random(seed), rate=rate, seconds=60.0)) == 0


@pytest.mark.parametrize("count", [8, 10, 30, 100, 256])
@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0, 4.0, 10.0])
def test_retries_spread_over_a_short_fault_are_not(count: int, seconds: float) -> None:
    for seed in range(20):
        random = Random(seed)
        starts = [100.0 + random.uniform(0.0, seconds) for _ in range(count)]
        assert (told(starts).order_parameter(max(starts)) or 0.0) < IN_STEP


def test_full_jitter_over_half_of_the_burst_distance_breaks_the_step() -> None:
    starts = bursts(Random(1), count=5, size=10, period=0.5, width=0.45)
    assert (told(starts).order_parameter(starts[-1]) or 0.0) < SPREAD


def test_a_clockwork_of_single_retries_is_not_in_step() -> None:
    starts = [100.0 + 0.5 * k for k in range(20)]
    assert told(starts).order_parameter(starts[-1]) == 0.0


def test_without_retries_nothing_is_braked() -> None:
    brake = Brake()
    assert (brake.stretch(100.0), brake.refill(100.0)) == (1.0, 1.0)


def test_in_step_they_are_stretched_twofold_and_pay_half() -> None:
    brake = told([100.0] * 20)
    assert (brake.stretch(100.0), brake.refill(100.0)) == (2.0, 0.5)


def test_after_the_storm_it_is_released_by_a_tenth_per_second() -> None:
    brake = told([100.0] * 20)
    stretches: dict[float, float] = {}
    for k in range(100):
        now = 100.0 + k / 4
        stretches[now] = brake.stretch(now)
        assert brake.refill(now) == pytest.approx(1.5 - stretches[now] / 2)
    assert stretches[110.0] == 2.0  # as long as it is among the last 10 s
    assert stretches[111.0] == pytest.approx(1.9)
    assert stretches[115.0] == pytest.approx(1.5)
    assert stretches[120.25] == 1.0


def test_it_holds_between_the_two_thresholds() -> None:
    brake = told([100.0] * 20)
    brake.stretch(100.0)
    for start in bursts(Random(3), count=9, size=25, period=1.0, width=0.55):
        brake.started(start)
    assert SPREAD < (brake.order_parameter(108.6) or 0.0) < IN_STEP
    assert brake.stretch(108.6) == 2.0


def test_new_spread_retries_release_it_though_the_storm_is_not_long_ago() -> None:
    brake = told([100.0] * 20)
    brake.stretch(100.0)
    for start in poisson(Random(2), rate=30.0, seconds=8.0):
        brake.started(start)
        brake.stretch(start)
    assert brake.stretch(108.0) < 1.7


def test_it_remembers_no_more_than_the_last_256() -> None:
    brake = told(100.0 + k * 1e-6 for k in range(100_000))
    assert len(brake._starts) == 256


def test_it_is_computed_four_times_a_second_at_most() -> None:
    brake = told([100.0] * 7)
    brake.order_parameter(100.0)
    brake.started(100.1)
    assert brake.order_parameter(100.1) is None
    assert brake.order_parameter(100.25) is not None


def test_a_clock_that_goes_back_does_no_harm() -> None:
    brake = told([100.0] * 20)
    assert brake.stretch(100.0) == 2.0
    brake.started(50.0)
    assert brake.stretch(50.0) == 2.0
    assert 1.0 <= brake.stretch(101.0) <= 2.0
