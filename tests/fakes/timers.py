# SPDX-License-Identifier: MIT
"""The tools of systemd as programs that print what a Debian 12 host with five timers more does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TEN_O_CLOCK_US = 1_790_244_000_000_000
"""2026-09-24 10:00:00 UTC."""
_MINUTE_US = 60_000_000


@dataclass(frozen=True)
class FakeTimer:
    """One timer, in the words of systemctl."""

    unit: str
    calendar: str = ""
    monotonic: tuple[str, ...] = ()
    last_us: int | None = None
    next_us: int | None = None
    accuracy: str = "1min"
    delay: str = "0"
    fixed: str = "no"
    cpu: str = "[not set]"
    started_us: int = 0
    ended_us: int = 0

    @property
    def service(self) -> str:
        return self.unit.replace(".timer", ".service")

    def shown(self) -> str:
        lines = [f"Unit={self.service}"]
        lines += [
            f"TimersMonotonic={{ {each} ; next_elapse=1d 15min 2.3s }}" for each in self.monotonic
        ]
        if self.calendar:
            elapse = "Fri 2026-09-25 00:00:00 UTC"
            lines += [f"TimersCalendar={{ OnCalendar={self.calendar} ; next_elapse={elapse} }}"]
        lines += [f"AccuracyUSec={self.accuracy}", f"RandomizedDelayUSec={self.delay}"]
        lines += [f"FixedRandomDelay={self.fixed}"] if self.fixed else []
        return "\n".join([*lines, f"Id={self.unit}"])

    def service_shown(self) -> str:
        return (
            f"ExecMainStartTimestampMonotonic={self.started_us}\n"
            f"ExecMainExitTimestampMonotonic={self.ended_us}\n"
            f"CPUUsageNSec={self.cpu}\nId={self.service}"
        )


def _every_ten_minutes(unit: str, cpu_seconds: float, late_us: int, **changes: str) -> FakeTimer:
    return FakeTimer(
        unit,
        calendar="*-*-* *:00/10:00",
        last_us=TEN_O_CLOCK_US + late_us,
        cpu=str(round(cpu_seconds * 1e9)),
        **changes,  # type: ignore[arg-type]
    )


HOST = (
    FakeTimer(
        "apt-daily.timer", "*-*-* 06,18:00:00", delay="12h",
        last_us=TEN_O_CLOCK_US - 97 * _MINUTE_US, cpu="1870000000",
    ),
    FakeTimer(
        "systemd-tmpfiles-clean.timer",
        monotonic=("OnUnitActiveUSec=1d", "OnBootUSec=15min"),
        last_us=TEN_O_CLOCK_US - 300 * _MINUTE_US, started_us=2_000, ended_us=152_000,
    ),
    FakeTimer("dpkg-db-backup.timer", "*-*-* 00:00:00", last_us=TEN_O_CLOCK_US - 600 * _MINUTE_US,
              cpu="310000000"),
    FakeTimer("logrotate.timer", "*-*-* 00:00:00", last_us=TEN_O_CLOCK_US - 600 * _MINUTE_US,
              accuracy="1h", cpu="420000000"),
    FakeTimer("man-db.timer", "*-*-* 00:00:00", last_us=TEN_O_CLOCK_US - 212 * _MINUTE_US,
              delay="12h", fixed="yes", cpu="2400000000"),
    FakeTimer("report.timer", "Mon..Fri *-*-* 09:00:00", next_us=TEN_O_CLOCK_US + 9 * _MINUTE_US),
    FakeTimer("never.timer", "*-02-30 00:00:00"),
    _every_ten_minutes("metrics-push.timer", 2.1, 31_000),
    _every_ten_minutes("cache-warm.timer", 8.4, 32_000),
    _every_ten_minutes("session-gc.timer", 3.0, 33_000),
    _every_ten_minutes("thumbnails.timer", 6.2, 34_000, accuracy="1s"),
    _every_ten_minutes("search-index.timer", 4.4, 35_000),
)  # fmt: skip

CALENDARS = {
    "*-*-* 06,18:00:00": [
        f"2026-09-{day} {hour}:00:00" for day in (24, 25, 26) for hour in ("06", "18")
    ],
    "*-*-* 00:00:00": [f"2026-09-{day} 00:00:00" for day in range(25, 31)],
    "Mon..Fri *-*-* 09:00:00": [f"2026-09-{day} 09:00:00" for day in (24, 25, 28, 29, 30)],
    "*-*-* *:00/10:00": [f"2026-09-24 10:{minute}0:00" for minute in range(6)],
    "*-02-30 00:00:00": [],
}  # fmt: skip


def _analyzed(calendar: str, elapses: Sequence[str]) -> str:
    lines = [f"Normalized form: {calendar}"]
    for number, elapse in enumerate(elapses, 1):
        label = "Next elapse" if number == 1 else f"Iter. #{number}"
        lines += [f"{label:>15}: Thu {elapse} UTC", "       From now: 12h left"]
    return "\n".join(lines if elapses else [*lines, "    Next elapse: never"])


def install(directory: Path, timers: Sequence[FakeTimer] = HOST) -> None:
    """Write ``systemctl`` and ``systemd-analyze`` into a directory."""
    listed = [
        {
            "next": each.next_us,
            "left": each.next_us,
            "last": each.last_us,
            "passed": each.last_us,
            "unit": each.unit,
            "activates": each.service,
        }
        for each in timers
    ]
    _script(
        directory / "systemctl",
        {
            "list-timers": json.dumps(listed),
            "show --property=Id,Unit": "\n\n".join(each.shown() for each in timers),
            "show --property=Id,CPU": "\n\n".join(each.service_shown() for each in timers),
        },
    )
    _script(
        directory / "systemd-analyze",
        {
            f"calendar --iterations=6 -- {calendar}": _analyzed(calendar, elapses)
            for calendar, elapses in CALENDARS.items()
        },
    )


def _script(path: Path, answers: Mapping[str, str]) -> None:
    cases = "\n".join(
        f"'{question}'*) /bin/cat <<'EOF'\n{answer}\nEOF\n;;"
        for question, answer in answers.items()
    )
    path.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\n*) echo "asked $*" >&2; exit 1;;\nesac\n')
    path.chmod(0o755)
