# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.series import BinRing, coarsen, mean_waits


def numbered(start: int, count: int) -> np.ndarray:
    """Two channels in which a bin holds its own number, and that plus 1000."""
    numbers = np.arange(start, start + count, dtype=np.float64)
    return np.stack([numbers, numbers + 1000.0])


def ring(bins: int = 8) -> BinRing:
    return BinRing(2, bins, 0.005)


def test_nothing_is_held_before_the_first_bin() -> None:
    bins = ring().latest(5)
    assert bins.counts.shape == (2, 0)
    assert bins.missing.shape == (0,)


@pytest.mark.parametrize("sizes", [[3], [8], [3, 4], [5, 5, 5], [20], [1] * 13])
def test_the_last_bins_are_kept_in_order(sizes: list[int]) -> None:
    held, start = ring(), 100
    for size in sizes:
        cells = numbered(start, size)
        held.append(start, cells, cells * 0.001)
        start += size
    total = sum(sizes)
    bins = held.latest(8)
    assert (held.end_index, held.length) == (start, min(8, total))
    assert bins.start_index == start - held.length
    assert np.array_equal(bins.counts, numbered(bins.start_index, held.length))
    assert bins.waits == pytest.approx(bins.counts * 0.001)
    assert not bins.missing.any()


def test_fewer_can_be_asked_for() -> None:
    held = ring()
    held.append(0, numbered(0, 6), numbered(0, 6))
    assert np.array_equal(held.latest(2).counts, numbered(4, 2))
    assert held.latest(100).counts.shape == (2, 6)


def test_a_gap_is_missing_and_not_zero() -> None:
    held = ring()
    held.append(0, numbered(0, 2), numbered(0, 2))
    held.append(5, numbered(5, 2), numbered(5, 2))
    bins = held.latest(8)
    assert bins.missing.tolist() == [False, False, True, True, True, False, False]
    assert np.isnan(bins.counts[:, 2:5]).all()
    assert np.isnan(bins.waits[:, 2:5]).all()


def test_a_gap_longer_than_the_ring_leaves_nothing_of_before() -> None:
    held = ring()
    held.append(0, numbered(0, 8), numbered(0, 8))
    held.append(10**9, numbered(7, 1), numbered(7, 1))
    bins = held.latest(8)
    assert bins.missing.tolist() == [True] * 7 + [False]


def test_flagged_bins_are_missing_whatever_stands_there() -> None:
    held = ring()
    cells = numbered(0, 3)
    cells[:, 1] = -math.inf
    held.append(0, cells, cells, [False, True, False])
    assert held.latest(3).missing.tolist() == [False, True, False]


def test_what_was_handed_out_stays_true() -> None:
    held, cells = ring(), numbered(0, 4)
    held.append(0, cells, cells)
    before = held.latest(4)
    cells[:] = 99.0
    held.append(4, numbered(4, 8), numbered(4, 8))
    assert np.array_equal(before.counts, numbered(0, 4))


def test_a_cleared_channel_has_no_past_and_the_others_keep_theirs() -> None:
    held = ring()
    held.append(0, numbered(0, 4), numbered(0, 4))
    held.clear(0)
    bins = held.latest(4)
    assert np.isnan(bins.counts[0]).all()
    assert np.array_equal(bins.counts[1], numbered(0, 4)[1])
    assert not bins.missing.any()


def test_a_channel_that_was_silent_had_no_events_before_its_first() -> None:
    held, silent = ring(), np.array([[1.0, 1.0], [0.0, 0.0]])
    held.append(0, silent, silent)
    held.append(3, numbered(3, 2), numbered(3, 2))
    assert np.array_equal(
        held.latest(8).counts[1], [0.0, 0.0, math.nan, 1003.0, 1004.0], equal_nan=True
    )


def test_a_cleared_channel_is_heard_again() -> None:
    held = ring()
    held.append(0, numbered(0, 4), numbered(0, 4))
    held.clear(0)
    held.append(4, numbered(4, 2), numbered(4, 2))
    assert np.array_equal(
        held.latest(3).counts, [[math.nan, 4.0, 5.0], [1003.0, 1004.0, 1005.0]], equal_nan=True
    )


def test_an_empty_bin_has_no_latency_and_an_unwaited_one_has_none_to_speak_of() -> None:
    held = BinRing(1, 8, 0.005)
    held.append(0, [[0, 2, 4, 1]], [[0.0, 0.0, 0.008, 0.0]], [False, False, False, True])
    means = mean_waits(held.latest(4))
    assert np.array_equal(means, [[math.nan, 0.0, np.float32(0.008) / 4, math.nan]], equal_nan=True)


def test_neighbouring_bins_add_up_unless_one_is_missing() -> None:
    fine = [[1.0, 2.0, 3.0, 4.0, 5.0, math.nan, 7.0]]
    assert np.array_equal(coarsen(fine, 2), [[3.0, 7.0, math.nan]], equal_nan=True)
    assert np.array_equal(coarsen([1.0, 2.0], 1), [1.0, 2.0])
    assert coarsen([1.0, 2.0], 3).shape == (0,)


@pytest.mark.parametrize(
    ("start", "counts", "waits", "missing"),
    [
        (3, np.ones((2, 1)), np.ones((2, 1)), None),
        (4, np.ones((3, 1)), np.ones((3, 1)), None),
        (4, np.ones((2, 1)), np.ones((2, 2)), None),
        (4, np.ones(2), np.ones(2), None),
        (4, np.ones((2, 1)), np.full((2, 1), math.nan), None),
        (4, np.full((2, 1), math.inf), np.ones((2, 1)), None),
        (4, np.full((2, 1), -1.0), np.ones((2, 1)), None),
        (4, np.ones((2, 1)), np.ones((2, 1)), [True, False]),
    ],
)
def test_bins_that_cannot_be_are_refused_and_change_nothing(
    start: int, counts: np.ndarray, waits: np.ndarray, missing: list[bool] | None
) -> None:
    held = ring()
    held.append(0, numbered(0, 4), numbered(0, 4))
    with pytest.raises(InvalidSampleError):
        held.append(start, counts, waits, missing)
    assert np.array_equal(held.latest(8).counts, numbered(0, 4))


@pytest.mark.parametrize(("channels", "bins", "width"), [(0, 8, 1.0), (1, 0, 1.0), (1, 8, 0.0)])
def test_a_ring_of_nothing_is_refused(channels: int, bins: int, width: float) -> None:
    with pytest.raises(InvalidSampleError):
        BinRing(channels, bins, width)


def test_no_bins_cannot_be_asked_for_and_no_group_is_of_none() -> None:
    with pytest.raises(InvalidSampleError):
        ring().latest(0)
    with pytest.raises(InvalidSampleError):
        coarsen([1.0], 0)
