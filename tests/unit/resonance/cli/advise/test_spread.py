# SPDX-License-Identifier: MIT
from __future__ import annotations

import itertools
import math
import random

import pytest

from resonance.cli.advise.spread import Burst, expected_pile_up
from resonance_core.calculus.phasor import discrepancy

_HARMONICS = 4000


def _series(bursts: list[Burst]) -> float:
    """Return the root of E<D^2> from the Fourier series that defines it."""
    total = 0.0
    for m in range(1, _HARMONICS + 1):
        mean, own = 0j, 0.0
        for each in bursts:
            half = math.pi * m * each.spread
            damped = math.sin(half) / half if half else 1.0
            angle = -2.0 * math.pi * m * (each.turn + each.spread / 2.0)
            mean += each.work * damped * complex(math.cos(angle), math.sin(angle))
            own += each.work**2 * (1.0 - damped**2)
        total += (abs(mean) ** 2 + own) / m**2
    return math.sqrt(total / (2.0 * math.pi**2))


def test_without_delays_it_is_the_discrepancy_of_the_phase_controller() -> None:
    dice = random.Random(4)
    bursts = [Burst(dice.random(), dice.uniform(0.0, 3.0)) for _ in range(9)]
    phases = [math.tau * each.turn for each in bursts]
    exact = math.sqrt(discrepancy(phases, [each.work for each in bursts]))
    assert expected_pile_up(bursts) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    "spreads", list(itertools.combinations_with_replacement((0.0, 0.1, 0.5, 1.0), 3))
)
def test_delays_agree_with_the_fourier_series(spreads: tuple[float, ...]) -> None:
    turns, works = (0.95, 0.0, 0.3), (1.0, 2.0, 0.5)
    bursts = [Burst(*each) for each in zip(turns, works, spreads, strict=True)]
    assert expected_pile_up(bursts) == pytest.approx(_series(bursts), rel=2e-3)


def test_delays_agree_with_drawing_them() -> None:
    dice = random.Random(7)
    bursts = [Burst(0.0, 1.0, 0.25), Burst(0.1, 2.0, 0.4), Burst(0.1, 1.0, 0.0)]
    drawn = [
        discrepancy(
            [math.tau * (each.turn + each.spread * dice.random()) for each in bursts],
            [each.work for each in bursts],
        )
        for _ in range(4000)
    ]
    mean = sum(drawn) / len(drawn)
    error = math.sqrt(sum((each - mean) ** 2 for each in drawn)) / len(drawn)
    assert expected_pile_up(bursts) ** 2 == pytest.approx(mean, abs=3.0 * error)


def test_a_whole_period_makes_n_equal_timers_better_by_the_root_of_n() -> None:
    aligned = expected_pile_up([Burst(0.2, 1.0)] * 9)
    assert aligned == pytest.approx(9.0 / math.sqrt(12.0))
    assert expected_pile_up([Burst(0.2, 1.0, 1.0)] * 9) == pytest.approx(aligned / 3.0)


@pytest.mark.parametrize("spread", [1e-3, 2e-4, 1.1e-4, 0.9e-4, 1e-6])
def test_tiny_delays_change_nothing_and_lose_no_digits(spread: float) -> None:
    exact = expected_pile_up([Burst(0.2, 1.0)] * 3)
    assert expected_pile_up([Burst(0.2, 1.0, spread)] * 3) == pytest.approx(exact, rel=2e-3)


def test_nothing_piles_up_nothing() -> None:
    assert expected_pile_up([]) == 0.0
    assert expected_pile_up([Burst(0.0, 0.0)]) == 0.0
