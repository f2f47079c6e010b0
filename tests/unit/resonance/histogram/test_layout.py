# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.histogram import Layout


def test_the_default_keeps_three_digits_from_a_microsecond_to_a_hundred_seconds() -> None:
    layout = Layout()
    for value_ns in (1_000_000, 123_456_789, 99_999_999_999):
        index = layout.index(value_ns)
        width_ns = layout.highest_in(index) - layout.lowest_in(index)
        assert layout.lowest_in(index) <= value_ns <= layout.highest_in(index)
        assert width_ns < value_ns / 1000
    assert layout.top_ns > 100_000_000_000


def test_buckets_follow_one_another_without_a_gap() -> None:
    layout = Layout(lowest_ns=3, highest_ns=100_000, digits=2)
    ends = [layout.highest_in(index) + 1 for index in range(layout.size)]
    assert [layout.lowest_in(index) for index in range(layout.size)] == [0, *ends[:-1]]
    assert ends[-1] == layout.top_ns


@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5])
def test_a_value_is_in_the_bucket_of_its_edges(digits: int) -> None:
    layout = Layout(lowest_ns=1, highest_ns=10**7, digits=digits)
    for index in range(layout.size):
        assert layout.index(layout.lowest_in(index)) == index
        assert layout.index(layout.highest_in(index)) == index


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("lowest_ns", [1, 1_000])
def test_the_cells_of_an_octave_are_in_the_buckets_of_their_lowest_values(
    digits: int, lowest_ns: int
) -> None:
    layout = Layout(lowest_ns=lowest_ns, highest_ns=10**9, digits=digits)
    assert layout.is_coarse
    for octave in range(1, 30):
        start = 1 << octave
        lowest = [start + start * cell // 1024 for cell in range(1024)]
        assert layout.of_octave(octave) == [layout.index(value_ns) for value_ns in lowest]


@pytest.mark.parametrize("digits", [4, 5])
def test_cells_are_too_coarse_for_more_than_three_digits(digits: int) -> None:
    assert not Layout(digits=digits).is_coarse


@pytest.mark.parametrize(
    ("lowest_ns", "highest_ns", "digits", "name"),
    [
        (0, 1_000, 3, "lowest_ns"),
        (-1, 1_000, 3, "lowest_ns"),
        (10**9 + 1, 10**11, 3, "lowest_ns"),
        (1_000, 1_999, 3, "highest_ns"),
        (1, 2**63, 3, "highest_ns"),
        (1, 1_000, 0, "digits"),
        (1, 1_000, 6, "digits"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_by_name(
    lowest_ns: int, highest_ns: int, digits: int, name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        Layout(lowest_ns, highest_ns, digits)
