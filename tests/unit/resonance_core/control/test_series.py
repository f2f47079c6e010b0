# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.control.series import MOST_BINS, Series

WIDTH = 0.001


def test_bins_that_follow_each_other_are_one_series() -> None:
    series = Series()
    series.add(5.0, WIDTH, np.arange(3.0), 10.0 * np.arange(3.0))
    # the clocks of the bins and of the caller drift apart by less than a bin
    series.add(5.0031, WIDTH, np.arange(3.0, 5.0), 10.0 * np.arange(3.0, 5.0))
    events, waits = series.between(series.first, series.end)
    assert events.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert waits.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert series.start_seconds(series.end) == pytest.approx(5.0051)
    assert series.number(5.0031) == series.first + 3
    assert series.number(5.0035) == series.first + 4


def test_bins_that_nobody_read_begin_another_series() -> None:
    series = Series()
    series.add(5.0, WIDTH, np.ones(3), np.ones(3))
    series.add(5.013, WIDTH, np.ones(2), np.ones(2))
    assert series.end - series.first == 2
    series.add(5.015, 2.0 * WIDTH, np.ones(1), np.ones(1))
    assert series.end - series.first == 1


@pytest.mark.parametrize("at_once", [1000, 3 * MOST_BINS])
def test_only_the_newest_bins_are_kept(at_once: int) -> None:
    series, number = Series(), np.arange(3.0 * MOST_BINS)
    for first in range(0, len(number), at_once):
        part = number[first : first + at_once]
        series.add(first * WIDTH, WIDTH, part, part)
    assert series.end - series.first == MOST_BINS
    events, _ = series.between(series.first, series.end)
    assert events.tolist() == number[-MOST_BINS:].tolist()


def test_a_wait_belongs_to_where_it_began() -> None:
    series = Series()
    events, waits = np.zeros(20), np.zeros(20)
    events[12], waits[12] = 2.0, 2.0 * 0.005
    events[3], waits[3] = 1.0, 0.030  # it began before anybody looked
    series.add(0.0, WIDTH, events, waits)
    begun = series.begun(series.first, series.end)
    assert begun.bins < 0  # something may last for 30 ms, and there are 20
    series.add(0.020, WIDTH, np.zeros(40), np.zeros(40))
    begun = series.begun(series.first, series.end)
    assert begun.bins == 60 - 30 - 1
    assert begun.place.tolist() == [7]
    assert begun.mean_seconds == pytest.approx([0.005])
    assert begun.load(0.002) == pytest.approx([0.004 * (bin_ == 7) for bin_ in range(29)])


def test_bins_in_which_nobody_looked_are_no_waits() -> None:
    series = Series()
    series.add(0.0, WIDTH, np.array([1.0, math.nan, 1.0]), np.array([0.0, math.nan, 0.0]))
    series.add(0.003, WIDTH, np.zeros(5), np.zeros(5))
    begun = series.begun(series.first, series.end)
    assert begun.is_seen[:4].tolist() == [True, False, True, True]
    assert begun.events.tolist() == [1.0, 1.0]


def test_no_bins_are_no_news() -> None:
    series = Series()
    series.add(0.0, WIDTH, np.zeros(0), np.zeros(0))
    assert math.isnan(series.bin_seconds)
    assert series.first == series.end == 0
