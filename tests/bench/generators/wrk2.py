# SPDX-License-Identifier: MIT
"""How far from the truth is our generator, and how far is wrk2?

A server of one thread burns 200 us of CPU for each request. The truth is what a generator in C
has to wait for it, at the same rate and evenly spaced: it speaks frames, for which the server
does the same work. Ours and wrk2 speak HTTP/1.1 with it. Server and generators are in a real-time
class, so that none of it is the scheduler. What is compared is how much each is off at p99.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import paired
from paired import Result
from resonance.bench.errors import BenchError
from resonance.bench.foreign import read_wrk2
from resonance.bench.load import measure as measure_load
from resonance.bench.plan import Load, Stage, Target
from resonance.bench.records import Rule
from resonance.bench.reference.programs import program

BAR: Final = 0.25
_PLACEBO_BAR: Final = 1.25
_RATE: Final = 2_000
_WORK_NS: Final = 200_000
_SECONDS: Final = 4
_WRK2_SECONDS: Final = 14
"""Of which its first ten do not count."""
_CONNECTIONS: Final = 32
_PRIORITY: Final = 10
_P99: Final = 0.99
_HERE: Final = Path(__file__).parent


def measure(rounds: int) -> list[Result]:
    """Return how large our error is beside wrk2's; nothing where there is no wrk2."""
    wrk2 = os.environ.get("RESONANCE_WRK2") or shutil.which("wrk2")
    if wrk2 is None:
        print(
            "wrk2: not measured, as it is not here. Build github.com/giltene/wrk2, and say "
            "RESONANCE_WRK2=/path/to/wrk, or put it on the PATH as wrk2."
        )
        return []
    with _server() as port:
        taken = paired.interleave(
            {
                "truth": partial(_truth, port),
                "truth again": partial(_truth, port),
                "ours": partial(_ours, port),
                "wrk2": partial(_wrk2, wrk2, port),
            },
            rounds,
        )
    for name, values in taken.items():
        print(f"{name:12} p99 " + "  ".join(f"{value * 1e6:6.0f} us" for value in values))
    truth = taken["truth"]
    again = paired.placebo(taken["truth again"], truth)
    beside = paired.compare(_errors(taken["ours"], truth), _errors(taken["wrk2"], truth))
    what = f"p99 error at {_RATE}/s, {_WORK_NS // 1000} us of work"
    return [
        Result("A/A: p99 of the C reference", "again", again, _PLACEBO_BAR, is_placebo=True),
        Result(what, "wrk2", beside, BAR),
    ]


def _errors(values: list[float], truth: list[float]) -> list[float]:
    return [abs(value - true) / true for value, true in zip(values, truth, strict=True)]


@contextmanager
def _server() -> Iterator[int]:
    command = [program(_HERE / "http_server.c"), str(_WORK_NS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _truth(port: int) -> float:
    gap_ns = 1_000_000_000 // _RATE
    moments = (number * gap_ns for number in range(_RATE * _SECONDS))
    done = subprocess.run(
        [program(_HERE.parent / "generator.c"), str(port), str(_CONNECTIONS)],
        input=b"".join(struct.pack("=q", each) for each in moments),
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = (line.split() for line in done.stdout.decode().splitlines())
    figures = {name: [int(each) for each in values] for name, *values in lines}
    assert figures["answered"] == figures["planned"]
    p50, p90, p99, *_ = figures["response"]
    assert p50 <= p90 <= p99
    return p99 / 1e9


def _ours(port: int) -> float:
    load = Load(
        Target("http", "127.0.0.1", port),
        (Stage(float(_SECONDS), float(_RATE)),),
        "constant",
        connections=_CONNECTIONS,
    )
    measured = measure_load(load, rule=Rule())
    for note in measured.notes:
        print(f"ours: {note}")
    return _known(measured.slot.quantile(_P99))


def _wrk2(wrk2: str, port: int) -> float:
    with tempfile.NamedTemporaryFile("w+", suffix=".txt") as printed:
        subprocess.run(
            [
                wrk2, "-t1", f"-c{_CONNECTIONS}", f"-d{_WRK2_SECONDS}s", f"-R{_RATE}", "--latency",
                f"http://127.0.0.1:{port}/",
            ],
            stdout=printed, check=True, preexec_fn=_become_realtime,
        )  # fmt: skip
        (slot,) = read_wrk2(printed.name, rate_per_second=float(_RATE)).slots
    return _known(slot.quantile(_P99))


def _become_realtime() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except PermissionError:
        print("wrk2: no real-time class is permitted", file=sys.stderr)


def _known(p99_seconds: float | None) -> float:
    if p99_seconds is None:
        raise BenchError("no call was answered")
    return p99_seconds
