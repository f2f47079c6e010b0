# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.pll import FIRST_TYPE, SECOND_TYPE, Gains, Tracker, second_type
from resonance_core.errors import InvalidSampleError


@pytest.mark.parametrize(
    ("bandwidth", "damping", "proportional", "integral"),
    [
        (0.05, math.sqrt(0.5), 0.124740, 0.008316),
        (0.01, math.sqrt(0.5), 0.026313, 0.000351),
        (0.05, 1.0, 0.147929, 0.005917),
    ],
)
def test_the_gains_are_those_of_the_reference(
    bandwidth: float, damping: float, proportional: float, integral: float
) -> None:
    gains = second_type(bandwidth, damping)
    assert gains.proportional == pytest.approx(proportional, abs=5e-7)
    assert gains.integral == pytest.approx(integral, abs=5e-7)


@pytest.mark.parametrize(
    ("bandwidth", "damping", "modulus"),
    [(0.05, math.sqrt(0.5), 0.935553), (0.01, math.sqrt(0.5), 0.986756), (0.05, 1.0, 0.923077)],
)
def test_the_poles_are_those_of_the_reference(
    bandwidth: float, damping: float, modulus: float
) -> None:
    gains = second_type(bandwidth, damping)
    roots = np.roots([1.0, gains.proportional + gains.integral - 2.0, 1.0 - gains.proportional])
    assert np.abs(roots).max() == pytest.approx(modulus, abs=2e-6)


@pytest.mark.parametrize(("bandwidth", "ratio"), [(0.05, 0.104519), (0.01, 0.020178)])
def test_the_variance_of_the_expected_phase_is_that_of_the_reference(
    bandwidth: float, ratio: float
) -> None:
    random = np.random.default_rng(1)
    tracker = Tracker(1.0, 0.0, second_type(bandwidth))
    jitter = random.normal(0.0, 0.01, 60_000)
    phases = []
    for cycle, error in enumerate(jitter.tolist()):
        tracker.update(cycle + 0.5 + error)
        phases.append(tracker.phase_rad + tracker.drift_rad)  # of the next release
    measured = np.var(phases[1000:]) / np.var(2.0 * math.pi * jitter)
    assert measured == pytest.approx(ratio, rel=0.1)


def test_stability_is_what_the_poles_say() -> None:
    random = np.random.default_rng(2)
    for proportional, integral in random.uniform(-0.5, 4.5, (500, 2)).tolist():
        gains = Gains(proportional, integral)
        roots = np.roots([1.0, proportional + integral - 2.0, 1.0 - proportional])
        largest = np.abs(roots).max()
        if abs(largest - 1.0) > 1e-6:
            assert gains.is_stable == (largest < 1.0)


@pytest.mark.parametrize("gains", [FIRST_TYPE, SECOND_TYPE])
def test_a_steady_source_is_followed_without_error(gains: Gains) -> None:
    tracker = Tracker(0.1, 0.0, gains)
    for cycle in range(200):
        error = tracker.update(5.0 + 0.03 + 0.1 * cycle)
    assert error == pytest.approx(0.0, abs=1e-6)
    assert tracker.is_locked


def test_only_the_second_type_follows_a_drift_without_error() -> None:
    first, second = Tracker(0.1, 0.0, FIRST_TYPE), Tracker(0.1, 0.0)
    for cycle in range(600):
        at = 0.1003 * cycle
        errors = first.update(at), second.update(at)
    drift = 2.0 * math.pi * 0.003
    assert errors[0] == pytest.approx(drift / 0.2, rel=0.01)
    assert errors[1] == pytest.approx(0.0, abs=1e-4)
    assert second.period_seconds == pytest.approx(0.1003, abs=1e-6)


def test_missed_releases_do_not_lose_the_drift() -> None:
    random = np.random.default_rng(3)
    tracker = Tracker(0.1, 0.0)
    for cycle in range(1500):
        if random.random() < 0.7:
            tracker.update(0.1002 * cycle)
    assert tracker.period_seconds == pytest.approx(0.1002, abs=2e-6)


def test_releases_anywhere_are_followed_by_nobody() -> None:
    random = np.random.default_rng(4)
    tracker = Tracker(0.1, 0.0)
    for at in np.cumsum(random.exponential(0.1, 500)).tolist():
        tracker.update(at)
    assert not tracker.is_locked


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_bandwidth_is_refused(bandwidth: float) -> None:
    with pytest.raises(InvalidSampleError):
        second_type(bandwidth)
