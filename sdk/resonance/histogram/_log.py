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
from typing import Final, TextIO

from resonance.histogram._errors import FormatError
from resonance.histogram._histogram import Histogram

__all__ = ["Interval", "LogWriter", "read_log"]

_LEGEND: Final = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
_READABLE: Final = frozenset({"1.2", "1.3"})
"""1.3 is 1.2 with tags, which everybody wrote before."""
_VERSION: Final = re.compile(r"#\[Histogram log format version ([^\]\s]+)\]")
_START: Final = re.compile(r"#\[StartTime: *([^ ]+) ")
_BASE: Final = re.compile(r"#\[BaseTime: *([^ ]+) ")
_INTERVAL: Final = re.compile(r"(?:Tag=([^,]*),)?([^,]+),([^,]+),([^,]+),([^,\s]+)")
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

    def write(self, histogram: Histogram, started_at: float, seconds: float) -> None:
        """Write one interval.

        Parameters
        ----------
        histogram : Histogram
            What was recorded in it, as `Histogram.take` returns it.
        started_at : float
            Unix time in seconds, not before the run.
        seconds : float
            How long it was, 0 or more.

        Raises
        ------
        MissingExtraError
            hdrhistogram is not installed.
        ValueError
            It began before the run, or a time is not finite.
        """
        offset = started_at - self._started_at
        if not (isfinite(offset) and offset >= -1e-6):
            raise ValueError(f"an interval must begin within its run, not {offset} s after it does")
        if not (isfinite(seconds) and seconds >= 0.0):
            raise ValueError(f"an interval must be 0 or more seconds long, not {seconds}")
        longest = (histogram.quantile(1.0) or 0.0) * _MILLISECONDS
        self._file.write(
            f"{max(offset, 0.0):.6f},{seconds:.6f},{longest:.6f},{histogram.encode()}\n"
        )


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
    clock = _Clock()
    is_known = False
    for number, text in enumerate(lines, 1):
        line, where = text.strip(), f"line {number}"
        if version := _VERSION.match(line):
            if version[1] not in _READABLE:
                known = " and ".join(sorted(_READABLE))
                raise FormatError(where, f"the log has version {version[1]}; {known} are known")
            is_known = True
        elif line.startswith("#"):
            clock.note(line, where)
        elif line and not line.startswith('"'):
            if not is_known:
                raise FormatError(where, "no line before it tells the version of the log")
            yield _interval(line, where, clock)


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


def _interval(line: str, where: str, clock: _Clock) -> Interval:
    found = _INTERVAL.fullmatch(line)
    if found is None:
        raise FormatError(where, "it is not start, length, longest and histogram, with commas")
    tag, stamp, length, _, text = found.groups()
    try:
        histogram = Histogram.decode(text)
    except FormatError as error:
        raise FormatError(f"{where}, {error.where}", error.reason) from None
    started_at = clock.unix(_seconds(stamp, where))
    return Interval(started_at, _seconds(length, where), histogram, tag)


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not (isfinite(value) and value >= 0.0):
        raise FormatError(where, f"{text} is not a number of seconds, 0 or more")
    return value
