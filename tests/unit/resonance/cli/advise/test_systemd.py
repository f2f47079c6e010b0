# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from fakes.timers import TEN_O_CLOCK_US, FakeTimer
from resonance.cli.advise import systemd
from resonance.cli.advise.systemd import Timer, calendar_periods, read_timers, time_span_seconds
from resonance.cli.connection import CommandError

from .conftest import Host

DAY_SECONDS = 86_400.0


def _read() -> dict[str, Timer]:
    return {each.unit: each for each in read_timers(())}


def test_a_host_is_read_whole(host: Host) -> None:
    host()
    timers = _read()
    assert len(timers) == 12
    assert timers["apt-daily.timer"] == Timer(
        unit="apt-daily.timer",
        period_seconds=DAY_SECONDS / 2,
        start_unix_seconds=TEN_O_CLOCK_US / 1e6 - 97 * 60,
        work_seconds=1.87,
        accuracy_seconds=60.0,
        delay_seconds=DAY_SECONDS / 2,
        is_delay_fixed=False,
    )


@pytest.mark.parametrize(
    ("unit", "period_seconds"),
    [
        ("metrics-push.timer", 600.0),
        ("logrotate.timer", DAY_SECONDS),
        ("systemd-tmpfiles-clean.timer", DAY_SECONDS),
        ("report.timer", None),
        ("never.timer", None),
    ],
)
def test_only_equal_distances_make_a_period(
    unit: str, period_seconds: float | None, host: Host
) -> None:
    host()
    assert _read()[unit].period_seconds == period_seconds


def test_two_schedules_make_no_period(host: Host) -> None:
    host([FakeTimer("twice.timer", "*-*-* 00:00:00", monotonic=("OnUnitActiveUSec=1h",))])
    assert _read()["twice.timer"].period_seconds is None


def test_work_is_cpu_time_or_how_long_it_ran_or_unknown(host: Host) -> None:
    host()
    timers = _read()
    assert timers["cache-warm.timer"].work_seconds == 8.4
    assert timers["systemd-tmpfiles-clean.timer"].work_seconds == 0.15
    assert timers["report.timer"].work_seconds is None


def test_the_next_start_stands_in_for_a_last_one(host: Host) -> None:
    host()
    assert _read()["report.timer"].start_unix_seconds == TEN_O_CLOCK_US / 1e6 + 540
    assert _read()["never.timer"].start_unix_seconds is None


def test_a_systemd_before_247_has_no_fixed_delay(host: Host) -> None:
    host([FakeTimer("old.timer", "*-*-* 00:00:00", fixed="")])
    assert _read()["old.timer"].is_delay_fixed is None


def test_no_timer_asks_nothing_further(host: Host) -> None:
    host([])
    assert _read() == {}


@pytest.mark.parametrize(
    ("text", "span_seconds"),
    [
        ("1min", 60.0),
        ("1h 40min", 6000.0),
        ("1.500s", 1.5),
        ("1d 2h", 93_600.0),
        ("1w", 604_800.0),
        ("30", 3e-5),
        ("0", 0.0),
        ("infinity", 0.0),
    ],
)
def test_time_spans(text: str, span_seconds: float) -> None:
    assert time_span_seconds(text) == pytest.approx(span_seconds)


@pytest.mark.parametrize("text", ["soon", "1 fortnight", "-5s", "5s later", "1.2.3s", ".s"])
def test_what_is_no_time_span_is_said(text: str) -> None:
    with pytest.raises(CommandError, match="systemd printed"):
        time_span_seconds(text)


def _systemctl(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = directory / "systemctl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (
            "echo 'System has not been booted with systemd as init system.' >&2; exit 1",
            "systemctl list-timers: System has not been booted with systemd as init system.",
        ),
        ("exit 4", "systemctl list-timers: exit status 4"),
        (
            "echo 'NEXT LEFT LAST'",
            "systemctl list-timers printed no JSON; systemd 247 or later is needed",
        ),
        (
            "echo '[{\"next\": 1}]'",
            "systemctl list-timers printed no JSON; systemd 247 or later is needed",
        ),
    ],
)
def test_a_systemd_that_does_not_answer_is_one_clear_line(
    script: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _systemctl(tmp_path, script, monkeypatch)
    with pytest.raises(CommandError) as raised:
        read_timers(())
    assert str(raised.value) == complaint


def test_a_row_without_a_timer_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemctl(tmp_path, 'echo \'[{"unit": null, "next": 1}]\'', monkeypatch)
    assert read_timers(()) == []


def test_a_start_on_no_day_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "systemd-analyze"
    path.write_text("#!/bin/sh\necho 'Next elapse: Mon 2026-02-30 00:00:00 UTC'\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="2026-02-30 00:00:00"):
        calendar_periods(["daily"])


def test_a_systemd_that_hangs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_ANSWER_SECONDS", 0.1)
    _systemctl(tmp_path, "exec /bin/sleep 20", monkeypatch)
    with pytest.raises(CommandError, match="did not answer"):
        read_timers(())
