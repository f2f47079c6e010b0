# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.change import PageHinkley


def first_change(change: PageHinkley, values: np.ndarray) -> int | None:
    """Return the number of values up to the first change."""
    for place, value in enumerate(values.tolist(), start=1):
        if change.update(value):
            return place
    return None


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_a_shift_in_either_direction_is_found_soon(shift: float) -> None:
    generator = np.random.default_rng(1)
    delays = []
    for _ in range(100):
        change = PageHinkley(1.0, 8.0)
        assert first_change(change, generator.normal(size=50)) is None
        delays.append(first_change(change, shift + generator.normal(size=200)))
    assert None not in delays
    assert np.median([delay for delay in delays if delay]) < 20


def test_a_steady_level_raises_no_alarm_as_often_as_promised() -> None:
    generator = np.random.default_rng(2)
    values = 20_000
    change = PageHinkley(0.5, 5.0)
    alarms = sum(change.update(value) for value in generator.normal(size=values).tolist())
    # Two directions, and a mean that is an estimate itself at first.
    assert alarms <= 3.0 * values / math.exp(2.0 * 0.5 * 5.0)
    assert change.changes == alarms


def test_a_drift_within_the_tolerance_is_no_change() -> None:
    assert first_change(PageHinkley(0.1, 1.0), np.tile([0.9, 1.1], 500)) is None


def test_after_a_change_the_new_level_is_the_normal_one() -> None:
    change = PageHinkley(0.1, 1.0)
    assert first_change(change, np.zeros(20)) is None
    assert first_change(change, np.full(20, 5.0)) == 1
    assert math.isnan(change.mean)
    assert first_change(change, np.full(200, 5.0)) is None
    assert (change.mean, change.samples, change.changes) == (5.0, 200, 1)


def test_it_does_not_speak_before_it_has_a_mean() -> None:
    change = PageHinkley(0.0, 1.0, least=5)
    assert [change.update(value) for value in (0.0, 100.0, 0.0, 100.0)] == [False] * 4
    assert change.update(100.0)


def test_a_reset_forgets_the_level() -> None:
    change = PageHinkley(0.1, 1.0)
    first_change(change, np.zeros(20))
    change.reset()
    assert first_change(change, np.full(20, 9.0)) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_forgotten(value: float) -> None:
    change = PageHinkley(0.1, 1.0)
    change.update(1.0)
    with pytest.raises(InvalidSampleError):
        change.update(value)
    assert (change.mean, change.samples) == (1.0, 1)


@pytest.mark.parametrize(
    ("delta", "threshold", "least"),
    [(-1.0, 1.0, 1), (0.0, 0.0, 1), (math.nan, 1.0, 1), (0.0, math.inf, 1), (0.0, 1.0, 0)],
)
def test_impossible_parameters_are_refused(delta: float, threshold: float, least: int) -> None:
    with pytest.raises(InvalidSampleError):
        PageHinkley(delta, threshold, least)
