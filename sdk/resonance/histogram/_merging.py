# SPDX-License-Identifier: MIT
"""What do many logs say together, without a histogram for each of their lines?"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import ceil, floor, inf, isfinite
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from resonance.histogram._errors import FormatError
from resonance.histogram._hdr import Sums
from resonance.histogram._histogram import Histogram, histogram_of
from resonance.histogram._layout import Layout
from resonance.histogram._log import Interval, lines_of

__all__ = ["Merged", "merge_logs"]

_MOST: Final = 1_000
"""*Chosen*: each keeps its counts, 156 kB of the usual layout."""


class Merged(NamedTuple):
    """Logs as one.

    Attributes
    ----------
    intervals : list of Interval
        By the time they began; those of one length, or one alone.
    lines : int
        Intervals that were read.
    """

    intervals: list[Interval]
    lines: int


class _Key(NamedTuple):
    place: int
    tag: str | None


class _Part(NamedTuple):
    """What some of the files say: when each interval began and ended, and its counts."""

    spans: dict[_Key, tuple[float, float]]
    counts: dict[_Key, dict[Layout, array[int]]]
    lines: int


def merge_logs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    every_seconds: float | None = None,
    by_tag: bool = False,
    processes: int = 1,
) -> Merged:
    """Add up logs, as if all had been recorded into one histogram.

    The counts are those of `read_log` and `Histogram.merge`, bit for bit.

    Parameters
    ----------
    paths : iterable of path-like
        Each a log that `read_log` reads.
    every_seconds : float, optional
        Length of the intervals to make, which begin at whole multiples of it in Unix time; what
        is read counts to the one it began in. By default there is one for everything.
    by_tag : bool
        Whether series stay apart by their tags.
    processes : int
        That share the files, the caller's included; the others begin anew, as of
        `multiprocessing`'s ``spawn``.

    Returns
    -------
    Merged

    Raises
    ------
    FormatError
        A file is no such log or has no interval, or a line is damaged; `where` has both.
    ValueError
        `every_seconds` is not above 0, or would make too many intervals.
    MissingExtraError
        hdrhistogram is not installed.
    OSError
        A file cannot be read.
    """
    if every_seconds is not None and not (isfinite(every_seconds) and every_seconds > 0.0):
        raise ValueError(f"every_seconds must be above 0, not {every_seconds}")
    names = [os.fspath(path) for path in paths]
    read = partial(_part, every_seconds=every_seconds, by_tag=by_tag)
    own, *others = _shares(names, processes) or [[]]
    if not others:
        return _whole([read(own)])
    with ProcessPoolExecutor(len(others), mp_context=get_context("spawn")) as pool:
        parts = pool.map(read, others)
        return _whole([read(own), *parts])


def _shares(names: Sequence[str], processes: int) -> list[Sequence[str]]:
    """Return the files in as many parts, those that follow one another together."""
    size = ceil(len(names) / max(processes, 1)) or 1
    return [names[start : start + size] for start in range(0, len(names), size)]


def _part(names: Sequence[str], *, every_seconds: float | None, by_tag: bool) -> _Part:
    sums: Sums[_Key] = Sums()
    spans: dict[_Key, tuple[float, float]] = {}
    lines = 0
    for name in names:
        before, where = lines, ""
        try:
            with Path(name).open(encoding="utf-8") as file:
                for line in lines_of(file):
                    began_at, ended_at = line.started_at, line.started_at + line.seconds
                    place = floor(began_at / every_seconds) if every_seconds else 0
                    key = _Key(place, line.tag if by_tag else None)
                    first, last = spans.get(key, (inf, -inf))
                    spans[key] = (min(first, began_at), max(last, ended_at))
                    if len(spans) > _MOST:
                        raise ValueError(f"{_MOST} intervals are not enough; make them longer")
                    where = f"{line.where}, "
                    sums.add(key, line.text)
                    where = ""
                    lines += 1
        except FormatError as error:
            raise FormatError(f"{name}: {where}{error.where}", error.reason) from None
        except UnicodeDecodeError as error:
            raise FormatError(name, f"not text: {error.reason} at byte {error.start}") from None
        if lines == before:
            raise FormatError(name, "there is no interval in it")
    return _Part(spans, sums.totals(), lines)


def _whole(parts: Iterable[_Part]) -> Merged:
    spans: dict[_Key, tuple[float, float]] = {}
    histograms: dict[_Key, Histogram] = {}
    lines = 0
    for part in parts:
        lines += part.lines
        for key, (began_at, ended_at) in part.spans.items():
            histogram = histogram_of(part.counts[key])
            first, last = spans.get(key, (inf, -inf))
            spans[key] = (min(first, began_at), max(last, ended_at))
            if key in histograms:
                histograms[key].merge(histogram)
            else:
                histograms[key] = histogram
    if len(spans) > _MOST:
        raise ValueError(f"{_MOST} intervals are not enough; make them longer")
    intervals = [
        Interval(began_at, ended_at - began_at, histograms[key], key.tag)
        for key, (began_at, ended_at) in spans.items()
    ]
    return Merged(sorted(intervals, key=lambda each: each.started_at), lines)
