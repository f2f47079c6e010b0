# SPDX-License-Identifier: MIT
"""Merged logs against the slow way: each line as a histogram, and all of those merged."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from math import inf, nan
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from resonance.histogram import FormatError, Histogram, LogWriter, Merged, merge_logs, read_log
from resonance.histogram._hdr import Sums
from resonance.histogram._histogram import histogram_of

STARTED_AT = 1_700_000_000.0
LAYOUTS = ((1_000, 10**11, 3), (1, 10**9, 2), (1_000, 10**7, 3), (5, 10**10, 1))

Write = Callable[..., Path]


def drawn(seed: int, layout: tuple[int, int, int] = LAYOUTS[0], count: int = 50) -> Histogram:
    lowest_ns, highest_ns, digits = layout
    draw = random.Random(seed)
    histogram = Histogram(lowest_ns=lowest_ns, highest_ns=highest_ns, digits=digits)
    for _ in range(count):
        histogram.add(draw.lognormvariate(-7.0, 2.0), draw.randrange(1, 9))
    return histogram


def slowly(paths: Iterable[Path], tag: str | None = None) -> Histogram:
    merged: Histogram | None = None
    for path in paths:
        with path.open() as file:
            for interval in read_log(file):
                if tag is not None and interval.tag != tag:
                    continue
                if merged is None:
                    merged = interval.histogram
                else:
                    merged.merge(interval.histogram)
    assert merged is not None
    return merged


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(
        name: str,
        histograms: Sequence[Histogram],
        *,
        tags: Sequence[str | None] = (None,),
        started_at: float = STARTED_AT,
    ) -> Path:
        path = tmp_path / name
        with path.open("w") as file:
            log = LogWriter(file, started_at)
            for number, histogram in enumerate(histograms):
                log.write(histogram, started_at + 10.0 * number, 10.0, tags[number % len(tags)])
        return path

    return write


def test_logs_are_merged_bit_for_bit(write: Write) -> None:
    paths = [write(f"{n}.hlog", [drawn(10 * n + m) for m in range(7)]) for n in range(5)]
    merged = merge_logs(paths)
    (only,) = merged.intervals
    assert merged.lines == 35
    assert only.histogram.encode() == slowly(paths).encode()
    assert (only.started_at, only.seconds, only.tag) == (STARTED_AT, 70.0, None)


def test_logs_of_several_layouts_are_merged_bit_for_bit(write: Write) -> None:
    paths = [
        write(f"{n}.hlog", [drawn(10 * n + m, LAYOUTS[(n + m) % len(LAYOUTS)]) for m in range(6)])
        for n in range(4)
    ]
    (only,) = merge_logs(paths).intervals
    slow = slowly(paths)
    assert only.histogram.layout == slow.layout
    assert only.histogram.counts() == slow.counts()
    assert only.histogram.clamped == slow.clamped


def test_processes_share_the_files_and_change_nothing(write: Write) -> None:
    paths = [
        write(f"{n}.hlog", [drawn(10 * n + m, LAYOUTS[n % 2]) for m in range(3)], tags=("a", "b"))
        for n in range(3)
    ]
    alone, shared = merge_logs(paths, by_tag=True), merge_logs(paths, by_tag=True, processes=2)
    assert alone.lines == shared.lines == 9
    assert [
        (each.started_at, each.seconds, each.tag, each.histogram.encode())
        for each in alone.intervals
    ] == [
        (each.started_at, each.seconds, each.tag, each.histogram.encode())
        for each in shared.intervals
    ]


def test_an_error_comes_back_from_a_process(write: Write, tmp_path: Path) -> None:
    good, bad = write("good.hlog", [drawn(1)]), tmp_path / "bad.hlog"
    bad.write_text("no log\n")
    with pytest.raises(FormatError, match=r"bad\.hlog: line 1: no line before it tells"):
        merge_logs([good, bad], processes=2)


def test_intervals_are_made_of_those_that_began_in_them(write: Write) -> None:
    first = write("a.hlog", [drawn(n) for n in range(6)])
    second = write("b.hlog", [drawn(10 + n) for n in range(6)], started_at=STARTED_AT + 5.0)
    intervals = merge_logs([first, second], every_seconds=20.0).intervals
    assert [(each.started_at - STARTED_AT, each.seconds) for each in intervals] == [
        (0.0, 25.0), (20.0, 25.0), (40.0, 25.0)
    ]  # fmt: skip
    expected = drawn(2)
    expected.merge(drawn(3), drawn(12), drawn(13))
    assert intervals[1].histogram.encode() == expected.encode()
    total = slowly([first, second])
    assert sum(each.histogram.count for each in intervals) == total.count


def test_series_stay_apart_by_their_tags_or_are_merged(write: Write) -> None:
    path = write("a.hlog", [drawn(n) for n in range(6)], tags=("x", "y", None))
    apart = merge_logs([path], by_tag=True).intervals
    assert [each.tag for each in apart] == ["x", "y", None]
    assert apart[1].histogram.encode() == slowly([path], "y").encode()
    (all_of_them,) = merge_logs([path]).intervals
    assert all_of_them.histogram.encode() == slowly([path]).encode()


def test_what_was_merged_is_written_and_merged_again(write: Write, tmp_path: Path) -> None:
    path = write("a.hlog", [drawn(n) for n in range(6)], tags=("x", "y"))
    again = tmp_path / "again.hlog"
    with again.open("w") as file:
        log = LogWriter(file, STARTED_AT)
        for each in merge_logs([path], by_tag=True, every_seconds=20.0).intervals:
            log.write(each.histogram, each.started_at, each.seconds, each.tag)
    before, after = merge_logs([path], by_tag=True), merge_logs([again], by_tag=True)
    assert [(each.tag, each.histogram.encode()) for each in before.intervals] == [
        (each.tag, each.histogram.encode()) for each in after.intervals
    ]


@given(st.lists(st.lists(st.integers(0, 3 * 10**11), max_size=30), min_size=1, max_size=6))
def test_sums_are_the_merged_histograms(values_ns: list[list[int]]) -> None:
    sums: Sums[None] = Sums()
    slow = Histogram()
    for each in values_ns:
        histogram = Histogram()
        for value_ns in each:
            histogram.add(value_ns / 1e9)
        sums.add(None, histogram.encode())
        slow.merge(Histogram.decode(histogram.encode()))
    assert histogram_of(sums.totals()[None]).encode() == slow.encode()


def test_what_other_implementations_encode_is_summed() -> None:
    theirs = HdrHistogram(1, 10**11, 2)
    sums: Sums[str] = Sums()
    for value_ns in (0, 5, 1_234_567):
        theirs.record_value(value_ns)
        sums.add("x", theirs.encode().decode())
    counts = histogram_of(sums.totals()["x"]).counts()
    expected = Histogram.decode(theirs.encode().decode())
    assert sum(counts) == 6
    assert counts[0] == 3
    assert [bool(each) for each in counts] == [bool(each) for each in expected.counts()]


def test_a_refused_text_adds_nothing_and_leaves_nothing_behind() -> None:
    sums: Sums[None] = Sums()
    good = drawn(1)
    sums.add(None, good.encode())
    payload = zlib.decompress(base64.b64decode(good.encode())[8:])
    # The counts begin as they should and go on beyond the last bucket.
    damaged = payload[:40] + payload[40:] * 200
    damaged = damaged[:4] + struct.pack(">I", len(damaged) - 40) + damaged[8:]
    packed = zlib.compress(damaged)
    text = base64.b64encode(struct.pack(">II", 0x1C849314, len(packed)) + packed).decode()
    with pytest.raises(FormatError, match="its counts cannot be read"):
        sums.add(None, text)
    with pytest.raises(FormatError):
        Histogram.decode(text)
    sums.add(None, good.encode())
    twice = drawn(1)
    twice.merge(good)
    assert histogram_of(sums.totals()[None]).encode() == twice.encode()


def test_counts_beyond_64_bits_are_refused() -> None:
    sums: Sums[None] = Sums()
    huge = Histogram()
    huge.add(1.0, 2**61)
    for _ in range(7):
        sums.add(None, huge.encode())
    with pytest.raises(FormatError, match="its counts cannot be read: .*overflow"):
        sums.add(None, huge.encode())
    assert histogram_of(sums.totals()[None]).count == 7 * 2**61


def test_no_log_is_no_interval() -> None:
    assert merge_logs([], processes=2) == Merged([], 0)


def _broken(text: str) -> Iterable[tuple[str, str]]:
    lines = text.splitlines()
    yield "cut off in the middle", "\n".join([*lines[:-1], lines[-1][:-9]])
    yield "cut off in the head", "\n".join([*lines[:-1], lines[-1][:9]])
    yield "an old version", text.replace("version 1.2", "version 1.1")
    yield "no version", "\n".join(lines[1:])
    yield "not a number", text.replace("\n0.000000,", "\nx,")
    old = struct.pack(">II", 0x1C849302, 0)
    yield "an old encoding", f"{text}60.0,1.0,1.0,{base64.b64encode(old).decode()}\n"


@pytest.mark.parametrize("place", range(6))
def test_a_broken_log_is_refused_as_it_is_when_read(write: Write, place: int) -> None:
    path = write("a.hlog", [drawn(n) for n in range(3)])
    _, text = list(_broken(path.read_text()))[place]
    path.write_text(text)
    with pytest.raises(FormatError) as slow_info, path.open() as file:
        list(read_log(file))
    with pytest.raises(FormatError) as error_info:
        merge_logs([path])
    assert str(error_info.value) == f"{path}: {slow_info.value}"


@pytest.mark.parametrize("text", ["", "#[Histogram log format version 1.2]\n"])
def test_a_log_without_intervals_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.hlog"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"a\.hlog: there is no interval in it"):
        merge_logs([path])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hlog"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"a\.hlog: not text: .* at byte 0"):
        merge_logs([path])


@pytest.mark.parametrize("every_seconds", [0.0, -1.0, nan, inf])
def test_intervals_must_have_a_length(write: Write, every_seconds: float) -> None:
    with pytest.raises(ValueError, match="every_seconds must be above 0"):
        merge_logs([write("a.hlog", [drawn(1)])], every_seconds=every_seconds)


def test_too_many_intervals_are_refused(write: Write) -> None:
    empty = Histogram(lowest_ns=10**9, highest_ns=2 * 10**9, digits=1)
    path = write("a.hlog", [empty] * 1_001)
    with pytest.raises(ValueError, match="1000 intervals are not enough; make them longer"):
        merge_logs([path], every_seconds=10.0)
    assert merge_logs([path], every_seconds=20.0).lines == 1_001
