# SPDX-License-Identifier: MIT
from __future__ import annotations

import doctest
import gc
import threading
from math import inf, nan
from typing import Any

import pytest

import resonance.histogram._histogram as module
from resonance.histogram import Bucket, Histogram
from resonance.histogram._cells import PlainCells


@pytest.fixture(params=["numpy", "plain"])
def histogram(request: pytest.FixtureRequest) -> Histogram:
    made = Histogram()
    if request.param == "plain":
        made._pending.cells = PlainCells()
    return made


def test_the_example_of_its_documentation_holds() -> None:
    assert doctest.testmod(module).failed == 0


def test_an_empty_one_knows_nothing(histogram: Histogram) -> None:
    assert histogram.count == 0
    assert histogram.quantile(0.5) is None
    assert histogram.mean_seconds is None
    assert list(histogram) == []
    assert (histogram.clamped, histogram.refused) == (0, 0)


def test_a_quantile_is_within_three_digits(histogram: Histogram) -> None:
    for number in range(1, 1001):
        histogram.record(number / 1000.0)
    for q in (0.001, 0.5, 0.9, 0.999, 1.0):
        found = histogram.quantile(q)
        assert found is not None
        assert q <= found < q * 1.001


def test_the_quantile_zero_is_the_lowest(histogram: Histogram) -> None:
    histogram.record(0.010)
    histogram.record(0.020)
    found = histogram.quantile(0.0)
    assert found is not None
    assert 0.010 <= found < 0.0101


@pytest.mark.parametrize("q", [-0.1, 1.1, nan])
def test_a_quantile_beyond_its_range_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Histogram().quantile(q)


def test_seconds_and_nanoseconds_are_the_same(histogram: Histogram) -> None:
    for value_ns in (1_000_000, 300_000, 512 * 1999, 1_100_000_007, 99_999_999_999):
        histogram.record(value_ns / 1e9)
        histogram.record_ns(value_ns)
    assert set(histogram.counts()) == {0, 2}


def test_the_mean_is_that_of_the_middles(histogram: Histogram) -> None:
    histogram.record(0.010)
    histogram.record(0.030)
    assert histogram.mean_seconds == pytest.approx(0.020, rel=0.001)


def test_buckets_tell_where_they_are_and_how_often(histogram: Histogram) -> None:
    for seconds in (0.5, 0.5, 0.001):
        histogram.record(seconds)
    short, long = histogram
    assert isinstance(short, Bucket)
    assert short.lowest_seconds <= 0.001 <= short.highest_seconds
    assert long.lowest_seconds <= 0.5 <= long.highest_seconds
    assert (short.times, long.times) == (1, 2)


def test_nothing_at_all_is_a_latency(histogram: Histogram) -> None:
    histogram.record(0.0)
    histogram.record_ns(0)
    histogram.record(-0.0)
    assert histogram.counts()[0] == 3
    assert histogram.refused == 0


@pytest.mark.parametrize("seconds", [138.0, 1e6, 1e30, 1e308, inf, 10**400])
def test_what_is_too_long_counts_in_the_last_bucket_and_as_clamped(
    histogram: Histogram, seconds: float
) -> None:
    histogram.record(0.001)
    histogram.record(seconds)
    assert histogram.count == 2
    assert histogram.counts()[-1] == 1
    assert histogram.clamped == 1
    longest = histogram.quantile(1.0)
    assert longest is not None
    assert 137.0 < longest < 138.0


@pytest.mark.parametrize("seconds", [-1e-9, -1.0, -inf, nan, -(10**400)])
def test_what_is_no_latency_is_refused_and_the_rest_is_counted(
    histogram: Histogram, seconds: float
) -> None:
    histogram.record(0.001)
    histogram.record(seconds)
    histogram.record(0.002)
    assert histogram.count == 2
    assert histogram.refused == 1
    assert histogram.clamped == 0


class Several:
    """Like an array: a comparison is neither true nor false."""

    def __mul__(self, _: object) -> Several:
        return self

    def __ge__(self, _: object) -> Several:
        return self

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize("value", ["0.1", None, 1j, [0.1], Several()])
def test_what_is_no_number_is_refused_and_the_rest_is_counted(
    histogram: Histogram, value: Any
) -> None:
    for each in (0.001, value, 0.002):
        histogram.record(each)
        histogram.record_ns(each)
    assert histogram.refused == 2
    assert histogram.count == 4


def test_adding_counts_several_times_at_once(histogram: Histogram) -> None:
    histogram.add(0.25, 7)
    histogram.add(0.25)
    assert histogram.count == 8


@pytest.mark.parametrize("seconds", [-1.0, nan, inf, -inf])
def test_adding_what_is_no_latency_is_an_error(seconds: float) -> None:
    with pytest.raises(ValueError, match="0 or more seconds"):
        Histogram().add(seconds)


@pytest.mark.parametrize("count", [0, -1])
def test_adding_nothing_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="count"):
        Histogram().add(0.1, count)


