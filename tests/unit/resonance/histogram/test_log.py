# SPDX-License-Identifier: MIT
from __future__ import annotations

import io
from math import inf, nan
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader, HistogramLogWriter

from resonance.histogram import FormatError, Histogram, LogWriter, read_log

STARTED_AT = 1_700_000_000.25
HEADER = "#[Histogram log format version 1.2]\n"


def filled(*seconds: float) -> Histogram:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    return histogram


def written(*intervals: tuple[Histogram, float, float]) -> str:
    file = io.StringIO()
    log = LogWriter(file, STARTED_AT)
    for histogram, offset, seconds in intervals:
        log.write(histogram, STARTED_AT + offset, seconds)
    return file.getvalue()


def test_a_log_begins_as_the_format_says() -> None:
    lines = written((filled(0.0125), 1.5, 0.5)).splitlines()
    assert lines[:4] == [
        "#[Histogram log format version 1.2]",
        "#[StartTime: 1700000000.250000 (seconds since epoch), 2023-11-14 22:13:20+00:00]",
        "#[BaseTime: 1700000000.250000 (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    start, length, longest, text = lines[4].split(",")
    assert (start, length) == ("1.500000", "0.500000")
    assert float(longest) == pytest.approx(12.5, rel=0.001)
    assert text == filled(0.0125).encode()
    assert len(lines) == 5


def test_what_was_written_is_read() -> None:
    first, second, empty = filled(0.1, 0.2), filled(3.0), Histogram()
    text = written((first, 0.0, 1.0), (empty, 1.0, 1.0), (second, 2.0, 0.5))
    intervals = list(read_log(io.StringIO(text)))
    assert [each.started_at - STARTED_AT for each in intervals] == [0.0, 1.0, 2.0]
    assert [each.seconds for each in intervals] == [1.0, 1.0, 0.5]
    assert [each.histogram.counts() for each in intervals] == [
        first.counts(),
        empty.counts(),
        second.counts(),
    ]
    assert [each.tag for each in intervals] == [None] * 3


def test_the_packages_own_reader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "run.hlog"
    first, empty = filled(0.1, 0.2, 0.2), Histogram()
    path.write_text(written((first, 0.0, 1.0), (empty, 1.0, 1.0)))
    reader = HistogramLogReader(str(path), HdrHistogram(1_000, 10**11, 3))
    for histogram, offset in ((first, 0.0), (empty, 1.0)):
        found = reader.get_next_interval_histogram()
        assert list(found.counts) == list(histogram.counts())
        assert found.get_start_time_stamp() == (STARTED_AT + offset) * 1000.0
        assert found.get_end_time_stamp() == (STARTED_AT + offset + 1.0) * 1000.0
    assert reader.get_start_time_sec() == STARTED_AT
    assert reader.get_next_interval_histogram() is None
    reader.close()


def test_what_the_package_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.hlog"
    theirs = HdrHistogram(1, 10**11, 2)
    for value_ns in (5, 1_234_567, 1_234_567):
        theirs.record_value(value_ns)
    writer = HistogramLogWriter(path.open("w"))
    writer.output_log_format_version()
    writer.output_comment("[Logged with the package]")
    writer.output_base_time(STARTED_AT * 1000.0)
    writer.output_legend()
    writer.output_interval_histogram(theirs, 2.0, 3.0)
    writer.close()
    with path.open() as file:
        (interval,) = read_log(file)
    assert (interval.started_at, interval.seconds) == (STARTED_AT + 2.0, 1.0)
    assert list(interval.histogram.counts()) == list(theirs.counts)
    assert interval.histogram.encode().encode() == theirs.encode()


def test_tags_are_read() -> None:
    text = filled(0.1).encode()
    log = [HEADER, f"Tag=reads,1.0,2.0,3.0,{text}\n", f"Tag=,2.0,2.0,3.0,{text}\n"]
    assert [each.tag for each in read_log(log)] == ["reads", ""]


def test_version_1_3_is_read() -> None:
    log = ["#[Histogram log format version 1.3]\n", f"1.0,2.0,3.0,{filled(0.1).encode()}\r\n"]
    assert [each.seconds for each in read_log(log)] == [2.0]


@pytest.mark.parametrize(
    ("header", "stamp", "unix"),
    [
        ([], 5.0, 5.0),
        ([], 1.7e9, 1.7e9),
        (["#[StartTime: 1700000000.000 (seconds since epoch), then]"], 5.0, 1_700_000_005.0),
        (["#[StartTime: 1700000000.000 (seconds since epoch), then]"], 1.7e9 + 5, 1.7e9 + 5),
        (["#[BaseTime: 1700000000.000 (seconds since epoch)]"], 5.0, 1_700_000_005.0),
    ],
)
def test_stamps_are_relative_where_the_format_has_them_so(
    header: list[str], stamp: float, unix: float
) -> None:
    log = [HEADER, *header, f"{stamp},1.0,0.0,{Histogram().encode()}"]
    assert [each.started_at for each in read_log(log)] == [unix]


def test_an_empty_log_has_no_intervals() -> None:
    assert list(read_log([])) == []
    assert list(read_log([HEADER, "\n", "#[a comment]\n"])) == []


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0", "12"])
def test_a_log_of_another_version_is_refused(version: str) -> None:
    with pytest.raises(FormatError, match=f"line 1: the log has version {version}; 1.2 and 1.3"):
        list(read_log([f"#[Histogram log format version {version}]"]))


def test_a_log_without_a_version_is_refused() -> None:
    with pytest.raises(FormatError, match="line 1: no line before it tells the version"):
        list(read_log([f"1.0,1.0,1.0,{Histogram().encode()}"]))


TEXT = Histogram().encode()
DAMAGED = {
    "half a line": ("1.0,2.0", "with commas"),
    "something else": ("hello", "with commas"),
    "too many fields": (f"1,1,1,1,{TEXT}", "with commas"),
    "no number": (f"x,1.0,1.0,{TEXT}", "x is not a number of seconds"),
    "no length": (f"1.0,x,1.0,{TEXT}", "x is not a number of seconds"),
    "not finite": (f"1.0,inf,1.0,{TEXT}", "inf is not a number"),
    "negative": (f"1.0,-2,1.0,{TEXT}", "-2 is not a number of seconds, 0 or more"),
    "a damaged histogram": (f"1.0,1.0,1.0,{TEXT[:-4]}", "encoded histogram: it was cut off"),
    "a start that is none": ("#[StartTime: today (seconds since epoch), x]", "today is not"),
}


@pytest.mark.parametrize(("line", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_one_clear_error_with_its_number(line: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        list(read_log([HEADER, f"0.0,1.0,0.0,{TEXT}\n", line]))
    assert caught.value.where.startswith("line 3")


def test_what_comes_before_a_damaged_line_is_read() -> None:
    intervals = read_log([HEADER, f"0.0,1.0,0.0,{TEXT}\n", "damaged"])
    assert next(intervals).seconds == 1.0
    with pytest.raises(FormatError):
        next(intervals)


@pytest.mark.parametrize("started_at", [-1.0, inf, nan])
def test_a_run_needs_a_beginning(started_at: float) -> None:
    with pytest.raises(ValueError, match="Unix time"):
        LogWriter(io.StringIO(), started_at)


@pytest.mark.parametrize("offset", [-1.0, inf, nan])
def test_an_interval_is_within_its_run(offset: float) -> None:
    with pytest.raises(ValueError, match="within its run"):
        written((Histogram(), offset, 1.0))


@pytest.mark.parametrize("seconds", [-1.0, inf, nan])
def test_an_interval_has_a_length(seconds: float) -> None:
    with pytest.raises(ValueError, match="0 or more seconds"):
        written((Histogram(), 0.0, seconds))


def test_an_interval_may_begin_with_its_run_to_the_last_bit() -> None:
    file = io.StringIO()
    started_at = 1_700_000_000.000_000_4
    LogWriter(file, started_at).write(Histogram(), started_at, 1.0)
    assert file.getvalue().splitlines()[-1].startswith("0.000000,1.000000,0.000000,")


@pytest.mark.parametrize("tag", ["a,b", "a\nb", "a\r"])
def test_a_tag_that_could_not_be_read_again_is_refused(tag: str) -> None:
    log = LogWriter(io.StringIO(), STARTED_AT)
    with pytest.raises(ValueError, match="a tag has no comma and no line end"):
        log.write(filled(0.1), STARTED_AT, 1.0, tag)


def test_a_tag_is_written_and_read() -> None:
    file = io.StringIO()
    LogWriter(file, STARTED_AT).write(filled(0.1), STARTED_AT, 1.0, "before")
    (interval,) = read_log(file.getvalue().splitlines())
    assert interval.tag == "before"
