# SPDX-License-Identifier: MIT
"""What do many logs of HdrHistogram say together?"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from resonance.bench.errors import PlanError
from resonance.bench.scenarios import parse_duration
from resonance.cli.connection import CommandError
from resonance.cli.options import Subparsers
from resonance.cli.units import duration_text, safe_text
from resonance.errors import MissingExtraError
from resonance.histogram import FormatError, Histogram, Interval, LogWriter, Merged, merge_logs

__all__ = ["add_parser"]

_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
_MANY_BYTES: Final = 16 * 2**20
"""*Chosen*: half a second of one process's work; a second process needs a fifth to begin."""
_MOST_PROCESSES: Final = 4
_DESCRIPTION: Final = """\
Add up interval logs of HdrHistogram, as if all had been recorded into one, and
print what it says. A log that is old, damaged or cut off is refused, with its
line: nothing is left out in silence.
"""
_EXAMPLES: Final = """\
examples:
  resonance bench merge node1.hlog node2.hlog
  resonance bench merge *.hlog --every 10s --output merged.hlog

exit status:
  0  done
  1  a log cannot be read, or the merged one not be written
  2  wrong arguments
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add ``bench merge``."""
    parser = subparsers.add_parser(
        "merge",
        help="logs of HdrHistogram as one",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write one log of all")
    parser.add_argument(
        "--every", type=_duration, metavar="T",
        help="length of its intervals, such as 10s (default: one of everything)",
    )  # fmt: skip
    parser.add_argument("--by-tag", action="store_true", help="keep tagged series apart")
    parser.set_defaults(run=functools.partial(_merge, parser))


def _merge(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    logs: list[Path] = arguments.logs
    try:
        merged = merge_logs(
            logs,
            every_seconds=arguments.every,
            by_tag=arguments.by_tag,
            processes=_processes(logs),
        )
    except ValueError as error:
        if isinstance(error, FormatError):
            raise CommandError(
                f"{safe_text(str(error))}; nothing was merged: leave that log out, "
                "or write it again"
            ) from None
        parser.error(f"--every: {error}")
    except (MissingExtraError, OSError) as error:
        raise CommandError(safe_text(str(error))) from None
    if arguments.output is not None:
        _write(arguments.output, merged.intervals)
    print("\n".join(_lines(merged, len(logs), arguments.output)))
    return 0


def _processes(logs: Sequence[Path]) -> int:
    """Return how many are worth it."""
    whole = sum(log.stat().st_size for log in logs)
    cpus = len(os.sched_getaffinity(0))
    return max(1, min(_MOST_PROCESSES, cpus, len(logs), whole // _MANY_BYTES))


def _write(path: Path, intervals: Sequence[Interval]) -> None:
    """Write a log; the file is whole or as it was before."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            log = LogWriter(file, min(each.started_at for each in intervals))
            for each in intervals:
                log.write(each.histogram, each.started_at, each.seconds, each.tag or None)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CommandError(
            f"{safe_text(str(path))}: {error.strerror or error}; nothing was written"
        ) from None


def _lines(merged: Merged, logs: int, output: Path | None) -> list[str]:
    intervals = merged.intervals
    began_at = min(each.started_at for each in intervals)
    seconds = max(each.started_at + each.seconds for each in intervals) - began_at
    by_tag: dict[str | None, Histogram] = {}
    for each in intervals:
        if each.tag in by_tag:
            by_tag[each.tag].merge(each.histogram)
        else:
            by_tag[each.tag] = each.histogram.copy()
    count = sum(each.count for each in by_tag.values())
    read = f"{merged.lines:,} intervals of {logs:,} log{'s' if logs > 1 else ''}"
    lines = [f"{count:,} latencies in {read}, {duration_text(seconds)} from first to last"]
    for tag, histogram in by_tag.items():
        title = f"{safe_text(tag)}: " if tag is not None else ""
        lines.append(title + _quantiles(histogram))
    if output is not None:
        written = f"{len(intervals):,} interval{'s' if len(intervals) > 1 else ''}"
        lines.append(f"wrote {safe_text(str(output))}, {written}")
    return lines


def _quantiles(histogram: Histogram) -> str:
    if not histogram.count:
        return "no latency"
    return "  ".join(
        f"{name} {duration_text(histogram.quantile(q))}" for name, q in _QUANTILES.items()
    )


def _duration(text: str) -> float:
    try:
        value = parse_duration(text)
    except PlanError as error:
        raise argparse.ArgumentTypeError(error.reason) from None
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value