def test_adding_what_is_too_long_is_clamped() -> None:
    histogram = Histogram(highest_ns=1_000_000_000)
    histogram.add(5.0, 3)
    assert (histogram.count, histogram.clamped) == (3, 3)


@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5])
def test_any_number_of_digits_can_be_recorded_into(digits: int) -> None:
    histogram = Histogram(lowest_ns=1, digits=digits)
    for value_ns in (0, 1, 7, 1_234_567, 99_999_999_999):
        histogram.record_ns(value_ns)
        index = histogram.layout.index(value_ns)
        assert histogram.counts()[index] == 1


def test_taking_moves_all_that_was_counted(histogram: Histogram) -> None:
    for seconds in (0.1, -1.0, 1e9):
        histogram.record(seconds)
    taken = histogram.take()
    assert (taken.count, taken.refused, taken.clamped) == (2, 1, 1)
    assert (histogram.count, histogram.refused, histogram.clamped) == (0, 0, 0)
    histogram.record(0.2)
    assert (taken.count, histogram.count) == (2, 1)


def test_what_was_taken_can_be_recorded_into(histogram: Histogram) -> None:
    histogram.record(0.1)
    taken = histogram.take()
    taken.record(0.2)
    assert (taken.count, histogram.count) == (2, 0)


def test_a_copy_is_on_its_own(histogram: Histogram) -> None:
    histogram.record(0.1)
    copy = histogram.copy()
    histogram.record(0.1)
    copy.add(0.5, 5)
    assert (histogram.count, copy.count) == (2, 6)


def test_merging_adds_and_leaves_the_others_alone(histogram: Histogram) -> None:
    other, third = Histogram(), Histogram()
    for each in (histogram, other, third):
        each.record(0.1)
    other.record(-1.0)
    other.record(1e9)
    histogram.merge(other, third)
    assert (histogram.count, histogram.refused, histogram.clamped) == (4, 1, 1)
    assert (other.count, third.count) == (2, 1)


def test_merging_with_itself_doubles(histogram: Histogram) -> None:
    histogram.record(0.1)
    histogram.merge(histogram)
    assert histogram.count == 2


@pytest.mark.parametrize("digits", [1, 2, 4])
def test_of_another_layout_a_bucket_counts_as_its_lowest_value(digits: int) -> None:
    histogram, other = Histogram(), Histogram(lowest_ns=1, digits=digits)
    other.record(0.123456)
    histogram.merge(other)
    bucket = next(iter(other))
    assert histogram.count == 1
    assert next(iter(histogram)).lowest_seconds <= bucket.lowest_seconds
    assert next(iter(histogram)).highest_seconds >= bucket.lowest_seconds


def test_merging_what_is_beyond_is_clamped() -> None:
    histogram, other = Histogram(highest_ns=1_000_000_000), Histogram()
    other.add(50.0, 4)
    histogram.merge(other)
    assert (histogram.count, histogram.clamped) == (4, 4)


def test_it_tells_what_it_is() -> None:
    histogram = Histogram()
    histogram.record(0.1)
    assert repr(histogram) == "<Histogram of 1 latencies, 1000 to 100000000000 ns, 3 digits>"


def test_from_many_threads_each_latency_is_counted_once(histogram: Histogram) -> None:
    threads, each = 4, 20_011
    start = threading.Barrier(threads + 1)

    def work() -> None:
        start.wait()
        for _ in range(each):
            histogram.record(0.001)
            histogram.record_ns(5_000_000)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    taken: list[Histogram] = []
    while any(worker.is_alive() for worker in workers):
        histogram.fold()
        taken.append(histogram.take())
    for worker in workers:
        worker.join()
    taken.append(histogram.take())
    total = Histogram()
    total.merge(*taken)
    assert total.count == 2 * threads * each
    assert [bucket.times for bucket in total] == [threads * each] * 2


def test_one_that_nobody_has_any_more_is_let_go() -> None:
    histogram = Histogram()
    histogram.record(0.1)
    record = histogram.record
    del histogram
    gc.collect()
    record(0.2)
    assert not any(isinstance(each, Histogram) for each in gc.get_referrers(record.__self__))


def test_quantiles_stay_as_they_were_when_they_were_worked_out() -> None:
    histogram = Histogram()
    histogram.add(0.001, 9)
    histogram.add(0.5)
    quantiles = histogram.quantiles()
    histogram.add(2.0, 90)
    assert quantiles.count == 10
    assert quantiles.at(0.9) == pytest.approx(0.001, rel=1e-3)
    assert quantiles.at(1.0) == pytest.approx(0.5, rel=1e-3)
    assert histogram.quantiles().at(1.0) == histogram.quantile(1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantiles.at(1.1)


def test_quantiles_of_nothing_are_none() -> None:
    quantiles = Histogram().quantiles()
    assert quantiles.count == 0
    assert quantiles.at(0.5) is None
