# SPDX-License-Identifier: MIT
"""How long did tasks wait for a CPU in the last few seconds: one histogram.

The daemon's histograms grow since each slot's owner took it; two of them, one at each end of
the interval, are subtracted here. A slot that changed its owner between the two counts from
its new owner's beginning, which lies within the interval.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resonance.cli.connection import CommandError, connect
from resonance.cli.options import Subparsers, add_common_options, seconds
from resonance.cli.units import duration_text, path_text
from resonance_api.hints.v1.hints_pb2 import Histogram, State

__all__ = ["Interval", "add_parser", "subtract"]

_BAR_COLUMNS = 40
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
_EXAMPLES = """\
examples:
  resonance runqlat                                5 seconds, every cgroup
  resonance runqlat --for 30 --cgroup '/system.slice/nginx*'
  resonance runqlat --output json | jq .p99_seconds

A percentile is the upper edge of its bucket: at most 12.5 % above the truth.
"""


@dataclass(frozen=True, slots=True)
class Interval:
    """The waits of one interval.

    Attributes
    ----------
    duration_seconds : float
        Between the two readings.
    cgroups : tuple of str
        What was counted.
    sum_seconds : float
        All waits together.
    buckets : dict of int to int
        Inclusive upper edge in ns, and waits; no empty buckets, edges ascending.
    """

    duration_seconds: float
    backend: str
    tier: str
    cgroups: tuple[str, ...]
    sum_seconds: float
    buckets: dict[int, int]

    @property
    def count(self) -> int:
        """Number of waits."""
        return sum(self.buckets.values())

    @property
    def mean_seconds(self) -> float | None:
        """Mean wait; ``None`` without waits."""
        return self.sum_seconds / self.count if self.count else None

    def quantile_seconds(self, quantile: float) -> float | None:
        """Return the upper edge of the bucket that holds a quantile; ``None`` without waits."""
        seen, wanted = 0, quantile * self.count
        for upper_ns, count in self.buckets.items():
            seen += count
            if seen >= wanted:
                return upper_ns / 1e9
        return None


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to ``resonance``."""
    parser = subparsers.add_parser(
        "runqlat",
        help="one histogram of run-queue latency",
        description="Show how long tasks waited for a CPU, as one histogram.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--for", dest="duration_seconds", type=seconds, default=5.0, metavar="SECONDS",
        help="how long to measure (default 5); Ctrl-C ends it early",
    )  # fmt: skip
    parser.add_argument(
        "--cgroup", dest="cgroups", action="append", default=[], metavar="GLOB",
        help="only cgroups whose path matches; may be given again",
    )  # fmt: skip
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure once and print."""
    with connect(arguments.socket) as daemon:
        before = daemon.state(arguments.cgroups, include_histograms=True)
        _require_something_to_count(before)
        if sys.stderr.isatty():
            print(f"measuring {arguments.duration_seconds:g} s; Ctrl-C ends it", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(arguments.duration_seconds)
        after = daemon.state(arguments.cgroups, include_histograms=True)
    interval = subtract(before, after)
    lines = [json.dumps(_json(interval))] if arguments.output == "json" else _text(interval)
    print(*lines, sep="\n")
    return 0


def _require_something_to_count(state: State) -> None:
    if not state.cgroups:
        raise CommandError("no cgroup matches; `resonance hints get` lists those with a slot")
    if state.tier == "procfs":
        raise CommandError(
            "the daemon runs without BPF (tier procfs) and knows sums, not histograms;"
            " `resonanced check` says why"
        )


def subtract(before: State, after: State) -> Interval:
    """Return what happened between two readings.

    Raises
    ------
    CommandError
        When the daemon restarted between them.
    """
    if before.instance != after.instance:
        raise CommandError("the daemon restarted while it was measured; run this again")
    past = {(each.slot, each.slot_generation): each.runqueue for each in before.cgroups}
    buckets: Counter[int] = Counter()
    sum_seconds = 0.0
    for each in after.cgroups:
        sum_seconds += each.runqueue.sum_seconds
        buckets.update(_histogram(each.runqueue.histogram))
        if (earlier := past.get((each.slot, each.slot_generation))) is not None:
            sum_seconds -= earlier.sum_seconds
            buckets.subtract(_histogram(earlier.histogram))
    return Interval(
        duration_seconds=(after.monotonic_ns - before.monotonic_ns) / 1e9,
        backend=after.backend,
        tier=after.tier,
        cgroups=tuple(each.cgroup for each in after.cgroups),
        sum_seconds=sum_seconds,
        buckets={upper_ns: buckets[upper_ns] for upper_ns in sorted(+buckets)},
    )


def _histogram(histogram: Histogram) -> dict[int, int]:
    return dict(zip(histogram.upper_ns, histogram.counts, strict=True))


def _json(interval: Interval) -> dict[str, Any]:
    quantiles = {
        f"{name}_seconds": interval.quantile_seconds(value) for name, value in _QUANTILES.items()
    }
    return {
        "duration_seconds": interval.duration_seconds,
        "backend": interval.backend,
        "tier": interval.tier,
        "cgroups": interval.cgroups,
        "count": interval.count,
        "sum_seconds": interval.sum_seconds,
        "mean_seconds": interval.mean_seconds,
        **quantiles,
        "buckets": [
            {"upper_ns": upper_ns, "count": count} for upper_ns, count in interval.buckets.items()
        ],
    }


def _text(interval: Interval) -> Iterator[str]:
    only_one = len(interval.cgroups) == 1
    whose = path_text(interval.cgroups[0], 36) if only_one else f"{len(interval.cgroups)} cgroups"
    yield f"run-queue latency of {whose}, {interval.duration_seconds:.1f} s, tier {interval.tier}"
    if not interval.count:
        yield "no task waited for a CPU"
        return
    figures = [("mean", interval.mean_seconds)]
    figures += [(name, interval.quantile_seconds(value)) for name, value in _QUANTILES.items()]
    told = "  ".join(f"{name} {duration_text(value)}" for name, value in figures)
    yield f"{interval.count} waits  {told}"
    yield ""
    yield from _rows(interval.buckets)


def _rows(buckets: dict[int, int]) -> Iterator[str]:
    octaves: Counter[int] = Counter()
    for upper_ns, count in buckets.items():
        octaves[(upper_ns - 1).bit_length()] += count
    most = max(octaves.values())
    digits = max(len("count"), len(str(most)))
    yield f"{'more than':>9} {'up to':>7} {'count':>{digits}}"
    for octave in range(min(octaves), max(octaves) + 1):
        count = octaves[octave]
        lower = duration_text(2.0 ** (octave - 1) / 1e9) if octave else "0ns"
        upper = duration_text(2.0**octave / 1e9)
        bar = "*" * -(-count * _BAR_COLUMNS // most)
        yield f"{lower:>9} {upper:>7} {count:>{digits}} |{bar:<{_BAR_COLUMNS}}|"
