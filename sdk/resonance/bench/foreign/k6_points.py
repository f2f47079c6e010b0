# SPDX-License-Identifier: MIT
"""What does a line of k6's points say?

``k6 run --out json=FILE`` writes a line of JSON for each metric when it first appears, and one
for each value of it. The values of one request follow one another.

References
----------
Grafana k6 documentation, "JSON"; grafana/k6, ``output/json/json.go``.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from resonance.bench.errors import ResultFormatError
from resonance.bench.foreign.marks import TAG

__all__ = ["Point", "Tags", "points_of"]

_GZIP: Final = b"\x1f\x8b"
_MOST_SUMMARY_BYTES: Final = 16 * 2**20
"""*Chosen*: a file that is no list of points is looked at as a whole to say what it is."""
_RIGHT: Final = "write all points, with `k6 run --out json=points.json.gz SCRIPT`, and import those"


class Tags(msgspec.Struct, frozen=True, rename={"mark": TAG}):
    """What is said of a request.

    Attributes
    ----------
    status : str
        Of HTTP; ``"0"`` or empty without an answer.
    error_code : str
        k6's own; empty where all went well.
    name, url : str
    mark : str
        Of an exported script; empty otherwise.
    """

    status: str = ""
    error_code: str = ""
    name: str = ""
    url: str = ""
    mark: str = ""


class Point(msgspec.Struct, frozen=True):
    """One value of a metric.

    Attributes
    ----------
    time : datetime
        When its request ended, or it was counted; with a time zone.
    value : float
        Of times, milliseconds.
    tags : Tags or None
    """

    time: datetime
    value: float
    tags: Tags | None = None


class _Line(msgspec.Struct):
    type: str
    metric: str
    data: msgspec.Raw


def points_of(
    path: str | os.PathLike[str], metrics: frozenset[str]
) -> Iterator[tuple[int, str, Point]]:
    """Return the points of some metrics, in the order they were written.

    Parameters
    ----------
    path : path-like
        Compressed with gzip or not.
    metrics : set of str

    Yields
    ------
    (int, str, Point)
        The number of the line, the metric, and the point.

    Raises
    ------
    ResultFormatError
        A line is damaged, or the file is no list of points.
    OSError
        It cannot be read.
    """
    where = os.fspath(path)
    line_of, point_of = msgspec.json.Decoder(_Line), msgspec.json.Decoder(Point)
    number = 0
    try:
        with _opened(Path(path)) as file:
            for number, text in enumerate(file, 1):
                try:
                    line = line_of.decode(text)
                    if line.type == "Point" and line.metric in metrics:
                        yield number, line.metric, _with_zone(point_of.decode(line.data))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise ResultFormatError(where, _reason(path, number, text, error)) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ResultFormatError(
            where, f"line {number + 1}: what is compressed was cut off or damaged ({error})"
        ) from None


def _opened(path: Path) -> io.BufferedReader | gzip.GzipFile:
    file = path.open("rb")
    if file.peek(2)[:2] == _GZIP:
        file.close()
        return gzip.open(path, "rb")
    return file


def _with_zone(point: Point) -> Point:
    if point.time.tzinfo is None:
        raise msgspec.ValidationError("the time has no time zone")
    return point


def _reason(path: str | os.PathLike[str], number: int, text: bytes, error: Exception) -> str:
    if number == 1:
        if text.startswith(b"metric_name,"):
            return f"line 1: this is CSV, whose times are whole seconds; {_RIGHT}"
        if _is_summary(Path(path)):
            return (
                "this is k6's summary, whose few percentiles are not enough to compare or "
                f"to draw; {_RIGHT}"
            )
    if not text.endswith(b"\n"):
        return f"line {number}: it was cut off in the middle; was k6 ended, or the disk full?"
    return f"line {number}: not a line of `k6 run --out json=`: {error}"


def _is_summary(path: Path) -> bool:
    with _opened(path) as file:
        content = file.read(_MOST_SUMMARY_BYTES)
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return isinstance(whole, dict) and "metrics" in whole
