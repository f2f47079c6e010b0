# SPDX-License-Identifier: MIT
"""What recording a latency costs, beside the package hdrhistogram; and what merging logs does.

A value is what one latency costs, recorded by a loop as an application would, with whatever is
needed until it is in its bucket: of ours that is an append and its share of the fold. The
latencies are lognormal; the package is given the same ones. Ours are recorded as nanoseconds
and as seconds, with numpy and without.

The logs are 100 of an hour each, in intervals of ten seconds with 20,000 latencies; with --fine
also such of one second, for which there is no bar.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from hdrh.histogram import HdrHistogram

import paired
from paired import Result
from resonance.histogram import Histogram, LogWriter, merge_logs
from resonance.histogram._cells import Cells, PlainCells, make_cells

PACKAGE_BAR: Final = 0.10
ABSOLUTE_BAR_NS: Final = 60.0
_PLACEBO_BAR: Final = 1.1
_LATENCIES: Final = 20_000
_LOWEST_NS: Final = 1_000
_HIGHEST_NS: Final = 100_000_000_000
_SEED: Final = 5
MERGE_BAR_SECONDS: Final = 2.0
_LOGS: Final = 100
_LOG_SECONDS: Final = 3_600
_RATE: Final = 2_000
_DIFFERENT: Final = 24
"""Histograms that are drawn; logs have them in turn."""
_MERGE_ROUNDS: Final = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--fine", action="store_true", help="merge logs of one second, too")
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
    merged = [_merge(10) for _ in range(min(_MERGE_ROUNDS, arguments.rounds))]
    if arguments.fine:
        _merge(1)
    within = paired.within(merged, MERGE_BAR_SECONDS)
    what = f"merge of {_LOGS} logs of 1 h"
    rows = [*_results(taken), Result(what, f"{MERGE_BAR_SECONDS:.0f} s", within, 1.0)]
    return paired.conclude("histogram", rows)


def _merge(interval_seconds: int) -> float:
    """Return the seconds that merging takes, with as many processes as there are CPUs."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.hlog" for number in range(_LOGS)]
        _write_logs(paths, interval_seconds)
        started = time.perf_counter()
        merged = merge_logs(paths, processes=len(os.sched_getaffinity(0)))
        took = time.perf_counter() - started
    assert merged.lines == _LOGS * _LOG_SECONDS // interval_seconds
    assert merged.intervals[0].histogram.count == _LOGS * _LOG_SECONDS * _RATE
    print(f"{merged.lines:,} intervals of {interval_seconds} s merged in {took:.2f} s")
    return took


def _write_logs(paths: Sequence[Path], interval_seconds: int) -> None:
    draw = random.Random(_SEED)
    histograms = [Histogram() for _ in range(_DIFFERENT)]
    for histogram in histograms:
        histogram.add_all_ns(
            draw.lognormvariate(14.0, 1.0) for _ in range(_RATE * interval_seconds)
        )
    with tempfile.TemporaryFile("w+") as file:
        log = LogWriter(file, 0.0)
        for histogram in histograms:
            log.write(histogram, 0.0, float(interval_seconds))
        file.seek(0)
        lines = file.readlines()
    head, drawn = lines[:-_DIFFERENT], lines[-_DIFFERENT:]
    # Encoding each of them would take longer than all the rest.
    bodies = [each.partition(",")[2] for each in drawn]
    for number, path in enumerate(paths):
        with path.open("w") as file:
            file.writelines(head)
            for place, body in enumerate(
                islice(cycle(bodies), number, number + _LOG_SECONDS // interval_seconds)
            ):
                file.write(f"{place * interval_seconds}.000000,{body}")


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
