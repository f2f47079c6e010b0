# SPDX-License-Identifier: MIT
"""When the storm bench says that a service works again, and how it counts attempts."""

from __future__ import annotations

import pytest

from bench.storm.goodput import Told, amplification, goodput, recovery_seconds

OVER_AT = 100.0
HORIZON_AT = 130.0


def _calls(good_from: float, good_until: float = HORIZON_AT) -> list[Told]:
    """Return twenty calls a second, of which those begun in between get their result at once."""
    moments = [90.0 + 0.05 * number + 0.025 for number in range(800)]
    return [Told(at, at, good_from <= at < good_until, (at,)) for at in moments]


def test_what_is_good_at_once_has_recovered_with_its_first_window() -> None:
    assert recovery_seconds(_calls(OVER_AT), OVER_AT, HORIZON_AT) == pytest.approx(2.0)


def test_recovery_goes_to_the_end_of_the_first_good_window() -> None:
    # One bad call of forty is less than 5 %, so the window may begin two calls early.
    assert recovery_seconds(_calls(110.0), OVER_AT, HORIZON_AT) == pytest.approx(11.9)


def test_a_flicker_is_no_recovery() -> None:
    flicker = [
        *(call for call in _calls(101.0, 104.0) if call.begun_at < 106.0),
        *(call for call in _calls(112.0) if call.begun_at >= 106.0),
    ]
    assert recovery_seconds(flicker, OVER_AT, HORIZON_AT) == pytest.approx(13.9)


def test_what_never_recovers_counts_as_recovered_at_the_horizon() -> None:
    assert recovery_seconds(_calls(HORIZON_AT), OVER_AT, HORIZON_AT) == pytest.approx(30.0)


def test_what_recovers_too_late_to_last_counts_as_recovered_at_the_horizon() -> None:
    assert recovery_seconds(_calls(127.0), OVER_AT, HORIZON_AT) == pytest.approx(30.0)


def test_a_result_counts_when_it_comes_not_when_its_call_was_begun() -> None:
    calls = [Told(1.5, 3.5, True, (1.5, 3.4)), Told(2.5, 2.6, False, (2.5,))]
    assert goodput(calls, 1.0, 2.0) == 0.0
    assert goodput(calls, 2.0, 3.0) == 0.0
    assert goodput(calls, 2.0, 4.0) == 1.0


def test_where_nothing_is_called_nothing_is_lost() -> None:
    assert goodput([], 0.0, 1.0) == 1.0
    assert amplification([], 0.0, 1.0) == 1.0


def test_an_attempt_counts_when_it_is_begun() -> None:
    calls = [Told(0.5, 3.5, True, (0.5, 1.5, 3.4)), Told(1.5, 1.6, True, (1.5,))]
    assert amplification(calls, 0.0, 1.0) == 1.0
    assert amplification(calls, 1.0, 2.0) == 2.0
    assert amplification(calls, 0.0, 4.0) == 2.0
