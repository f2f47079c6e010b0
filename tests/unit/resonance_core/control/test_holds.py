# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.control.holds import Holds

ROW = np.array([0])


def one(hold_seconds: float = 0.0) -> Holds:
    holds = Holds()
    holds.place(0, 1, 0.1, 0.007, hold_seconds)
    return holds


def order(holds: Holds, seconds: float) -> float:
    return float(holds.order(ROW, np.array([seconds]))[0])


def test_a_hold_moves_by_a_step_per_cycle() -> None:
    holds = one()
    order(holds, 0.02)
    holds.advance(0.1)
    assert holds.now_seconds[0] == pytest.approx(0.007)
    holds.advance(0.2)
    assert holds.now_seconds[0] == pytest.approx(0.02)


def test_a_shorter_hold_is_free() -> None:
    holds = one(0.08)
    before = holds.tokens_seconds[0]
    order(holds, 0.01)
    assert holds.tokens_seconds[0] == before
    assert holds.spent_seconds[0] == 0.0


def test_what_may_have_been_done_while_nobody_looked_is_paid_for() -> None:
    holds = one()
    order(holds, 0.05)
    holds.lose_track()
    order(holds, 0.0)
    assert holds.spent_seconds[0] == pytest.approx(0.05)
    holds.lose_track()
    assert holds.now_seconds[0] == pytest.approx(0.05)


def test_a_longer_hold_is_paid_for_once() -> None:
    holds = one()
    for _ in range(5):
        order(holds, 0.05)
    assert holds.spent_seconds[0] == pytest.approx(0.05)
    assert holds.tokens_seconds[0] == pytest.approx(0.10)


def test_what_was_ordered_and_not_carried_out_is_given_back() -> None:
    holds = one()
    order(holds, 0.05)
    holds.advance(0.1)
    order(holds, 0.0)
    assert holds.spent_seconds[0] == pytest.approx(0.007)


def test_an_empty_bucket_bounds_a_hold() -> None:
    holds = one()
    for _ in range(3):
        order(holds, 0.09)
        holds.advance(5.0)
        order(holds, 0.0)
        holds.advance(5.0)
    assert holds.spent_seconds[0] <= 0.15 + 0.001 * 30.0 + 1e-12
    assert order(holds, 0.09) < 0.09


def test_a_bucket_refills_by_a_thousandth_and_not_beyond_its_size() -> None:
    holds = one()
    order(holds, 0.09)
    holds.advance(10.0)
    assert holds.tokens_seconds[0] == pytest.approx(0.06 + 0.01)
    holds.advance(1e6)
    assert holds.tokens_seconds[0] == pytest.approx(0.15)


def test_a_grant_is_a_new_schedule_and_costs_nothing() -> None:
    holds = one()
    holds.jump(0, 0.09)
    assert holds.spent_seconds[0] == 0.0
    assert holds.is_settled(ROW)
    assert holds.is_held(ROW).all()


def test_what_a_source_says_of_itself_counts() -> None:
    holds = one()
    order(holds, 0.02)
    holds.advance(1.0)
    holds.correct(0, 0.003)
    assert not holds.is_settled(ROW)
    for nonsense in (float("nan"), -1.0, 0.1, float("inf")):
        holds.correct(0, nonsense)
    assert holds.now_seconds[0] == 0.003


def test_cleared_sources_are_at_home_with_full_buckets() -> None:
    holds = one(0.05)
    order(holds, 0.09)
    holds.clear()
    assert not holds.is_held(ROW).any()
    assert holds.tokens_seconds[0] == pytest.approx(0.15)
