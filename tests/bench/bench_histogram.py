# SPDX-License-Identifier: MIT
"""What recording a latency costs, beside the package hdrhistogram.

A value is what one latency costs, recorded by a loop as an application would, with whatever is
needed until it is in its bucket: of ours that is an append and its share of the fold. The
latencies are lognormal; the package is given the same ones. Ours are recorded as nanoseconds
and as seconds, with numpy and without.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from hdrh.histogram import HdrHistogram

import paired
from paired import Result
from resonance.histogram import Histogram
from resonance.histogram._cells import Cells, PlainCells, make_cells

PACKAGE_BAR: Final = 0.10
ABSOLUTE_BAR_NS: Final = 60.0
_PLACEBO_BAR: Final = 1.1
_LATENCIES: Final = 20_000
_LOWEST_NS: Final = 1_000
_HIGHEST_NS: Final = 100_000_000_000
_SEED: Final = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args(argv)
    draw = random.Random(_SEED)
    latencies_ns = [int(draw.lognormvariate(15.0, 1.0)) for _ in range(_LATENCIES)]
    seconds = [latency_ns / 1e9 for latency_ns in latencies_ns]
    arms = {
        "hdrhistogram": partial(_package, HdrHistogram(_LOWEST_NS, _HIGHEST_NS, 3), latencies_ns),
        "hdrhistogram again": partial(
            _package, HdrHistogram(_LOWEST_NS, _HIGHEST_NS, 3), latencies_ns
        ),
        "ns, numpy": partial(_ns, _histogram(make_cells()), latencies_ns),
        "seconds, numpy": partial(_seconds, _histogram(make_cells()), seconds),
        "ns, no numpy": partial(_ns, _histogram(PlainCells()), latencies_ns),
        "seconds, no numpy": partial(_seconds, _histogram(PlainCells()), seconds),
    }
    paired.interleave(arms, 1)  # touches the memory, and is not counted
    taken = paired.interleave(arms, arguments.rounds)
    for name, values in taken.items():
        print(f"{name:18}  {statistics.median(values):7.1f} ns, {min(values):7.1f} at best")
    return paired.conclude("histogram", _results(taken))


def _package(histogram: Any, latencies_ns: list[int]) -> float:
    return _each(histogram.record_value, latencies_ns)


def _ns(histogram: Histogram, latencies_ns: list[int]) -> float:
    return _each(histogram.record_ns, latencies_ns, histogram.fold)


def _seconds(histogram: Histogram, seconds: list[float]) -> float:
    return _each(histogram.record, seconds, histogram.fold)


def _each(
    record: Callable[[Any], object], latencies: Sequence[float], fold: Callable[[], object] = int
) -> float:
    """Return the nanoseconds that one latency takes, the loop that has it included."""
    started = time.perf_counter_ns()
    for latency in latencies:
        record(latency)
    fold()
    return (time.perf_counter_ns() - started) / len(latencies)


def _histogram(cells: Cells) -> Histogram:
    histogram = Histogram(lowest_ns=_LOWEST_NS, highest_ns=_HIGHEST_NS)
    histogram._pending.cells = cells
    return histogram


def _results(taken: dict[str, list[float]]) -> list[Result]:
    package = taken["hdrhistogram"]
    again = paired.placebo(taken["hdrhistogram again"], package)
    rows = [Result("A/A: hdrhistogram", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for name in list(taken)[2:]:
        beside = paired.compare(taken[name], package)
        absolute = paired.within(taken[name], ABSOLUTE_BAR_NS)
        rows.append(Result(f"record, {name}", "hdrhistogram", beside, PACKAGE_BAR))
        rows.append(Result(f"record, {name}", f"{ABSOLUTE_BAR_NS:.0f} ns", absolute, 1.0))
    return rows


if __name__ == "__main__":
    sys.exit(main())
