# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.counterfactual import (
    BACKLOG_EDGES,
    IN_FLIGHT_EDGES,
    LEVELS,
    Counterfactual,
    State,
    levels,
)
from resonance_core.control.records import Floats

HALF = np.array([5000, 5000])


def told(state: list[float], seconds: list[float], bins: list[int], blind: bool) -> Counterfactual:
    """One wait per bin; the backlog says nothing, or everything."""
    waits = Counterfactual()
    flight = np.repeat(np.array(state), bins)
    place = levels(flight, IN_FLIGHT_EDGES)
    behind = levels(0.001 * flight, BACKLOG_EDGES)
    wait = np.repeat(np.array(seconds), bins)
    nothing = np.zeros(len(place), np.intp)
    pair = (place, nothing) if blind else (nothing, behind)
    waits.add(pair, pair, wait, np.ones(len(place)))
    return waits


def share(values: list[float], edges: Floats) -> Floats:
    return np.bincount(levels(np.array(values), edges), minlength=LEVELS).astype(np.float64)


def test_levels_are_whole_numbers_while_there_are_few() -> None:
    assert levels(np.arange(24.0), IN_FLIGHT_EDGES).tolist() == list(range(24))
    assert levels(np.array([1e9]), IN_FLIGHT_EDGES).tolist() == [LEVELS - 1]
    assert levels(np.array([0.0, 1e9]), BACKLOG_EDGES).tolist() == [0, LEVELS - 1]


@pytest.mark.parametrize("blind", [True, False], ids=["in flight", "backlog"])
def test_waits_that_follow_the_state_predict_what_another_state_makes(blind: bool) -> None:
    waits = told([0.0, 2.0, 8.0], [0.0001, 0.001, 0.01], [4000, 500, 500], blind)
    planned = share([2.0], IN_FLIGHT_EDGES), share([0.002], BACKLOG_EDGES)
    assert waits.ratio(*planned) == pytest.approx(0.1, rel=0.1)
    same = (
        share([0.0] * 8 + [2.0, 8.0], IN_FLIGHT_EDGES),
        share([0.0] * 8 + [0.002, 0.008], BACKLOG_EDGES),
    )
    assert waits.ratio(*same) == pytest.approx(1.0, rel=0.1)


def test_a_state_that_was_never_seen_counts_as_the_next_higher_one() -> None:
    waits = told([0.0, 8.0], [0.0001, 0.01], [4000, 1000], blind=True)
    planned = share([5.0], IN_FLIGHT_EDGES), share([0.0], BACKLOG_EDGES)
    assert waits.ratio(*planned) == pytest.approx(1.0, rel=0.1)


def test_a_prediction_needs_enough_waits() -> None:
    planned = share([0.0], IN_FLIGHT_EDGES), share([0.0], BACKLOG_EDGES)
    assert math.isnan(Counterfactual().ratio(*planned))
    few = told([0.0], [0.001], [999], blind=True)
    assert math.isnan(few.ratio(*planned))
    enough = told([0.0], [0.001], [1000], blind=True)
    assert enough.ratio(*planned) == pytest.approx(1.0)
    enough.forget()
    assert math.isnan(enough.ratio(*planned))


def test_a_spread_within_a_level_is_luck_or_a_level_misjudged() -> None:
    state = State()
    level = np.repeat([0, 1], HALF)
    seconds = np.concatenate([np.linspace(1e-4, 1e-2, 5000), np.linspace(1e-3, 1e-1, 5000)])
    bucket = np.searchsorted(np.geomspace(1e-6, 1e3, 9 * 48 + 1), seconds)
    state.add(level, bucket, np.ones(10000), level)
    only_lower = np.zeros(LEVELS)
    only_lower[0] = 1.0
    by_level, by_rank = state.under(only_lower)
    assert by_level == pytest.approx(np.quantile(seconds[:5000], 0.99), rel=0.05)
    assert by_rank == pytest.approx(np.quantile(seconds, 0.495), rel=0.05)


def test_a_level_that_says_nothing_of_the_waits_has_no_information() -> None:
    random = np.random.default_rng(3)
    state = State()
    level = random.integers(0, 20, 10000)
    state.add(level, random.integers(100, 300, 10000), np.ones(10000), level)
    assert abs(state.information()) < 0.01
    assert State().information() == 0.0


def test_a_level_that_says_all_has_the_entropy_of_the_waits() -> None:
    state = State()
    level = np.repeat([0, 1], HALF)
    state.add(level, 100 * level, np.ones(10000), level)
    assert state.information() == pytest.approx(math.log(2.0), abs=0.001)


def test_what_was_seen_long_ago_is_forgotten() -> None:
    state = State()
    level = np.zeros(100_000, np.intp)
    for _ in range(40):
        state.add(level, level, np.ones(100_000), level)
    assert state.waits.sum() < 2e6
    assert state.bins.sum() < 2e6
