# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np

from resonance_core.control.plain import binned, floats, releases


def test_floats_are_an_array_of_doubles() -> None:
    assert floats([1, 2.5]).dtype == np.float64
    assert floats([]).shape == (0,)


def test_releases_are_a_record_of_arrays() -> None:
    record = releases(3, [1.0, 2.0], [0.1, math.nan], [0.2, 0.3])
    assert record.key == 3
    assert record.at_seconds.tolist() == [1.0, 2.0]
    assert np.isnan(record.work_seconds).tolist() == [False, True]
    assert record.completion_seconds.tolist() == [0.2, 0.3]


def test_values_are_counted_and_added_up_by_bin() -> None:
    counts, sums = binned([10.0, 10.15, 10.19, 10.39], [1.0, 2.0, 3.0, 4.0], 10.0, 0.1, 4)
    assert counts.tolist() == [1.0, 2.0, 0.0, 1.0]
    assert sums.tolist() == [1.0, 5.0, 0.0, 4.0]


def test_what_lies_outside_counts_at_the_edge() -> None:
    counts, sums = binned([9.0, 11.0], [1.0, 2.0], 10.0, 0.1, 3)
    assert counts.tolist() == [1.0, 0.0, 1.0]
    assert sums.tolist() == [1.0, 0.0, 2.0]


def test_no_values_are_empty_bins() -> None:
    counts, sums = binned([], [], 10.0, 0.1, 3)
    assert (counts.tolist(), sums.tolist()) == ([0.0] * 3, [0.0] * 3)
