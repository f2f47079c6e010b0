# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.policies._pushback import grpc_pushback, retry_after

NOW = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("120", 120.0), (" 7\t", 7.0), ("007", 7.0), ("0000000000000000003", 3.0)],
)
def test_whole_seconds_are_what_they_say(text: str, seconds: float) -> None:
    assert retry_after(text, NOW) == seconds


@pytest.mark.parametrize("text", ["9" * 12, "9" * 10_000])
def test_seconds_that_do_not_fit_are_the_most_that_do(text: str) -> None:
    assert retry_after(text, NOW) == 2.0**31


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:50:37 GMT",
        "Sunday, 06-Nov-94 08:50:37 GMT",
        "Sun Nov  6 08:50:37 1994",
    ],
)
def test_a_date_of_each_of_the_three_formats_is_read(text: str) -> None:
    assert retry_after(text, NOW) == 60.0


def test_a_date_counts_from_a_fraction_of_now() -> None:
    assert retry_after("Sun, 06 Nov 1994 08:49:38 GMT", NOW + 0.25) == 0.75


def test_a_date_that_has_passed_is_no_wait() -> None:
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT", NOW + 5.0) == 0.0


def test_a_leap_second_is_the_next_one() -> None:
    assert retry_after("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_795.0) == 5.0


@pytest.mark.parametrize(
    ("year", "now", "seconds"), [("27", 1_767_225_600.0, 31_536_000.0), ("94", 1.7672256e9, 0.0)]
)
def test_two_digits_of_a_year_are_of_the_nearest_century(
    year: str, now: float, seconds: float
) -> None:
    assert retry_after(f"Friday, 01-Jan-{year} 00:00:00 GMT", now) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "1_000",
        "nan",
        "soon",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 30 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
    ],
)
def test_what_is_neither_seconds_nor_a_date_is_not_known(text: str) -> None:
    assert retry_after(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("50", 0.05), ("2147483647", 2_147_483.647)]
)
def test_grpc_tells_milliseconds(text: str, seconds: float) -> None:
    assert grpc_pushback(text) == (seconds, False)


@pytest.mark.parametrize(
    "text", ["-1", "-2147483648", "2147483648", "9" * 50, "", " 1", "1.5", "+1", "0x10", "soon"]
)
def test_negative_or_unreadable_pushback_says_stop(text: str) -> None:
    assert grpc_pushback(text) == (None, True)
