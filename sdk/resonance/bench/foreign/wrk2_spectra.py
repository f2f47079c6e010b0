# SPDX-License-Identifier: MIT
"""What does a spectrum of percentiles say, as HdrHistogram prints it?

Each line has a latency and the number of calls that did not take longer. So the histogram made
of it is exact at each of these latencies, and between two of them the calls count as the longer
one. The percentiles that wrk2 prints by themselves, p99 and p99.9 among them, are set in
between.

References
----------
HdrHistogram_c, ``hdr_percentiles_print``; giltene/wrk2, ``src/wrk.c`` (``print_hdr_latency``).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from math import ceil
from typing import Final

from resonance.bench.errors import ResultFormatError
from resonance.histogram import Histogram

__all__ = ["UNITS_SECONDS", "Spectrum"]

UNITS_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
"""In which wrk2 tells times."""
_MILLISECOND: Final = 1e-3
_HIGHEST_NS: Final = 100_000_000_000

_SHARE: Final = re.compile(r" *(\d+\.\d+)% +(\d+\.\d+)(us|ms|s|m|h) *")
_ROW: Final = re.compile(r" *(\d+\.\d+) +([01]\.\d+) +(\d+) +(?:\d+\.\d+|inf) *")
_TOTAL: Final = re.compile(r"#\[Max +=.*Total count +=\s*(\d+)\]")


class Spectrum:
    """Latencies and how many calls were not longer, line by line.

    Attributes
    ----------
    total : int or None
        Calls; ``None`` until the line that tells, which is the last.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._seconds: list[float] = []
        self._counts: list[int] = []
        self._shares: list[tuple[float, float]] = []

    def take(self, line: str, number: int, where: str) -> None:
        """Take in a line.

        Parameters
        ----------
        line : str
        number : int
        where : str
            The file.

        Raises
        ------
        ResultFormatError
            It does not fit those before.
        """
        if found := _SHARE.fullmatch(line):
            self._shares.append(
                (float(found[1]) / 100.0, float(found[2]) * UNITS_SECONDS[found[3]])
            )
        elif found := _ROW.fullmatch(line):
            seconds, count = float(found[1]) * _MILLISECOND, int(found[3])
            if not count:
                self._refuse(number, where, "a count of 0, so no call was recorded")
            if self._counts and (seconds < self._seconds[-1] or count < self._counts[-1]):
                self._refuse(number, where, "latency or count is below that of the line before")
            self._seconds.append(seconds)
            self._counts.append(count)
        elif found := _TOTAL.fullmatch(line):
            self._end(int(found[1]), number, where)
        elif self._counts and not line.startswith("#[Mean"):
            self._refuse(number, where, "not latency, percentile, count and 1/(1-percentile)")

    def _end(self, total: int, number: int, where: str) -> None:
        if not total:
            self._refuse(number, where, "no call was recorded; was the server there?")
        last = self._counts[-1] if self._counts else 0
        if last != total:
            self._refuse(
                number, where, f"the counts end at {last}, the total is {total}; lines are missing"
            )
        self.total = total

    def _refuse(self, number: int, where: str, reason: str) -> None:
        raise ResultFormatError(where, f"line {number}: {reason}")

    def histogram(self) -> Histogram:
        """Return the calls by latency.

        Returns
        -------
        Histogram
        """
        longest = self._seconds[-1] if self._seconds else 0.0
        histogram = Histogram(highest_ns=max(_HIGHEST_NS, ceil(longest * 1e9)))
        below = 0
        for count, seconds in sorted(self._points().items()):
            histogram.add(seconds, count - below)
            below = count
        return histogram

    def _points(self) -> dict[int, float]:
        """Return latencies by how many calls were not longer."""
        points: dict[int, float] = {}
        for seconds, count in zip(self._seconds, self._counts, strict=True):
            points.setdefault(count, seconds)
        for share, seconds in self._shares if self._counts else ():
            wanted = max(1, ceil(share * self._counts[-1] - 1e-9))
            place = min(bisect_left(self._counts, wanted), len(self._counts) - 1)
            # It is rounded, its neighbours are not.
            least = self._seconds[place - 1] if place else 0.0
            points.setdefault(wanted, min(max(seconds, least), self._seconds[place]))
        return points
