# SPDX-License-Identifier: MIT
"""How long does the service take to start and to stop, with everything it turned put back?

As systemd sees it: a start ends with READY=1; a stop begins with SIGTERM and ends when the
command of ExecStopPost= has. Its sandbox is not here. Tuned: two cgroups of our own are turned
before it serves, and each time it is made sure that all of them is as before.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import paired
import running
from paired import Result
from resonance_tuning.host import Host

START_BAR_SECONDS: Final = 3.0
STOP_BAR_SECONDS: Final = 2.0
_PLACEBO_BAR: Final = 1.25
"""*Chosen*: a tenth of a second of the half that a start takes, and what a busy core adds."""
_PATIENCE_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 0.5
"""For the service to have served for a few ticks."""
_COMMAND: Final = Path(sys.executable).with_name("resonanced")
_TUNED: Final = Path(__file__).with_name("serving_tuned.py")
_PROFILE: Final = """\
description = "What this bench turns."
[latency_critical]
cpu_weight = 1000
[batch]
cpu_idle = 1
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds that one run took, to start and to stop."""

    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Groups:
    """Two cgroups, and the files of theirs that are turned."""

    names: tuple[str, str]
    files: tuple[Path, ...]

    def values(self) -> list[bytes]:
        """Return what the files hold."""
        return [path.read_bytes() for path in self.files]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of three runs each")
    parser.add_argument("--port", type=int, default=9767, help="for the metrics")
    parser.add_argument("--backend", default="core", help="how to measure")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    with (
        tempfile.TemporaryDirectory(prefix="resonance-bench-") as name,
        _groups() as groups,
    ):
        place = Path(name)
        place.chmod(0o755)  # the daemon tells from there that it is ready, and is not root
        tables = _tables(place, arguments.port, arguments.backend)
        plain = partial(_run, place, _configure(place / "plain.toml", tables), groups)
        tuned_tables = tables | _tuning(place, groups)
        tuned = partial(_run, place, _configure(place / "tuned.toml", tuned_tables), groups)
        arms = {
            "observing": partial(plain, is_tuned=False),
            "observing again": partial(plain, is_tuned=False),
            "tuned": partial(tuned, is_tuned=True),
        }
        runs = paired.interleave(arms, arguments.rounds)
    return paired.conclude("service", _results(runs))


def _tables(place: Path, port: int, backend: str) -> dict[str, dict[str, Any]]:
    bpffs = place / "bpffs"
    bpffs.mkdir()
    return {
        "service": {"runtime_directory": str(place / "run"), "log_level": "warning"},
        "probes": {"backend": backend, "bpffs_directory": str(bpffs)},
        "telemetry": {"port": port},
        "tuning": {"journal_directory": str(place / "journal")},
    }


def _tuning(place: Path, groups: Groups) -> dict[str, dict[str, Any]]:
    profiles = place / "profiles"
    profiles.mkdir()
    (profiles / "bench.toml").write_text(_PROFILE)
    web, hogs = groups.names
    return {
        "tuning": {
            "mode": "active",
            "profile": "bench",
            "profiles_directory": str(profiles),
            "journal_directory": str(place / "journal"),
        },
        "tuning.latency_critical": {"cgroups": [web]},
        "tuning.batch": {"cgroups": [hogs]},
    }


def _configure(path: Path, tables: dict[str, dict[str, Any]]) -> Path:
    """Write a configuration file; what JSON makes of these values TOML reads as the same."""
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def _groups() -> Iterator[Groups]:
    host = Host()
    cpu, unified = host.controller("cpu"), host.unified
    if cpu is None:
        raise SystemExit("no cgroup hierarchy has the cpu controller")
    roots = {cpu.directory, *([unified.directory] if unified else [])}
    names = (f"resonance-bench-{os.getpid()}-web", f"resonance-bench-{os.getpid()}-hogs")
    weight = "cpu.shares" if cpu.version == 1 else "cpu.weight"
    files = (cpu.directory / names[0] / weight, cpu.directory / names[1] / "cpu.idle")
    made: list[Path] = []
    try:
        for directory in (root / name for root in roots for name in names):
            directory.mkdir()
            made.append(directory)
        yield Groups((f"/{names[0]}", f"/{names[1]}"), files)
    finally:
        for directory in made:
            running.remove_cgroup(directory)


def _run(place: Path, config: Path, groups: Groups, *, is_tuned: bool) -> Run:
    """Start it, let it serve for a moment, stop it; fail if anything is not as it was."""
    before = groups.values()
    program = [sys.executable, str(_TUNED)] if is_tuned else [str(_COMMAND), "run", "--config"]
    with _notifications(place / "notify") as (address, heard):
        started = time.monotonic()
        service = subprocess.Popen(
            [*program, str(config)],
            env=os.environ | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _await_ready(heard)
            start = time.monotonic() - started
            time.sleep(_SETTLE_SECONDS)
            if (groups.values() != before) != is_tuned:
                raise RuntimeError(f"turned: {groups.values()}; before: {before}")
            stopping = time.monotonic()
            service.send_signal(signal.SIGTERM)
            status = service.wait(_PATIENCE_SECONDS)
            _roll_back(config)
            stop = time.monotonic() - stopping
        finally:
            if service.poll() is None:
                service.terminate()
                service.wait(_PATIENCE_SECONDS)
    left = [path.name for path in (place / "run", *(place / "bpffs").iterdir()) if path.exists()]
    if status or left or groups.values() != before:
        raise RuntimeError(f"status {status}; left: {left}, {groups.values()}; before: {before}")
    return Run(start, stop)


@contextmanager
def _notifications(path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Give the address a service manager would listen at, and the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        try:
            path.chmod(0o777)
            heard.settimeout(_PATIENCE_SECONDS)
            yield str(path), heard
        finally:
            path.unlink()


def _await_ready(heard: socket.socket) -> None:
    while b"READY=1" not in heard.recv(4096).split(b"\n"):
        pass


def _roll_back(config: Path) -> None:
    """Do what ExecStopPost= does."""
    command = [str(_COMMAND), "rollback", "--left-by-services", "--config", str(config)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _results(runs: dict[str, list[Run]]) -> list[Result]:
    for name, values in runs.items():
        start = statistics.median(run.start for run in values)
        stop = statistics.median(run.stop for run in values)
        worst = max(run.stop for run in values)
        print(f"{name:16}  start {start:5.2f} s   stop {stop:5.2f} s, at most {worst:5.2f} s")
    starts = {name: [run.start for run in values] for name, values in runs.items()}
    stops = {name: [run.stop for run in values] for name, values in runs.items()}
    return [
        Result(
            "A/A: start to READY=1",
            "observing again",
            paired.placebo(starts["observing again"], starts["observing"]),
            _PLACEBO_BAR,
            is_placebo=True,
        ),
        _within("start to READY=1", starts["observing"] + starts["observing again"], _START),
        _within("start to READY=1, tuned", starts["tuned"], _START),
        _within("stop", stops["observing"] + stops["observing again"], _STOP),
        _within("stop with undo", stops["tuned"], _STOP),
    ]


_START: Final = ("3 s", START_BAR_SECONDS)
_STOP: Final = ("2 s", STOP_BAR_SECONDS)


def _within(what: str, seconds: Sequence[float], bar: tuple[str, float]) -> Result:
    return Result(what, bar[0], paired.within(seconds, bar[1]), 1.0)


if __name__ == "__main__":
    sys.exit(main())
