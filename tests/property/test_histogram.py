# SPDX-License-Identifier: MIT
"""Laws of the histogram: it is the package's, bit for bit, with numpy and without."""

from __future__ import annotations

import io

import hypothesis.strategies as st
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings

from resonance.histogram import Histogram, Interval, Layout, LogWriter, read_log
from resonance.histogram._cells import PlainCells
from resonance_core.calculus.octaves import OctaveCells

LAYOUTS = st.builds(
    lambda lowest_ns, factor, digits: Layout(lowest_ns, min(lowest_ns * factor, 10**14), digits),
    st.integers(1, 10**6),
    st.integers(2, 10**12),
    st.integers(1, 4),
)
LATENCIES_NS = st.lists(
    st.one_of(
        st.integers(0, 3_000),
        st.integers(0, 2**40),
        st.integers(1, 48).map(lambda power: 2**power),
        st.integers(1, 48).map(lambda power: 2**power - 1),
        st.integers(0, 2**60),
    ),
    max_size=60,
)


def of(layout: Layout, *, is_plain: bool = False) -> Histogram:
    histogram = Histogram(
        lowest_ns=layout.lowest_ns, highest_ns=layout.highest_ns, digits=layout.digits
    )
    if histogram._pending.cells is not None:
        histogram._pending.cells = PlainCells() if is_plain else OctaveCells()
    return histogram


def recorded(layout: Layout, latencies_ns: list[int], *, is_plain: bool = False) -> Histogram:
    histogram = of(layout, is_plain=is_plain)
    for latency_ns in latencies_ns:
        histogram.record_ns(latency_ns)
    return histogram


def theirs(layout: Layout, latencies_ns: list[int]) -> HdrHistogram:
    histogram = HdrHistogram(layout.lowest_ns, layout.highest_ns, layout.digits)
    for latency_ns in latencies_ns:
        assert histogram.record_value(min(latency_ns, layout.top_ns - 1))
    return histogram


@settings(deadline=None)
@given(LAYOUTS, LATENCIES_NS)
def test_counts_and_text_are_those_of_the_package(layout: Layout, latencies_ns: list[int]) -> None:
    ours, package = recorded(layout, latencies_ns), theirs(layout, latencies_ns)
    assert list(ours.counts()) == list(package.counts)
    assert ours.encode().encode() == package.encode()
    assert ours.clamped == sum(latency_ns >= layout.top_ns for latency_ns in latencies_ns)


@settings(deadline=None)
@given(LAYOUTS, LATENCIES_NS)
def test_texts_go_both_ways(layout: Layout, latencies_ns: list[int]) -> None:
    package = theirs(layout, latencies_ns)
    ours = Histogram.decode(package.encode().decode())
    assert list(ours.counts()) == list(package.counts)
    assert ours.encode().encode() == package.encode()
    assert list(HdrHistogram.decode(ours.encode()).counts) == list(package.counts)


@settings(deadline=None)
@given(LAYOUTS, LATENCIES_NS)
def test_numpy_makes_no_difference(layout: Layout, latencies_ns: list[int]) -> None:
    with_numpy = recorded(layout, latencies_ns)
    without = recorded(layout, latencies_ns, is_plain=True)
    assert with_numpy.counts() == without.counts()
    assert with_numpy.clamped == without.clamped


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 1e6), max_size=60), st.booleans())
def test_seconds_are_counted_at_their_whole_nanoseconds(
    seconds: list[float], is_plain: bool
) -> None:
    layout = Layout(lowest_ns=1)
    histogram = of(layout, is_plain=is_plain)
    expected = [0] * layout.size
    for each in seconds:
        histogram.record(each)
        whole_ns = int(each * 1e9 * (1.0 + 2.0**-50))
        expected[min(layout.index(whole_ns), layout.size - 1)] += 1
    assert list(histogram.counts()) == expected


@given(st.integers(0, 10**15))
def test_no_whole_nanosecond_is_lost_on_the_way_through_seconds(value_ns: int) -> None:
    assert int(value_ns / 1e9 * (1e9 * (1.0 + 2.0**-50))) == value_ns


@settings(deadline=None)
@given(LAYOUTS, LATENCIES_NS, LATENCIES_NS)
def test_merging_is_like_recording_both(
    layout: Layout, first: list[int], second: list[int]
) -> None:
    merged = recorded(layout, first)
    merged.merge(recorded(layout, second))
    assert merged.counts() == recorded(layout, first + second).counts()


@settings(deadline=None)
@given(LAYOUTS, LAYOUTS, LATENCIES_NS)
def test_merging_of_another_layout_is_like_the_packages_and_loses_none(
    layout: Layout, other: Layout, latencies_ns: list[int]
) -> None:
    within = [each for each in latencies_ns if each < other.top_ns]
    # The package refuses what has its bucket's highest value beyond.
    fitting = [each for each in within if other.highest_in(other.index(each)) < layout.top_ns]
    merged, package = of(layout), theirs(layout, [])
    merged.merge(recorded(other, fitting))
    package.add(theirs(other, fitting))
    assert list(merged.counts()) == list(package.counts)
    merged.merge(recorded(other, within))
    assert merged.count == len(fitting) + len(within)


@settings(deadline=None)
@given(LATENCIES_NS.filter(bool), st.floats(0.0, 1.0))
def test_a_quantile_is_the_least_that_enough_do_not_exceed(
    latencies_ns: list[int], q: float
) -> None:
    layout = Layout(lowest_ns=1, highest_ns=2**61)
    found = recorded(layout, latencies_ns).quantile(q)
    ordered = sorted(latencies_ns)
    exact = next(value for rank, value in enumerate(ordered, 1) if rank >= q * len(ordered) - 1e-9)
    assert found == layout.highest_in(layout.index(exact)) / 1e9


@settings(deadline=None)
@given(st.lists(st.tuples(LATENCIES_NS, st.floats(0.0, 1e4), st.floats(0.0, 1e4)), max_size=5))
def test_a_log_goes_both_ways(parts: list[tuple[list[int], float, float]]) -> None:
    file = io.StringIO()
    log = LogWriter(file, 1_700_000_000.0)
    written = [
        Interval(1_700_000_000.0 + offset, seconds, recorded(Layout(), latencies_ns))
        for latencies_ns, offset, seconds in parts
    ]
    for each in written:
        log.write(each.histogram, each.started_at, each.seconds)
    file.seek(0)
    read = list(read_log(file))
    assert [each.histogram.encode() for each in read] == [
        each.histogram.encode() for each in written
    ]
    for back, each in zip(read, written, strict=True):
        assert abs(back.started_at - each.started_at) < 2e-6
        assert abs(back.seconds - each.seconds) < 2e-6
