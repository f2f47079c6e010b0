# SPDX-License-Identifier: MIT
"""Which timers does systemd run on this host, how often, and how much work do they start?

Four read-only questions to systemd's own tools, whose answers are parsed here. Nothing is
ever changed.

References
----------
systemctl(1), systemd-analyze(1), systemd.timer(5), systemd.time(7) of systemd 247 and later.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from resonance.cli.connection import CommandError

__all__ = ["Timer", "calendar_periods", "read_timers", "time_span_seconds"]

_ANSWER_SECONDS = 20.0
_ITERATIONS = 6
_REGULAR_RATIO = 1e-3
_TIMER_PROPERTIES = (
    "Id,Unit,AccuracyUSec,RandomizedDelayUSec,FixedRandomDelay,TimersCalendar,TimersMonotonic"
)
_SERVICE_PROPERTIES = (
    "Id,CPUUsageNSec,ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic"
)
_SPAN_SECONDS = {
    "us": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "day": 86_400.0,
    "days": 86_400.0, "d": 86_400.0, "week": 604_800.0, "weeks": 604_800.0, "w": 604_800.0,
    "month": 2_629_800.0, "months": 2_629_800.0, "y": 31_557_600.0, "year": 31_557_600.0,
    "years": 31_557_600.0,
}  # fmt: skip
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zμ]+)")
_ENTRY = re.compile(r"\{ (\w+)=(.*?) ; next_elapse=")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d+)?")
_NOT_COUNTED_NS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer as systemd has it.

    Attributes
    ----------
    unit : str
    period_seconds : float or None
        None where it does not run at equal distances.
    start_unix_seconds : float or None
        One of its starts: the last if there was one, else the next.
    work_seconds : float or None
        CPU time of the last run of its service, or how long it ran where CPU time is not
        counted; None where neither is known.
    accuracy_seconds, delay_seconds : float
        ``AccuracySec=``, ``RandomizedDelaySec=``.
    is_delay_fixed : bool or None
        ``FixedRandomDelay=``; None where this systemd does not know it (before 247).
    """

    unit: str
    period_seconds: float | None
    start_unix_seconds: float | None
    work_seconds: float | None
    accuracy_seconds: float
    delay_seconds: float
    is_delay_fixed: bool | None


def read_timers(patterns: Sequence[str]) -> list[Timer]:
    """Return the timers in memory whose name matches one of the patterns, or all.

    Raises
    ------
    CommandError
        systemd is not here, does not answer, or answers what is not understood.
    """
    listed = _listed(_ask("systemctl", "list-timers", "--all", "--output=json", "--", *patterns))
    if not listed:
        return []
    shown = _shown(_ask("systemctl", "show", f"--property={_TIMER_PROPERTIES}", "--", *listed))
    services = sorted({value for each in shown.values() for value in each.get("Unit", [])})
    works = _works(services)
    calendars = {spec for each in shown.values() for _, spec in _entries(each, "TimersCalendar")}
    periods = calendar_periods(sorted(calendars))
    return [
        _timer(unit, listed[unit], shown[unit], works, periods) for unit in listed if unit in shown
    ]


