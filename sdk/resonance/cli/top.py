# SPDX-License-Identifier: MIT
"""Which cgroup waits, now: readings of the daemon, once a second, as a table or as JSON.

This file reads and computes rates; ``table`` draws and ``screen`` shows, with rich, which
only the table needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from resonance.cli.connection import CommandError, Daemon, connect
from resonance.cli.options import Subparsers, add_common_options, seconds
from resonance_api.hints.v1.hints_pb2 import CgroupState, Latency, State

__all__ = ["HISTORY", "Reading", "Row", "Tracker", "add_parser"]

HISTORY = 60
"""Readings a sparkline remembers."""
_DESCRIPTION = """\
Show who waits, live. Pressure is the share of time somebody in the cgroup
waited for a CPU; percentiles are those of the daemon's last 10 seconds.
"""
_EXAMPLES = """\
examples:
  resonance top                     live; q quits
  resonance top --sort runqueue     longest run-queue p99 first
  resonance top --once              one table, for a ticket
  resonance top --for 10 --output json | jq -c '.cgroups[0]'
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One cgroup at one reading; ``None`` is "not known"."""

    cgroup: str
    pressure: float | None
    history: tuple[float, ...] = dataclasses.field(repr=False)
    switches_per_second: float | None
    runqueue_p50_seconds: float | None
    runqueue_p99_seconds: float | None
    srtt_p50_seconds: float | None
    srtt_p99_seconds: float | None
    retransmits_per_second: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the daemon, sorted; `is_restarted` says that counters began anew."""

    unix_seconds: float
    age_seconds: float
    backend: str
    tier: str
    hierarchy: str
    mode: str
    is_restarted: bool
    rows: tuple[Row, ...]


_SORTS: dict[str, Callable[[Row], float | None]] = {
    "pressure": lambda row: row.pressure,
    "switches": lambda row: row.switches_per_second,
    "runqueue": lambda row: row.runqueue_p99_seconds,
    "srtt": lambda row: row.srtt_p99_seconds,
    "retransmits": lambda row: row.retransmits_per_second,
    "cgroup": lambda _: None,
}


class Tracker:
    """Turn states into readings: rates against the state before, and what pressure was."""

    def __init__(self, sort: str = "pressure") -> None:
        self._key = _SORTS[sort]
        self._before: State | None = None
        self._history: dict[tuple[int, int], deque[float]] = {}

    def add(self, state: State) -> Reading:
        """Return the reading this state makes."""
        before = self._before
        is_restarted = before is not None and before.instance != state.instance
        if before is None or is_restarted:
            before, self._history = State(), {}
        past = {_owner(each): each for each in before.cgroups}
        elapsed_seconds = (state.monotonic_ns - before.monotonic_ns) / 1e9
        self._remember(state)
        rows = [self._row(each, past.get(_owner(each)), elapsed_seconds) for each in state.cgroups]
        self._before = state
        return Reading(
            unix_seconds=state.unix_seconds,
            age_seconds=state.age_seconds,
            backend=state.backend,
            tier=state.tier,
            hierarchy=state.hierarchy,
            mode=state.mode,
            is_restarted=is_restarted,
            rows=tuple(sorted(rows, key=self._rank)),
        )

    def _remember(self, state: State) -> None:
        self._history = {
            _owner(each): self._history.get(_owner(each), deque(maxlen=HISTORY))
            for each in state.cgroups
        }
        for each in state.cgroups:
            known = each.pressure if each.HasField("pressure") else math.nan
            self._history[_owner(each)].append(known)

    def _row(self, now: CgroupState, before: CgroupState | None, elapsed_seconds: float) -> Row:
        def rate(count: int, count_before: int) -> float | None:
            if before is None or elapsed_seconds <= 0:
                return None
            return (count - count_before) / elapsed_seconds

        past = before or CgroupState()
        return Row(
            cgroup=now.cgroup,
            pressure=now.pressure if now.HasField("pressure") else None,
            history=tuple(self._history[_owner(now)]),
            switches_per_second=rate(now.runqueue.count, past.runqueue.count),
            runqueue_p50_seconds=_p50(now.runqueue),
            runqueue_p99_seconds=_p99(now.runqueue),
            srtt_p50_seconds=_p50(now.srtt),
            srtt_p99_seconds=_p99(now.srtt),
            retransmits_per_second=rate(now.retransmits, past.retransmits),
        )

    def _rank(self, row: Row) -> tuple[float, str]:
        value = self._key(row)
        return (math.inf if value is None else -value, row.cgroup)


def _owner(state: CgroupState) -> tuple[int, int]:
    return state.slot, state.slot_generation


def _p50(latency: Latency) -> float | None:
    return latency.p50_seconds if latency.HasField("p50_seconds") else None


def _p99(latency: Latency) -> float | None:
    return latency.p99_seconds if latency.HasField("p99_seconds") else None


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
        "--sort", choices=tuple(_SORTS), default="pressure", metavar="BY",
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
    return {**record, "cgroups": rows}
