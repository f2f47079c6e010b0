# SPDX-License-Identifier: MIT
"""Which cgroup waits, now: readings of the daemon, once a second, as a table or as JSON.

``readings`` computes rates; ``table`` draws and ``screen`` shows, with rich, which only the
table needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from resonance.cli.connection import CommandError, Daemon, connect
from resonance.cli.options import Subparsers, add_common_options, seconds
from resonance.cli.readings import SORTS, Reading, Tracker

__all__ = ["add_parser"]

_DESCRIPTION = """\
Show who waits, live. Pressure is the share of time somebody in the cgroup
waited for a CPU; percentiles are those of the daemon's last 10 seconds. Above
the table: the rhythm of the queue, the periodic sources and how far they are in
step (R), and the work they pile up.
"""
_EXAMPLES = """\
examples:
  resonance top                     live; q quits
  resonance top --sort runqueue     longest run-queue p99 first
  resonance top --once              one table, for a ticket
  resonance top --for 10 --output json | jq -c '.cgroups[0]'
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to ``resonance``."""
    parser = subparsers.add_parser(
        "top",
        help="live table per cgroup",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sort", choices=tuple(SORTS), default="pressure", metavar="BY",
        help="by pressure (default), switches, runqueue, srtt, retransmits or cgroup",
    )  # fmt: skip
    parser.add_argument(
        "--interval", dest="interval_seconds", type=seconds, default=1.0, metavar="SECONDS",
        help="between readings (default 1)",
    )  # fmt: skip
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--once", action="store_true", help="one table, after one interval")
    duration.add_argument(
        "--for", dest="duration_seconds", type=seconds, default=math.inf, metavar="SECONDS",
        help="end after this long",
    )  # fmt: skip
    parser.add_argument(
        "--note", default="", metavar="TEXT", help="a line to keep below the live table"
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show readings until told to stop; Ctrl-C is the ordinary way to."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        if arguments.output == "json":
            _run_json(arguments)
        else:
            _run_table(arguments)
    except KeyboardInterrupt:
        return 0
    return 0


def _leave(_number: int, _frame: object) -> None:
    """End as at Ctrl-C, once: a second signal must not keep the terminal from being restored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run_json(arguments: argparse.Namespace) -> None:
    with connect(arguments.socket) as daemon:
        for reading in _readings(arguments, daemon, _sleep):
            print(json.dumps(_json(reading)), flush=True)


def _run_table(arguments: argparse.Namespace) -> None:
    try:
        from resonance.cli.screen import open_screen
    except ModuleNotFoundError as error:
        raise CommandError(
            "the table needs rich: pip install 'resonance-runtime[cli]', or say --output json"
        ) from error
    with (
        connect(arguments.socket) as daemon,
        open_screen(is_live=not arguments.once, note=arguments.note) as screen,
    ):
        for reading in _readings(arguments, daemon, screen.pause):
            screen.show(reading)


def _sleep(pause_seconds: float) -> bool:
    time.sleep(pause_seconds)
    return False


def _readings(
    arguments: argparse.Namespace, daemon: Daemon, pause: Callable[[float], bool]
) -> Iterator[Reading]:
    """Yield readings until the time is up or `pause` says that the user wants to go."""
    readings = _poll(arguments, daemon, pause)
    return itertools.islice(readings, 1, 2) if arguments.once else readings


def _poll(
    arguments: argparse.Namespace, daemon: Daemon, pause: Callable[[float], bool]
) -> Iterator[Reading]:
    tracker = Tracker(arguments.sort)
    end = time.monotonic() + arguments.duration_seconds
    while True:
        yield tracker.add(daemon.state())
        left_seconds = end - time.monotonic()
        if left_seconds <= 0 or pause(min(arguments.interval_seconds, left_seconds)):
            return


def _json(reading: Reading) -> dict[str, Any]:
    record = dataclasses.asdict(reading)
    rows = record.pop("rows")
    for row in rows:
        del row["history"]
    if reading.rhythm and reading.rhythm.delay_bound_seconds == math.inf:
        record["rhythm"]["delay_bound_seconds"] = "inf"  # which JSON has no number for
    return {**record, "cgroups": rows}
