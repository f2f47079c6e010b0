# SPDX-License-Identifier: MIT
from __future__ import annotations

from math import inf, nan

import pytest

from resonance.policies._window import Window

BUCKET = 1.0 / 128.0


def filled(*seconds: float, cut: tuple[float, ...] = (), now: float = 100.0) -> Window:
    window = Window()
    window.pending.extend(seconds)
    for each in cut:
        window.censored(each)
    window.refresh(now)
    return window


def test_without_samples_nothing_is_known() -> None:
    window = filled()
    assert window.count == 0
    assert window.quantile(0.5) is None
    assert window.tail_ratio() is None
    assert window.fraction_above(0.1) == 0.0


def test_what_is_pending_counts_only_after_a_refresh() -> None:
    window = Window()
    window.pending.append(0.1)
    assert window.count == 0
    assert window.quantile(0.5) is None
    window.refresh(1.0)
    assert window.count == 1
    assert window.pending == []


def test_the_list_of_pending_stays_the_same_object() -> None:
    window = Window()
    append = window.pending.append
    append(0.1)
    window.refresh(1.0)
    append(0.2)
    window.refresh(1.2)
    assert window.count == 2


def test_a_quantile_is_at_most_a_bucket_above_the_exact_one() -> None:
    window = filled(*(number / 1000.0 for number in range(1, 1001)))
    for q, exact in ((0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (0.999, 0.999), (1.0, 1.0)):
        found = window.quantile(q)
        assert found is not None
        assert exact < found <= exact * (1.0 + BUCKET)


def test_the_quantile_zero_is_the_fastest() -> None:
    found = filled(0.010, 0.020).quantile(0.0)
    assert found is not None
    assert 0.010 < found <= 0.010 * (1.0 + BUCKET)


@pytest.mark.parametrize("q", [-0.1, 1.1, nan])
def test_a_quantile_beyond_its_range_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        filled(0.1).quantile(q)


@pytest.mark.parametrize("half", [0.0, -1.0, nan])
def test_a_window_without_length_is_refused(half: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Window(half)


def test_those_cut_short_make_the_tail_longer() -> None:
    quick = [0.010] * 90
    without = filled(*quick, *[0.100] * 5).quantile(0.93)
    with_cut = filled(*quick, *[0.100] * 5, cut=(0.020,) * 5).quantile(0.93)
    assert without is not None
    assert with_cut is not None
    assert without < 0.011
    assert with_cut > 0.1


def test_those_cut_short_share_the_fate_of_those_that_went_on() -> None:
    # Of 100, ten are cut at 20 ms; of the ten that go on half end at 30 ms, half at 40 ms.
    window = filled(*[0.010] * 80, *[0.030] * 5, *[0.040] * 5, cut=(0.020,) * 10)
    assert window.fraction_above(0.025) == pytest.approx(0.20)
    assert window.fraction_above(0.035) == pytest.approx(0.10)
    assert window.count == 100


def test_where_all_of_the_rest_were_cut_short_the_longest_stands_for_them() -> None:
    found = filled(*[0.010] * 5, cut=(0.050,) * 5).quantile(0.9)
    assert found is not None
    assert 0.050 < found <= 0.050 * (1.0 + BUCKET)


def test_only_such_as_were_cut_short_are_still_a_window() -> None:
    window = filled(cut=(0.050,))
    assert window.count == 1
    found = window.quantile(0.5)
    assert found is not None
    assert found > 0.050


def test_no_more_than_the_rest_are_above_a_quantile() -> None:
    window = filled(*(1.01**power for power in range(500)), cut=(2.0,) * 50)
    for percent in range(0, 100, 3):
        found = window.quantile(percent / 100.0)
        assert found is not None
        assert window.fraction_above(found) <= 1.0 - percent / 100.0 + 1e-9


def test_all_take_longer_than_nothing_and_none_longer_than_the_longest() -> None:
    window = filled(0.010, 0.020)
    assert window.fraction_above(-1.0) == 1.0
    assert window.fraction_above(-0.0) == 1.0
    assert window.fraction_above(0.0) == 1.0
    assert window.fraction_above(0.021) == 0.0
    assert window.fraction_above(inf) == 0.0


def test_the_older_half_is_forgotten() -> None:
    window = filled(*[1.0] * 10, now=100.0)
    window.pending.extend([0.1] * 10)
    window.refresh(105.0)
    assert window.count == 20
    window.refresh(110.0)
    assert window.count == 10
    longest = window.quantile(1.0)
    assert longest is not None
    assert longest < 0.11


def test_after_a_pause_of_a_window_nothing_of_before_is_left() -> None:
    window = filled(*[1.0] * 10, cut=(1.0,), now=100.0)
    window.refresh(110.0)
    assert window.count == 0
    assert window.quantile(0.5) is None


def test_what_came_during_a_pause_is_kept() -> None:
    window = filled(0.1, now=100.0)
    window.pending.append(0.2)
    window.refresh(1_000.0)
    assert window.count == 1


@pytest.mark.parametrize("now", [100.0, 50.0, -1e9])
def test_a_clock_that_stands_still_or_goes_back_does_no_harm(now: float) -> None:
    window = filled(0.1, now=100.0)
    window.pending.append(0.2)
    window.refresh(now)
    assert window.count == 2
    assert window.quantile(1.0) == filled(0.1, 0.2).quantile(1.0)


@pytest.mark.parametrize("seconds", [0.0, -0.0, -1e-6, -5.0])
def test_what_did_not_take_any_time_is_the_shortest(seconds: float) -> None:
    window = filled(seconds, seconds, 0.1)
    shortest = window.quantile(0.5)
    assert shortest is not None
    assert 0.0 < shortest < 1e-9
    assert window.fraction_above(0.001) == pytest.approx(1.0 / 3.0)


def test_what_never_ended_is_the_longest() -> None:
    assert filled(0.1, inf).quantile(1.0) == inf


def test_the_tail_ratio_compares_p999_with_p95_when_there_are_many() -> None:
    window = filled(*[0.010] * 990, *[0.100] * 10)
    assert window.tail_ratio() == pytest.approx(10.0, rel=0.01)


def test_the_tail_ratio_compares_p99_with_p90_when_there_are_few() -> None:
    assert filled(*[0.010] * 97, *[0.030] * 3).tail_ratio() == pytest.approx(3.0, rel=0.01)


def test_the_tail_ratio_of_equals_is_one() -> None:
    assert filled(*[0.010] * 100).tail_ratio() == 1.0


def test_a_few_more_attempts_leave_the_curve_of_a_moment_ago() -> None:
    window = filled(*[0.010] * 1000, now=100.0)
    window.pending.extend([1.0] * 50)
    window.refresh(100.4)
    assert window.count == 1050
    assert window.quantile(1.0) == filled(0.010).quantile(1.0)
    window.refresh(100.6)
    assert window.quantile(1.0) == filled(1.0).quantile(1.0)


def test_many_more_attempts_move_it_at_once() -> None:
    window = filled(*[0.010] * 1000, now=100.0)
    window.pending.extend([1.0] * 70)
    window.refresh(100.0)
    assert window.quantile(1.0) == filled(1.0).quantile(1.0)