def _ask(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_COLORS": "0"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_ANSWER_SECONDS,
            env=environment,
        )
    except FileNotFoundError as error:
        raise CommandError(
            f"no {command[0]} here: timers can be advised only on a host that runs systemd"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"{command[0]} did not answer within {_ANSWER_SECONDS:.0f} s; try again"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise CommandError(f"{' '.join(command[:2])}: {said[0]}")
    return done.stdout


def _listed(text: str) -> dict[str, float | None]:
    """Return one start of each timer, from ``systemctl list-timers --output=json``."""
    try:
        rows: list[dict[str, Any]] = json.loads(text or "[]")
        return {
            row["unit"]: _instant(row.get("last")) or _instant(row.get("next"))
            for row in rows
            if isinstance(row["unit"], str)
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CommandError(
            "systemctl list-timers printed no JSON; systemd 247 or later is needed"
        ) from error


def _instant(value: object) -> float | None:
    """Return microseconds since 1970 as seconds; 0, null and infinity mean never."""
    if isinstance(value, int) and 0 < value < _NOT_COUNTED_NS:
        return value / 1e6
    return None


def _shown(text: str) -> dict[str, dict[str, list[str]]]:
    """Return the properties of each unit, from ``systemctl show``; some come repeatedly."""
    found: dict[str, dict[str, list[str]]] = {}
    for block in text.split("\n\n"):
        properties: dict[str, list[str]] = {}
        for line in block.splitlines():
            name, _, value = line.partition("=")
            properties.setdefault(name, []).append(value)
        if "Id" in properties:
            found[properties["Id"][0]] = properties
    return found


def _entries(properties: dict[str, list[str]], name: str) -> Iterator[tuple[str, str]]:
    for value in properties.get(name, []):
        yield from _ENTRY.findall(value)


def _works(services: Sequence[str]) -> dict[str, float]:
    if not services:
        return {}
    shown = _shown(_ask("systemctl", "show", f"--property={_SERVICE_PROPERTIES}", "--", *services))
    works = {unit: _work_seconds(properties) for unit, properties in shown.items()}
    return {unit: work for unit, work in works.items() if work is not None}


def _work_seconds(properties: dict[str, list[str]]) -> float | None:
    used_ns = _whole(properties.get("CPUUsageNSec"))
    if used_ns is not None and 0 < used_ns < _NOT_COUNTED_NS:
        return used_ns / 1e9
    began = _whole(properties.get("ExecMainStartTimestampMonotonic"))
    ended = _whole(properties.get("ExecMainExitTimestampMonotonic"))
    if began is None or ended is None or ended <= began:
        return None
    return (ended - began) / 1e6


def _whole(values: list[str] | None) -> int | None:
    return int(values[0]) if values and values[0].isdecimal() else None


def _timer(
    unit: str,
    start_unix_seconds: float | None,
    properties: dict[str, list[str]],
    works: dict[str, float],
    periods: dict[str, float | None],
) -> Timer:
    fixed = properties.get("FixedRandomDelay")
    return Timer(
        unit=unit,
        period_seconds=_period(properties, periods),
        start_unix_seconds=start_unix_seconds,
        work_seconds=works.get(properties.get("Unit", [""])[0]),
        accuracy_seconds=time_span_seconds(properties.get("AccuracyUSec", ["1min"])[0]),
        delay_seconds=time_span_seconds(properties.get("RandomizedDelayUSec", ["0"])[0]),
        is_delay_fixed=None if fixed is None else fixed[0] == "yes",
    )


def _period(properties: dict[str, list[str]], periods: dict[str, float | None]) -> float | None:
    """Return the period of a timer with one schedule; several make no lattice."""
    calendars = [spec for _, spec in _entries(properties, "TimersCalendar")]
    repeats = [
        time_span_seconds(span)
        for base, span in _entries(properties, "TimersMonotonic")
        if base in {"OnUnitActiveUSec", "OnUnitInactiveUSec"}
    ]
    if len(calendars) + len(repeats) != 1:
        return None
    period_seconds = periods.get(calendars[0]) if calendars else repeats[0]
    return period_seconds or None


def calendar_periods(calendars: Sequence[str]) -> dict[str, float | None]:
    """Return the period of each calendar event, None where its distances differ."""
    return {spec: _calendar_period(spec) for spec in calendars}


def _calendar_period(calendar: str) -> float | None:
    text = _ask("systemd-analyze", "calendar", f"--iterations={_ITERATIONS}", "--", calendar)
    instants = [_unix_seconds(line) for line in text.splitlines() if _is_elapse(line)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(instants)]
    if not gaps or max(gaps) > min(gaps) * (1.0 + _REGULAR_RATIO):
        return None
    return sum(gaps) / len(gaps)


def _is_elapse(line: str) -> bool:
    label = line.partition(":")[0].strip()
    return (label == "Next elapse" or label.startswith("Iter")) and bool(_INSTANT.search(line))


def _unix_seconds(line: str) -> float:
    match = _INSTANT.search(line)
    assert match is not None
    try:
        whole = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise CommandError(f"systemd-analyze printed {match[1]!r}, which is no date") from error
    return whole.timestamp() + float(match[2] or 0.0)


def time_span_seconds(text: str) -> float:
    """Return a time span as systemd prints it; a bare number is microseconds.

    >>> time_span_seconds("1min 30s"), time_span_seconds("250ms"), time_span_seconds("0")
    (90.0, 0.25, 0.0)

    Raises
    ------
    CommandError
        It is none.
    """
    if text.isdecimal():
        return int(text) / 1e6
    if text in {"infinity", ""}:
        return 0.0
    parts = _SPAN.findall(text)
    if not parts or _SPAN.sub("", text).strip():
        raise CommandError(f"systemd printed {text!r}, which is no time span we know")
    return sum(_spans(parts))


def _spans(parts: Iterable[tuple[str, str]]) -> Iterator[float]:
    for number, unit in parts:
        if unit not in _SPAN_SECONDS:
            raise CommandError(f"systemd printed the unit {unit!r}, which is not known here")
        yield float(number) * _SPAN_SECONDS[unit]
