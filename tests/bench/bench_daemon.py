# SPDX-License-Identifier: MIT
"""CPU and memory of all our processes, with 64 cgroups.

Quiet: 10 Hz, a scrape every 15 s, nobody reads the page. Sources: eight processes with a timer
of 100 ms each, which are being placed or have been. Read: 64 processes read the page 200 times
a second each, through the SDK. CPU time of the others is not counted. All take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import paired
import resonance
import resonance.hints
import running
from paired import Estimate, Result
from running import Service

QUIET_BAR_PERCENT: Final = 1.0
SOURCES_BAR_PERCENT: Final = 1.0
READ_BAR_PERCENT: Final = 3.0
MEMORY_BAR_BYTES: Final = 80_000_000
_PLACEBO_BAR: Final = 1.25
"""*Chosen*: two quarter-minutes of a per cent of a core."""
_SCRAPE_SECONDS: Final = 15.0
_READ_SECONDS: Final = 15.0
_READS_PER_SECOND: Final = 200.0
_SOURCES: Final = 8
_PERIOD_SECONDS: Final = 0.1
_WORK_SECONDS: Final = 0.002
_PLACED_SECONDS: Final = 30.0
"""For the controller to have a baseline, to place the sources, and to judge what that is worth."""
_SETTLE_SECONDS: Final = 2.0
"""For the daemon to see that readers have come or gone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of 96 seconds each")
    parser.add_argument("--port", type=int, default=9766, help="for the metrics")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    with (
        running.populated_cgroups() as cgroups,
        _configured() as configuration,
        running.service(arguments.port, "--config", configuration) as service,
    ):
        running.await_slots(service)
        quiet = partial(_quiet_percent, service)
        sources = partial(_sources_percent, service, cgroups)
        read = partial(_read_percent, service, cgroups)
        arms = {"quiet": quiet, "quiet again": quiet, "sources": sources, "read": read}
        percent = paired.interleave(arms, arguments.rounds)
        memory = {field: service.memory_bytes(field) for field in ("Rss", "Pss")}
    return paired.conclude("daemon", _results(percent, memory))


@contextmanager
def _configured() -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", prefix="resonance-bench-", suffix=".toml") as file:
        file.write('[phase]\nmode = "active"\n')
        file.flush()
        yield file.name


def _quiet_percent(service: Service) -> float:
    return _percent(service, _SCRAPE_SECONDS)


def _sources_percent(service: Service, cgroups: Sequence[Path]) -> float:
    origin = time.monotonic() + 1.0
    pids = [
        running.spawn(partial(_flush, service.socket, f"bench-{number}", origin), cgroup)
        for number, cgroup in enumerate(cgroups[:_SOURCES])
    ]
    try:
        time.sleep(_PLACED_SECONDS)
        return _percent(service, _SCRAPE_SECONDS)
    finally:
        running.end(pids)
        time.sleep(_SETTLE_SECONDS)


def _flush(socket: Path, name: str, origin: float) -> int:
    os.environ["RESONANCE_HINTS_SOCKET"] = os.fspath(socket)
    for _ in resonance.every(_PERIOD_SECONDS, name=name, phase_free=True, origin=origin):
        end = time.thread_time() + _WORK_SECONDS
        while time.thread_time() < end:
            pass
    return 0


def _read_percent(service: Service, cgroups: Sequence[Path]) -> float:
    readers = [running.spawn(partial(_read, service.socket), each) for each in cgroups]
    try:
        time.sleep(_SETTLE_SECONDS)
        return _percent(service, _READ_SECONDS)
    finally:
        running.end(readers)
        time.sleep(_SETTLE_SECONDS)


def _percent(service: Service, seconds: float) -> float:
    """Return CPU time over a stretch that begins with a scrape, in per cent of one core."""
    started, before = time.monotonic(), service.cpu_seconds()
    service.scrape()
    time.sleep(seconds)
    return 100.0 * (service.cpu_seconds() - before) / (time.monotonic() - started)


def _read(socket: Path) -> int:
    with resonance.hints.connect(os.fspath(socket)) as hints:
        while True:
            hints.pressure()
            time.sleep(1.0 / _READS_PER_SECOND)


def _results(percent: dict[str, list[float]], memory: dict[str, int]) -> list[Result]:
    for name, values in percent.items():
        print(f"{name:12}  {statistics.median(values):6.2f} % of one core")
    print(f"memory        {memory['Rss'] / 1e6:.1f} MB Rss, {memory['Pss'] / 1e6:.1f} MB Pss")
    quiet = percent["quiet"] + percent["quiet again"]
    share = memory["Rss"] / MEMORY_BAR_BYTES
    return [
        Result(
            "A/A: CPU, quiet",
            "quiet again",
            paired.placebo(percent["quiet again"], percent["quiet"]),
            _PLACEBO_BAR,
            is_placebo=True,
        ),
        Result(
            "CPU, 10 Hz, 64 cgroups", "1 % of a core", paired.within(quiet, QUIET_BAR_PERCENT), 1.0
        ),
        Result(
            "CPU, 8 sources of 100 ms",
            "1 % of a core",
            paired.within(percent["sources"], SOURCES_BAR_PERCENT),
            1.0,
        ),
        Result(
            "CPU, 64 readers at 200 Hz",
            "3 % of a core",
            paired.within(percent["read"], READ_BAR_PERCENT),
            1.0,
        ),
        Result("Rss of all processes", "80 MB", Estimate(share, share, share), 1.0),
    ]


if __name__ == "__main__":
    sys.exit(main())
