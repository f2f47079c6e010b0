# SPDX-License-Identifier: MIT
"""How is a run kept, interval by interval, so that every viewer of HdrHistogram opens it?

The format is the interval log, 1.2: comments, a legend, and a line for each interval with its
histogram in base64. The lines are written and read here, because the package hdrhistogram
fails on the start time, rounds the longest latency down to whole milliseconds, and passes over
a damaged line in silence; what is in a line is encoded by it.

References
----------
HdrHistogram 2.1, ``HistogramLogWriter.java`` and ``HistogramLogReader.java``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Final, NamedTuple, TextIO

from resonance.histogram._errors import FormatError
from resonance.histogram._histogram import Histogram

__all__ = ["Interval", "Line", "LogWriter", "lines_of", "read_log"]

_LEGEND: Final = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
_READABLE: Final = frozenset({"1.2", "1.3"})
"""1.3 is 1.2 with tags, which everybody wrote before."""
_VERSION: Final = re.compile(r"#\[Histogram log format version ([^\]\s]+)\]")
_START: Final = re.compile(r"#\[StartTime: *([^ ]+) ")
_BASE: Final = re.compile(r"#\[BaseTime: *([^ ]+) ")
_TAG: Final = re.compile(r"[^,\r\n]+")
_HEAD: Final = re.compile(r"(?:Tag=([^,]*),)?([^,]+),([^,]+),([^,]+)")
"""Of an interval, all before its histogram."""
_A_YEAR_SECONDS: Final = 365 * 24 * 3600.0
_MILLISECONDS: Final = 1e3
"""The longest latency is written in these, as everywhere: nanoseconds by a million."""


@dataclass(frozen=True)
class Interval:
    """A line of a log.

    Parameters
    ----------
    started_at : float
        Unix time in seconds.
    seconds : float
        How long it was.
    histogram : Histogram
        What was recorded in it.
    tag : str, optional
        Which of several series in one log it belongs to.
    """

    started_at: float
    seconds: float
    histogram: Histogram
    tag: str | None = None


class LogWriter:
    """Writes the interval log of a run.

    Parameters
    ----------
    file : text file
        Open for writing; who opened it closes it.
    started_at : float
        Unix time of the run's beginning, seconds; 0 or more.

    Raises
    ------
    ValueError
        `started_at` is negative or not finite.
    """

    def __init__(self, file: TextIO, started_at: float) -> None:
        if not (isfinite(started_at) and started_at >= 0.0):
            raise ValueError(f"started_at must be Unix time in seconds, not {started_at}")
        self._file = file
        # To the microsecond, as it is written, so that readers compute with the same.
        self._started_at = round(started_at, 6)
        date = datetime.fromtimestamp(self._started_at, UTC).isoformat(" ", "seconds")
        file.write("#[Histogram log format version 1.2]\n")
        file.write(f"#[StartTime: {self._started_at:.6f} (seconds since epoch), {date}]\n")
        file.write(f"#[BaseTime: {self._started_at:.6f} (seconds since epoch)]\n")
        file.write(f"{_LEGEND}\n")

    def write(
        self, histogram: Histogram, started_at: float, seconds: float, tag: str | None = None
    ) -> None:
        """Write one interval.

        Parameters
        ----------
        histogram : Histogram
            What was recorded in it, as `Histogram.take` returns it.
        started_at : float
            Unix time in seconds, not before the run.
        seconds : float
            How long it was, 0 or more.
        tag : str, optional
            Which of several series in one log it belongs to; without commas and line ends.

        Raises
        ------
        MissingExtraError
            hdrhistogram is not installed.
        ValueError
            It began before the run, a time is not finite, or the tag would damage the line.
        """
        offset = started_at - self._started_at
        if not (isfinite(offset) and offset >= -1e-6):
            raise ValueError(f"an interval must begin within its run, not {offset} s after it does")
        if not (isfinite(seconds) and seconds >= 0.0):
            raise ValueError(f"an interval must be 0 or more seconds long, not {seconds}")
        if tag is not None and not _TAG.fullmatch(tag):
            raise ValueError(f"a tag has no comma and no line end, unlike {tag!r}")
        longest = (histogram.quantile(1.0) or 0.0) * _MILLISECONDS
        tagged = "" if tag is None else f"Tag={tag},"
        self._file.write(
            f"{tagged}{max(offset, 0.0):.6f},{seconds:.6f},{longest:.6f},{histogram.encode()}\n"
        )


class Line(NamedTuple):
    """An interval as it is written.

    Attributes
    ----------
    where : str
        Which line it is, for errors.
    started_at, seconds : float
    tag : str or None
    text : str
        The histogram, encoded.
    """

    where: str
    started_at: float
    seconds: float
    tag: str | None
    text: str


def read_log(lines: Iterable[str]) -> Iterator[Interval]:
    """Return the intervals of a log, one after the other.

    Parameters
    ----------
    lines : iterable of str
        Such as an open file.

    Yields
    ------
    Interval

    Raises
    ------
    FormatError
        It is no such log, of a version that is not known, or a line is damaged.
    MissingExtraError
        hdrhistogram is not installed.
    """
    for line in lines_of(lines):
        try:
            histogram = Histogram.decode(line.text)
        except FormatError as error:
            raise FormatError(f"{line.where}, {error.where}", error.reason) from None
        yield Interval(line.started_at, line.seconds, histogram, line.tag)


def lines_of(lines: Iterable[str]) -> Iterator[Line]:
    """Return the intervals of a log as they are written.

    Parameters
    ----------
    lines : iterable of str

    Yields
    ------
    Line

    Raises
    ------
    FormatError
        As `read_log`, but that of a histogram.
    """
    clock = _Clock()
    is_known = False
    for number, text in enumerate(lines, 1):
        line, where = text.strip(), f"line {number}"
        if line.startswith("#"):
            if version := _VERSION.match(line):
                if version[1] not in _READABLE:
                    known = " and ".join(sorted(_READABLE))
                    raise FormatError(where, f"the log has version {version[1]}; {known} are known")
                is_known = True
            clock.note(line, where)
        elif line and not line.startswith('"'):
            if not is_known:
                raise FormatError(where, "no line before it tells the version of the log")
            yield _line(line, where, clock)


class _Clock:
    """What the time stamps of a log are relative to."""

    def __init__(self) -> None:
        self.start: float | None = None
        self.base: float | None = None

    def note(self, line: str, where: str) -> None:
        if found := _START.match(line):
            self.start = _seconds(found[1], where)
        elif found := _BASE.match(line):
            self.base = _seconds(found[1], where)

    def unix(self, stamp: float) -> float:
        """Return the Unix time of a stamp; without a base, one long before the start is relative.

        The rule of ``HistogramLogReader.java``.
        """
        if self.start is None:
            self.start = stamp
        if self.base is None:
            self.base = self.start if stamp < self.start - _A_YEAR_SECONDS else 0.0
        return self.base + stamp


def _line(line: str, where: str, clock: _Clock) -> Line:
    head, _, text = line.rpartition(",")
    found = _HEAD.fullmatch(head)
    if found is None or not text or " " in text:
        raise FormatError(where, "it is not start, length, longest and histogram, with commas")
    tag, stamp, length, _ = found.groups()
    started_at = clock.unix(_seconds(stamp, where))
    return Line(where, started_at, _seconds(length, where), tag, text)


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not (isfinite(value) and value >= 0.0):
        raise FormatError(where, f"{text} is not a number of seconds, 0 or more")
    return value
