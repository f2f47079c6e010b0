# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.valley import next_valley
from resonance_core.errors import InvalidSampleError

PROFILE = np.array([4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 5.0, 5.0])  # bins of 10 ms


@pytest.mark.parametrize(
    ("now", "within", "expected"),
    [
        (100.000, 0.050, 0.040),
        (100.000, 0.025, 0.020),
        (100.045, 0.025, 0.000),
        (100.060, 0.080, 0.060),
        (100.065, 0.080, 0.055),
        (100.000, 0.000, 0.000),
        (99.985, 0.060, 0.055),
    ],
)
def test_the_wait_ends_where_the_backlog_is_lowest(
    now: float, within: float, expected: float
) -> None:
    assert next_valley(PROFILE, 100.0, 0.08, now, within) == pytest.approx(expected, abs=1e-9)


def test_who_may_wait_for_ever_waits_for_the_next_valley() -> None:
    assert next_valley(PROFILE, 100.0, 0.08, 100.0, 1e308) == pytest.approx(0.04, abs=1e-9)


def test_a_wait_is_never_longer_than_allowed() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        now, within = random.uniform(0.0, 10.0), random.uniform(0.0, 0.3)
        profile = random.uniform(0.0, 1.0, 64)
        assert 0.0 <= next_valley(profile, 1.0, 0.1, now, within) <= within


@pytest.mark.parametrize(
    "profile", [np.zeros(0), np.full(8, math.inf), np.full(8, math.nan), np.ones(8)]
)
def test_where_nothing_is_known_or_gained_nobody_waits(profile: np.ndarray) -> None:
    assert next_valley(profile, 0.0, 0.08, 5.0, 0.025) == 0.0


def test_without_a_period_nobody_waits() -> None:
    assert next_valley(PROFILE, 0.0, math.nan, 5.0, 0.025) == 0.0


@pytest.mark.parametrize(("now", "within"), [(math.nan, 0.1), (0.0, -1.0), (0.0, math.inf)])
def test_an_impossible_wait_is_refused(now: float, within: float) -> None:
    with pytest.raises(InvalidSampleError):
        next_valley(PROFILE, 0.0, 0.08, now, within)
