# SPDX-License-Identifier: MIT
from __future__ import annotations

import itertools
import math

import pytest

from fakes.rhythm import FLUSHERS, source
from resonance.cli.spectrum.wheel import Hand, Wheel, marks, wheel_of
from resonance_api.phase.v1.phase_pb2 import SourcePhase


def _wheel(*sources: SourcePhase) -> Wheel:
    wheel = wheel_of(sources)
    assert wheel is not None
    return wheel


def test_sources_in_step_pile_up_and_the_plan_does_not() -> None:
    wheel = _wheel(*FLUSHERS)
    now, planned = wheel.placements["now"], wheel.placements["planned"]
    assert now.order_parameter > 0.99
    assert now.pile_up_seconds == pytest.approx(8 * 0.013 / math.sqrt(12), rel=0.03)
    assert planned.pile_up_seconds == pytest.approx(0.013 / math.sqrt(12), rel=1e-6)
    assert wheel.turns == ("now", "planned")
    assert max(now.profile_seconds) - min(now.profile_seconds) > 0.09


def test_a_wheel_is_of_the_group_with_the_most_work() -> None:
    slow = [source(f"slow-{at}", 0.1, period_seconds=7.0) for at in range(5)]
    wheel = _wheel(*slow, *FLUSHERS[:3])
    assert wheel.period_seconds == 0.1
    assert (len(wheel.hands), wheel.others) == (3, 5)


def test_a_source_that_runs_four_times_per_turn_has_four_places() -> None:
    wheel = _wheel(source("slow", 0.0), source("fast", 0.5, period_seconds=0.025))
    assert wheel.period_seconds == 0.1
    fast = next(hand for hand in wheel.hands if hand.name == "fast")
    assert fast.places("now") == pytest.approx((0.125, 0.375, 0.625, 0.875))
    assert fast.letter == "A"  # it does the most work


@pytest.mark.parametrize("period_seconds", [0.0, -0.1, math.nan, math.inf, 1e-320, 1e308])
def test_a_source_whose_period_cannot_be_is_counted_and_not_drawn(period_seconds: float) -> None:
    wheel = _wheel(*FLUSHERS, source("odd", 0.0, period_seconds=period_seconds))
    assert (len(wheel.hands), wheel.unknown) == (8, 1)


def test_an_unknown_phase_is_counted_and_not_drawn() -> None:
    unknown = source("new", 0.0, phase_rad=math.nan, natural_phase_rad=math.nan)
    wheel = _wheel(*FLUSHERS, unknown)
    assert (len(wheel.hands), wheel.unknown) == (8, 1)
    assert wheel_of([unknown]) is None
    assert wheel_of([]) is None


def test_a_source_without_a_plan_stays_where_it_is() -> None:
    wheel = _wheel(source("free", 0.0, 0.5), source("anchored", 0.0))
    assert wheel.placements["planned"].pile_up_seconds == pytest.approx(0.013 / math.sqrt(12))


def test_holds_in_force_are_shown_against_the_own_phases() -> None:
    held = [source(f"{at}", 0.0, at / 2, phase_rad=math.pi * at) for at in range(2)]
    assert _wheel(*held).turns == ("natural", "now")
    assert _wheel(source("one", 0.3)).turns == ("now",)


def test_a_difference_across_the_top_is_small() -> None:
    wheel = _wheel(source("one", 0.001, 0.999))
    assert wheel.turns == ("now",)


def test_just_before_the_top_is_the_top() -> None:
    (hand,) = _wheel(source("one", 1.0 - 1e-9)).hands
    assert hand.places("now") == (0.0,)


def test_unknown_work_leaves_the_order_parameter() -> None:
    wheel = _wheel(*(source(f"{at}", 0.1, work_seconds=math.nan) for at in range(3)))
    now = wheel.placements["now"]
    assert now.order_parameter == pytest.approx(1.0)
    assert math.isnan(now.pile_up_seconds)
    assert now.profile_seconds == ()


def test_a_single_source_is_in_step_with_nobody() -> None:
    assert math.isnan(_wheel(source("one", 0.3)).placements["now"].order_parameter)


def test_more_sources_than_letters_are_stars() -> None:
    wheel = _wheel(*(source(f"{at:03}", 0.0) for at in range(60)))
    assert [hand.letter for hand in wheel.hands][50:54] == ["y", "z", "*", "*"]


def _hands(turns: list[float]) -> tuple[Hand, ...]:
    return _wheel(*(source(f"{at}", turn) for at, turn in enumerate(turns))).hands


@pytest.mark.parametrize(
    "turns", [[0.1] * 7, [0.0, 0.01, 0.99, 0.5], [0.02 * at for at in range(9)]]
)
def test_no_mark_covers_another(turns: list[float]) -> None:
    drawn = marks(_hands(turns), "now", 0.125)
    assert sorted(mark.letter for mark in drawn) == sorted("ABCDEFGHI"[: len(turns)])
    for one, other in itertools.combinations(drawn, 2):
        assert math.dist(one.at(1.0), other.at(1.0)) >= 0.125 - 1e-9


def test_what_finds_no_room_is_a_plus_in_the_middle() -> None:
    drawn = marks(_hands([0.25] * 30), "now", 0.125)
    assert len(drawn) == 30
    crowded = [mark for mark in drawn if mark.letter == "+"]
    assert crowded
    assert {mark.radius for mark in crowded} == {0.0}


def test_the_top_is_up_and_a_quarter_is_right() -> None:
    top, right = marks(_hands([0.0, 0.25]), "now", 0.1)
    assert top.at(10.0) == pytest.approx((0.0, -10.0))
    assert right.at(10.0) == pytest.approx((10.0, 0.0), abs=1e-9)
