# SPDX-License-Identifier: MIT
"""How long did calls take that wrk2 sent?

It prints how long they took from when they were due, what failed, and how long it ran; it leaves
out its first ten seconds. The rate it was told it does not print.

References
----------
giltene/wrk2, ``src/wrk.c`` (``main``, ``calibrate``).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Final

from resonance.bench.digest import doubts_of
from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.foreign.wrk2_spectra import UNITS_SECONDS, Spectrum
from resonance.bench.records import Generator, Rule, Run, Slot
from resonance.histogram import Histogram

__all__ = ["read_wrk2"]

_CALIBRATION_SECONDS: Final = 10.0
_STAGGER_SECONDS: Final = 0.005
"""For each connection of a thread, by which its calibration ends later."""
_MOST_BYTES: Final = 2**20
"""*Chosen*: what wrk2 prints is a few kilobytes."""

_RUNNING: Final = re.compile(r"Running \S+ test @ (\S+)")
_THREADS: Final = re.compile(r" *(\d+) threads and (\d+) connections")
_CALIBRATED: Final = " Thread calibration:"
_DISTRIBUTION: Final = re.compile(r" *Latency Distribution(?: \(HdrHistogram - (\w+) Latency.*\))?")
_REQUESTS: Final = re.compile(r" *(\d+) requests in (\d+\.\d+)(us|ms|s|m|h), .*read")
_ERRORS: Final = re.compile(
    r" *Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)"
)
_STATUS: Final = re.compile(r" *Non-2xx or 3xx responses: (\d+)")
_END: Final = "Requests/sec:"


@dataclass(slots=True)
class _Printed:
    """What wrk2 printed."""

    where: str
    url: str = ""
    threads: int = 0
    connections: int = 0
    is_calibrated: bool = False
    spectra: dict[str, Spectrum] = field(default_factory=dict[str, Spectrum])
    now: Spectrum | None = None
    requests: int = 0
    seconds: float = 0.0
    failed: dict[str, int] = field(default_factory=dict[str, int])
    is_whole: bool = False


def read_wrk2(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    target: str | None = None,
    rate_per_second: float | None = None,
) -> Run:
    """Return what wrk2 measured as a run of one slot.

    Parameters
    ----------
    path : path-like
        What ``wrk2 --latency`` printed, or ``wrk2 -U``.
    name : str, optional
        Of the arm; that of the file by default.
    target : str, optional
        Where calls went, if not to the URL that wrk2 printed.
    rate_per_second : float, optional
        What it was told with ``-R``, which it does not print; it must be said.

    Returns
    -------
    Run
        With a service time only of ``-U``.

    Raises
    ------
    ResultFormatError
        It is no such text, or was cut off, or its numbers do not fit each other.
    PlanError
        The rate was not said.
    MissingExtraError
        hdrhistogram is not installed.
    OSError
        It cannot be read.
    """
    printed = _printed(path)
    if rate_per_second is None:
        raise PlanError("rate", "wrk2 does not print what -R told it; say --rate R")
    if not (isfinite(rate_per_second) and rate_per_second > 0.0):
        raise PlanError("rate", f"must be above 0 calls per second, not {rate_per_second}")
    return Run(
        version="unknown",
        tool="wrk2",
        name=name or Path(path).name.partition(".")[0],
        target=target or printed.url,
        arrival="constant",
        rate_per_second=rate_per_second,
        machine=None,
        asked={"connections": printed.connections, "threads": printed.threads},
        slots=[_slot(printed, rate_per_second, Path(path).stat().st_mtime)],
    )


def _slot(printed: _Printed, rate_per_second: float, ended_at: float) -> Slot:
    left_out = 0.0
    if printed.is_calibrated:
        each = printed.connections // max(printed.threads, 1)
        left_out = _CALIBRATION_SECONDS + _STAGGER_SECONDS * each
    seconds = max(printed.seconds - left_out, 1e-3)
    response = printed.spectra["Recorded"].histogram()
    uncorrected = printed.spectra.get("Uncorrected")
    recorded = response.count
    planned = max(round(rate_per_second * seconds), recorded)
    failed = dict(printed.failed)
    if planned > recorded:
        failed["none"] = planned - recorded
    return Slot(
        started_at=ended_at - printed.seconds,
        seconds=seconds,
        planned=planned,
        sent=recorded,
        answered=max(recorded - failed.get("status", 0), 0),
        failed=failed,
        response=response.encode(),
        service=(uncorrected.histogram() if uncorrected else Histogram()).encode(),
        lateness=Histogram().encode(),
        generator=Generator(processes=1, connections=printed.connections),
        doubts=doubts_of(
            Rule(),
            achieved_ratio=recorded / planned,
            lateness_p99=None,
            response_p99=response.quantile(0.99),
            foreign_cores=None,
        ),
    )


def _printed(path: str | os.PathLike[str]) -> _Printed:
    where = os.fspath(path)
    with Path(path).open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ResultFormatError(where, "more than 1 MiB was not printed by wrk2")
    printed = _Printed(where)
    lines = content.decode(errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        _take(printed, line, number)
    _check(printed, len(lines))
    return printed


def _take(printed: _Printed, line: str, number: int) -> None:
    if found := _DISTRIBUTION.fullmatch(line):
        if found[1] is None:
            raise ResultFormatError(
                printed.where, f"line {number}: this is of wrk, which waits for answers; run wrk2"
            )
        printed.now = printed.spectra.setdefault(found[1], Spectrum())
    elif printed.now is not None:
        printed.now.take(line, number, printed.where)
        if printed.now.total is not None:
            printed.now = None
    else:
        _take_fact(printed, line, number)


def _take_fact(printed: _Printed, line: str, number: int) -> None:
    if found := _RUNNING.fullmatch(line):
        if printed.url:
            raise ResultFormatError(
                printed.where, f"line {number}: a second run; import one by one"
            )
        printed.url = found[1]
    elif found := _THREADS.fullmatch(line):
        printed.threads, printed.connections = int(found[1]), int(found[2])
    elif found := _REQUESTS.fullmatch(line):
        printed.requests = int(found[1])
        printed.seconds = float(found[2]) * UNITS_SECONDS[found[3]]
    elif found := _ERRORS.fullmatch(line):
        connect, read, write, timeout = map(int, found.groups())
        counts = {"refused": connect, "reset": read + write, "timeout": timeout}
        printed.failed |= {key: count for key, count in counts.items() if count}
    elif found := _STATUS.fullmatch(line):
        printed.failed["status"] = int(found[1])
    printed.is_calibrated |= _CALIBRATED in line
    printed.is_whole |= line.startswith(_END)


def _check(printed: _Printed, lines: int) -> None:
    where = printed.where
    if not printed.url:
        raise ResultFormatError(where, "no line begins with `Running`: not printed by wrk2")
    recorded = printed.spectra.get("Recorded")
    if not printed.is_whole or printed.now is not None:
        raise ResultFormatError(where, f"it was cut off after line {lines}; let wrk2 end by itself")
    if recorded is None or recorded.total is None:
        raise ResultFormatError(where, "it has no spectrum of percentiles; run wrk2 with --latency")
    if not printed.connections or not printed.seconds:
        raise ResultFormatError(where, "a line is missing that tells threads, or requests and time")
    if recorded.total > printed.requests:
        raise ResultFormatError(
            where, f"{recorded.total} calls were recorded of {printed.requests}: not of one run"
        )
