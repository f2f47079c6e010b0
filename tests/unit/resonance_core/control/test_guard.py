# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_core.control.canary import Canary
from resonance_core.control.guard import Clock, Herd, Load, Workload


def test_a_herd_is_three_bad_chunks_in_a_row() -> None:
    herd = Herd()
    seen = [herd.update(now, 1.0, 0.1) for now in (1.5, 1.5, 0.9, 1.5, 1.5, 1.5)]
    assert seen == [False, False, False, False, False, True]


def test_a_discrepancy_that_makes_no_queue_is_no_herd() -> None:
    herd = Herd()
    assert not any(herd.update(0.09, 0.01, 0.1) for _ in range(10))


def test_a_steady_workload_does_not_change() -> None:
    workload, random = Workload(), np.random.default_rng(1)
    levels = 0.01 * np.exp(random.normal(0.0, 0.05, 500))
    assert not any(workload.update(level, 0.15, 1e-4) for level in levels.tolist())


@pytest.mark.parametrize("factor", [0.3, 2.5])
def test_another_amount_of_work_is_another_workload(factor: float) -> None:
    workload = Workload()
    for _ in range(20):
        assert not workload.update(0.01, 0.15, 1e-4)
    assert any(workload.update(0.01, 0.15 * factor, 1e-4) for _ in range(10))


def test_no_work_says_nothing() -> None:
    assert not any(Workload().update(0.0, 0.0, 1e-4) for _ in range(20))


def test_the_clock_goes_on_at_any_cadence() -> None:
    for cadence in (0.01, 0.1, 2.0):
        clock = Clock()
        assert not any(clock.advance(100.0 + cadence * tick)[1] for tick in range(50))


@pytest.mark.parametrize("jump", [-0.2, 1.5, 3600.0])
def test_a_jump_is_found_and_its_time_is_not_passed_on(jump: float) -> None:
    clock = Clock()
    for tick in range(50):
        clock.advance(0.1 * tick)
    assert clock.advance(4.9 + jump) == (0.0, True)
    elapsed, is_jump = clock.advance(4.9 + jump + 0.1)
    assert (round(elapsed, 9), is_jump) == (0.1, False)


def test_a_busy_tick_is_no_overload_but_a_busy_second_is() -> None:
    load = Load()
    load.update(0.5)
    assert not load.update(1.0)
    assert sum(load.update(1.0) for _ in range(40)) == 1
    assert load.is_overloaded
    for _ in range(20):
        load.update(0.5)
    assert not load.is_overloaded


def test_a_canary_is_a_share_and_stays_in_when_it_grows() -> None:
    lots = np.random.default_rng(1).random(16)
    canary, eligible = Canary(0.25), np.ones(16, np.bool_)
    first = canary.chosen(lots, eligible)
    canary.widen()
    second = canary.chosen(lots, eligible)
    assert (first.sum(), second.sum()) == (4, 8)
    assert (second & first).sum() == 4
    canary.widen()
    assert canary.is_everybody


def test_of_few_sources_one_is_a_canary_and_of_none_nobody() -> None:
    lots = np.array([0.9, 0.1, 0.5])
    assert Canary(0.01).chosen(lots, np.array([True, False, True])).tolist() == [
        False,
        False,
        True,
    ]
    assert not Canary(0.5).chosen(lots, np.zeros(3, np.bool_)).any()
