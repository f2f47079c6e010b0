# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.backlog import Capacity, backlog_profile, delay_bound
from resonance_core.control.plan import Members


def members(phases: list[float]) -> Members:
    size = len(phases)
    return Members(
        np.array(phases), np.full(size, 0.01), np.ones(size, np.int64), np.full(size, 0.1)
    )


ALL = Capacity(1.0, 1.0)


def test_the_backlog_is_highest_where_the_work_comes_and_then_falls() -> None:
    profile = backlog_profile(members([math.pi] * 5), np.zeros(5), 0.1, ALL)
    assert int(np.argmax(profile)) == 32
    assert profile.max() == pytest.approx(0.05, abs=1.01 * 0.1 / 64)
    assert profile[:32].max() == 0.0


def test_spread_work_leaves_less_backlog() -> None:
    phases = list(2.0 * math.pi * np.arange(5) / 5.0)
    spread = backlog_profile(members(phases), np.zeros(5), 0.1, ALL)
    assert spread.max() < 0.25 * 0.05


def test_a_hold_moves_the_backlog() -> None:
    five = members([0.0] * 5)
    moved = backlog_profile(five, np.full(5, 0.05), 0.1, ALL)
    assert int(np.argmax(moved)) == 32


def test_more_work_than_service_has_no_bound() -> None:
    little = Capacity(1.0, 0.4)
    assert math.isinf(delay_bound(members([0.0] * 5), np.zeros(5), np.zeros(5), 0.1, little))
    profile = backlog_profile(members([0.0] * 5), np.zeros(5), 0.1, little)
    assert np.isinf(profile).all()


def test_the_bound_of_aligned_work_is_all_of_it_and_of_spread_work_one_burst() -> None:
    none = np.zeros(5)
    aligned = delay_bound(members([0.0] * 5), none, none, 0.1, ALL)
    phases = list(2.0 * math.pi * np.arange(5) / 5.0)
    spread = delay_bound(members(phases), none, none, 0.1, ALL)
    assert aligned == pytest.approx(0.05 + 0.01)
    assert spread == pytest.approx(0.01 + 0.01)


def test_jitter_widens_the_bound() -> None:
    none = np.zeros(5)
    sharp = delay_bound(members([0.0] * 5), none, none, 0.1, ALL)
    jittered = delay_bound(members([0.0] * 5), none, np.full(5, 0.002), 0.1, ALL)
    assert jittered == pytest.approx(sharp + 0.5 * 3.0 * 0.002)


def test_nobody_has_no_bound() -> None:
    assert math.isnan(delay_bound(members([]), np.zeros(0), np.zeros(0), 0.1, ALL))


@pytest.mark.parametrize(
    ("busy_ratio", "free"), [(math.nan, 4.0), (0.5, 3.5), (0.2, 4.0), (1.5, 1.5)]
)
def test_others_leave_what_they_do_not_use(busy_ratio: float, free: float) -> None:
    assert Capacity.left(4.0, busy_ratio, 1.5).free_cores == pytest.approx(free)
