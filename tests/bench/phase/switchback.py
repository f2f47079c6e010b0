# SPDX-License-Identifier: MIT
"""What does the phase controller do for requests beside periodic work?

Eight tasks of 13 ms once in 100 ms and a server of 0.3 ms at 1,000 requests a second, on two
CPUs. Everything runs through; the only thing that changes is the controller's mode, set on the
admin socket at random order within each pair of blocks (a switchback). The first seconds of a
block, in which sources move, are left out, and so is nothing else.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from paired import percentile
from resonance import hints
from resonance.bench.reference.daemon import Daemon
from resonance.bench.reference.phase.neighbours import (
    FLUSHER,
    PERIOD_SECONDS,
    RATE_HZ,
    REQUEST_SECONDS,
    REQUESTS,
    TASKS,
    WORK_SECONDS,
    parsed_answers,
)
from resonance.bench.reference.phase.rounds import controlled, set_mode
from resonance.bench.reference.programs import program
from resonance_tuning.host import Host
from running import remove_cgroup

__all__ = ["Block", "Scene", "run"]

_SETTLE_SECONDS: Final = 9.0
"""Six chunks of baseline, sixteen cycles to see a phase, fifteen to move, and some rest."""
_MEASURED_SECONDS: Final = 8.0
_LEAD_SECONDS: Final = 3.0
_ANSWER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Scene:
    """How the tasks lie.

    Attributes
    ----------
    phases : {"aligned", "random"}
        Where in the period the tasks begin: together to 1 ms, or anywhere, drawn anew.
    has_period : bool
        False: the timers are periodic, the work is not.
    is_apart : bool
        The tasks in a cgroup of their own, the server in another; else all in one, where a
        request competes with each task for itself.
    """

    phases: str
    has_period: bool = True
    is_apart: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One mode for a while.

    Attributes
    ----------
    request_p99, request_p999 : float
        Seconds from when a request was due to its end.
    completion : float
        Mean seconds from a task's release to the end of its work.
    daemon_ratio : float
        CPU time of the service by wall time.
    predicted_ratio : float
        What the controller said the plan would make of the p99; NaN where it did not.
    """

    mode: str
    request_p99: float
    request_p999: float
    completion: float
    daemon_ratio: float
    predicted_ratio: float


@dataclass(frozen=True, slots=True)
class _Span:
    mode: str
    begin: float
    end: float
    cpu_seconds: float
    predicted_ratio: float


def run(scene: Scene, modes: Sequence[str], seed: int) -> list[Block]:
    """Run one pair, or more, of blocks in a random order; return them in the order of `modes`."""
    draw = random.Random(seed)
    order = draw.sample(range(len(modes)), len(modes))
    seconds = len(modes) * (_SETTLE_SECONDS + _MEASURED_SECONDS)
    with ExitStack() as stack:
        tasks, server = stack.enter_context(_cgroups(is_apart=scene.is_apart))
        running = stack.enter_context(controlled(f"/{Path(server[0]).name}"))
        whole = _LEAD_SECONDS + seconds + 1.0
        requests = stack.enter_context(
            _started(
                program(REQUESTS),
                *(str(number) for number in (whole, RATE_HZ, round(REQUEST_SECONDS * 1e9))),
                *server,
            )
        )
        flushers = [
            stack.enter_context(_started(*command, *tasks, socket=running.socket))
            for command in _flushers(scene, draw, whole)
        ]
        time.sleep(_LEAD_SECONDS)
        spans = {place: _block(running, modes[place]) for place in order}
        answers, _ = parsed_answers(_said(requests))
        bursts = [pair for flusher in flushers for pair in _pairs(flusher)]
    requests_seconds = [(each.due_ns / 1e9, each.took_ns / 1e9) for each in answers]
    return [_judged(spans[place], requests_seconds, bursts) for place in range(len(modes))]


def _flushers(scene: Scene, draw: random.Random, seconds: float) -> Iterator[list[str]]:
    origin = time.monotonic() + 1.0
    spread = 0.0 if scene.has_period else PERIOD_SECONDS
    for number in range(TASKS):
        at = draw.gauss(0.0, 0.001) if scene.phases == "aligned" else draw.uniform(0, 0.1)
        numbers = (PERIOD_SECONDS, WORK_SECONDS, spread, origin + at, origin + seconds)
        yield [sys.executable, str(FLUSHER), f"flusher-{number}", *map(str, numbers)]


def _block(running: Daemon, mode: str) -> _Span:
    set_mode(running, mode)
    time.sleep(_SETTLE_SECONDS)
    begin, cpu = time.monotonic(), running.cpu_seconds()
    time.sleep(_MEASURED_SECONDS)
    end = time.monotonic()
    cpu_seconds = running.cpu_seconds() - cpu
    return _Span(mode, begin, end, cpu_seconds, _predicted_ratio(running))


def _judged(
    span: _Span, requests: list[tuple[float, float]], bursts: list[tuple[float, float]]
) -> Block:
    def within(pairs: list[tuple[float, float]]) -> list[float]:
        return [took for due, took in pairs if span.begin <= due < span.end]

    waits, completions = within(requests), within(bursts)
    return Block(
        mode=span.mode,
        request_p99=percentile(waits, 0.99),
        request_p999=percentile(waits, 0.999),
        completion=sum(completions) / len(completions),
        daemon_ratio=span.cpu_seconds / (span.end - span.begin),
        predicted_ratio=span.predicted_ratio,
    )


def _said(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=30)
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return text


def _pairs(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    rows = (line.split() for line in _said(process).splitlines())
    return [(float(due), float(took)) for due, took in rows]


@contextmanager
def _started(*command: str, socket: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | ({"RESONANCE_HINTS_SOCKET": str(socket)} if socket else {})
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def _cgroups(*, is_apart: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Make the cgroups; return the directories by which tasks and server enter theirs."""
    host = Host()
    cpu = host.controller("cpu")
    if cpu is None:
        raise RuntimeError("no cpu controller is mounted")
    names = ["tasks", "server"] if is_apart else ["both"]
    directories = [cpu.directory / f"resonance-bench-{os.getpid()}-{name}" for name in names]
    with ExitStack() as stack:
        for directory in directories:
            directory.mkdir()
            stack.callback(remove_cgroup, directory)
        yield [str(directories[0])], [str(directories[-1])]


def _predicted_ratio(running: Daemon) -> float:
    with hints.connect(running.socket) as daemon:
        state = daemon.state(timeout=_ANSWER_SECONDS)
    known = state and state.rhythm and state.rhythm.predicted_ratio
    return math.nan if known is None else float(known)
