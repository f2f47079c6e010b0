# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.plan import (
    Members,
    hold_within_slack,
    make_plan,
    rms_discrepancy,
    rotate_to_least_travel,
)
from resonance_core.errors import NoPlacementError

TURN = 2.0 * math.pi


def members(phases: list[float], works: list[float], multiples: list[int] | None = None) -> Members:
    counts = np.array(multiples or [1] * len(phases), dtype=np.int64)
    return Members(np.array(phases), np.array(works), counts, 0.1 / counts)


def test_the_discrepancy_of_aligned_sources_is_that_of_the_closed_form() -> None:
    sixteen = members([0.0] * 16, [0.0075] * 16)
    assert rms_discrepancy(sixteen, np.zeros(16), 4.0) == pytest.approx(8.660254e-3)


def test_nobody_has_no_discrepancy() -> None:
    assert rms_discrepancy(members([], []), np.zeros(0), 4.0) == 0.0


def test_a_splay_has_the_least_discrepancy() -> None:
    sixteen = members([0.0] * 16, [0.0075] * 16)
    plan = make_plan(sixteen, np.zeros(16), np.ones(16, np.bool_), 4.0)
    assert plan.discrepancy_seconds == pytest.approx(0.541266e-3, rel=1e-5)
    assert (plan.hold_seconds >= 0.0).all()
    assert (plan.hold_seconds < 0.1).all()
    assert plan.hold_seconds.min() == pytest.approx(0.0, abs=1e-9)  # somebody stays


def test_whoever_may_not_move_stays() -> None:
    four = members([0.0] * 4, [1.0, 2.0, 3.0, 4.0])
    may_move = np.array([True, False, True, False])
    plan = make_plan(four, np.zeros(4), may_move, 1.0)
    assert (plan.hold_seconds[~may_move] == 0.0).all()
    assert (plan.hold_seconds[may_move] > 0.0).all()


def test_a_plan_already_in_force_moves_nobody() -> None:
    random = np.random.default_rng(1)
    eight = members(list(random.uniform(0.0, TURN, 8)), list(random.uniform(1.0, 2.0, 8)))
    plan = make_plan(eight, np.zeros(8), np.ones(8, np.bool_), 1.0)
    again = make_plan(eight, plan.hold_seconds, np.ones(8, np.bool_), 1.0)
    assert again.hold_seconds == pytest.approx(plan.hold_seconds, abs=1e-9)


def test_of_all_rotations_the_one_with_the_least_travel_is_taken() -> None:
    random = np.random.default_rng(3)
    eight = members(list(random.uniform(0.0, TURN, 8)), list(random.uniform(1.0, 2.0, 8)))
    holds = random.uniform(0.0, 0.1, 8)
    plan = TURN * np.arange(8) / 8.0
    found = eight.holds_to(rotate_to_least_travel(eight, plan, holds))
    travel = np.abs(found - holds) @ eight.work_seconds
    for constant in np.linspace(0.0, TURN, 2000):
        other = eight.holds_to((plan + constant) % TURN)
        assert travel <= np.abs(other - holds) @ eight.work_seconds + 1e-9


def test_harmonic_sources_are_placed_in_the_common_period() -> None:
    three = members([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1, 2, 4])
    plan = make_plan(three, np.zeros(3), np.ones(3, np.bool_), 1.0)
    assert plan.discrepancy_seconds < 0.6 * rms_discrepancy(three, np.zeros(3), 1.0)
    assert (plan.hold_seconds < three.periods_seconds).all()


def test_slack_is_used_where_it_helps_and_not_beyond() -> None:
    two = members([0.0, 0.0], [1.0, 1.0])
    stay = make_plan(two, np.zeros(2), np.zeros(2, np.bool_), 1.0)
    held = hold_within_slack(two, stay, np.array([0.005, 0.0]), 1.0)
    assert held.hold_seconds == pytest.approx([0.005, 0.0])
    assert held.discrepancy_seconds < stay.discrepancy_seconds


def test_without_work_there_is_no_plan() -> None:
    with pytest.raises(NoPlacementError):
        make_plan(members([0.0], [0.0]), np.zeros(1), np.ones(1, np.bool_), 1.0)
