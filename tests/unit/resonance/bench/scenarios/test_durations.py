# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.bench.errors import PlanError
from resonance.bench.scenarios import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30.0),
        ("1m", 60.0),
        ("1m30s", 90.0),
        ("2h", 7200.0),
        ("200ms", 0.2),
        ("1.5ms", 0.0015),
        ("50us", 50e-6),
        ("2.5", 2.5),
        (" 3s ", 3.0),
        (7, 7.0),
        (0, 0.0),
    ],
)
def test_what_people_write_is_understood(value: object, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    ["", "s", "30 s s", "-3s", "-1", "1d", "inf", "nan", float("nan"), True, None, [], 10**400],
)
def test_what_is_no_duration_is_refused_with_the_right_form(value: object) -> None:
    with pytest.raises(PlanError, match='"30s", "1m30s", "200ms", or seconds') as raised:
        parse_duration(value, "warm_up")
    assert raised.value.key == "warm_up"
