# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses

import pytest

from resonance.cli.advise.suggestions import Suggestion, suggest
from resonance.cli.advise.systemd import Timer

TIMER = Timer(
    unit="a.timer",
    period_seconds=600.0,
    start_unix_seconds=6000.0,
    work_seconds=2.0,
    accuracy_seconds=60.0,
    delay_seconds=0.0,
    is_delay_fixed=False,
)


def _timers(count: int, **changes: object) -> list[Timer]:
    return [dataclasses.replace(TIMER, unit=f"{at}.timer", **changes) for at in range(count)]  # type: ignore[arg-type]


def _settings(each: Suggestion) -> tuple[float | None, bool | None, float | None]:
    return each.delay_seconds, each.is_delay_fixed, each.accuracy_seconds


def test_timers_in_step_are_spread_over_their_period() -> None:
    (group,) = suggest(_timers(4))
    assert {_settings(each) for each in group.suggestions} == {(600.0, True, 30.0)}
    assert group.is_worth_it
    assert group.ratio == pytest.approx(0.5)


def test_a_day_is_spread_over_half_of_it() -> None:
    (group,) = suggest(_timers(2, period_seconds=86_400.0))
    assert group.suggestions[0].delay_seconds == 43_200.0


def test_the_longest_delay_is_the_owners_to_say_and_the_gain_falls_with_it() -> None:
    (whole,), (short,) = suggest(_timers(4)), suggest(_timers(4), 60.0)
    assert short.suggestions[0].delay_seconds == 60.0
    assert short.ratio > whole.ratio
    assert not short.is_worth_it


def test_timers_apart_are_left_alone() -> None:
    apart = [
        dataclasses.replace(TIMER, unit=f"{at}.timer", start_unix_seconds=6000.0 + 150.0 * at)
        for at in range(4)
    ]
    (group,) = suggest(apart)
    assert group.ratio > 1.0
    assert not group.is_worth_it


def test_a_delay_of_its_own_is_kept_but_made_steady() -> None:
    (group,) = suggest(_timers(4, delay_seconds=600.0, accuracy_seconds=1.0))
    assert {_settings(each) for each in group.suggestions} == {(None, True, None)}


def test_what_is_spread_and_steady_needs_nothing() -> None:
    steady = _timers(4, delay_seconds=600.0, is_delay_fixed=True, accuracy_seconds=1.0)
    (group,) = suggest(steady)
    assert not any(each.is_change for each in group.suggestions)
    assert not group.is_worth_it


def test_a_systemd_without_fixed_delays_is_not_told_to_set_them() -> None:
    (group,) = suggest(_timers(4, is_delay_fixed=None))
    assert {_settings(each) for each in group.suggestions} == {(600.0, None, 30.0)}


def test_unknown_work_is_taken_to_be_like_that_of_the_others() -> None:
    timers = [*_timers(3), dataclasses.replace(TIMER, unit="b.timer", work_seconds=None)]
    (group,) = suggest(timers)
    assert group.assumed_works == 1
    assert group.pile_up_seconds == pytest.approx(suggest(_timers(4))[0].pile_up_seconds)


def test_accuracy_never_goes_below_a_second() -> None:
    (group,) = suggest(_timers(8, period_seconds=10.0))
    assert group.suggestions[0].accuracy_seconds == 1.0


def test_periods_are_not_mixed_and_loners_are_left_out() -> None:
    timers = [*_timers(2), *_timers(3, period_seconds=900.0), *_timers(1, period_seconds=60.0)]
    assert sorted(len(group.suggestions) for group in suggest(timers)) == [2, 3]


@pytest.mark.parametrize("unknown", ["period_seconds", "start_unix_seconds"])
def test_what_is_not_known_cannot_be_judged(unknown: str) -> None:
    assert suggest(_timers(4, **{unknown: None})) == []
