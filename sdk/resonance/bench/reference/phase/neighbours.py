# SPDX-License-Identifier: MIT
"""Who runs in the scene of periodic work: eight tasks, a server, and who asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.programs import program

__all__ = [
    "FLUSHER",
    "PERIOD_SECONDS",
    "RATE_HZ",
    "REQUESTS",
    "REQUEST_SECONDS",
    "TASKS",
    "WORK_SECONDS",
    "Answer",
    "Burst",
    "Running",
    "parsed_answers",
    "running",
]

FLUSHER: Final = Path(__file__).with_name("flusher.py")
REQUESTS: Final = Path(__file__).with_name("requests.c")
TASKS: Final = 8
PERIOD_SECONDS: Final = 0.1
WORK_SECONDS: Final = 0.013
RATE_HZ: Final = 1_000.0
REQUEST_SECONDS: Final = 0.0003
_END_SECONDS: Final = 30.0


class Answer(NamedTuple):
    """One request, in nanoseconds.

    Attributes
    ----------
    due_ns : int
        On CLOCK_MONOTONIC.
    late_ns, took_ns : int
        From then until it was sent, and to the end of its work.
    """

    due_ns: int
    late_ns: int
    took_ns: int


class Burst(NamedTuple):
    """One release of a task: when it was due, and the seconds to the end of its work."""

    due: float
    took: float


@dataclass(frozen=True, slots=True)
class Running:
    """What runs.

    Attributes
    ----------
    pids : tuple of int
        All of them.
    requests : subprocess.Popen of str
    flushers : list of subprocess.Popen of str
    """

    pids: tuple[int, ...]
    requests: subprocess.Popen[str]
    flushers: list[subprocess.Popen[str]]

    def ended(self) -> tuple[list[Answer], float, list[Burst]]:
        """Wait until all of them have ended.

        Returns
        -------
        answers : list of Answer
        sender_seconds : float
            CPU time of who asked.
        bursts : list of Burst

        Raises
        ------
        ExperimentError
            One of them failed, or hangs.
        """
        answers, sender_seconds = parsed_answers(_said(self.requests))
        lines = [line.split() for each in self.flushers for line in _said(each).splitlines()]
        return answers, sender_seconds, [Burst(float(due), float(took)) for due, took in lines]


def parsed_answers(text: str) -> tuple[list[Answer], float]:
    """Return what ``requests`` says: each answer, and the CPU seconds of who asked.

    Parameters
    ----------
    text : str

    Returns
    -------
    answers : list of Answer
    sender_seconds : float
    """
    *rows, cpu_ns = text.splitlines()
    answers = [Answer(*map(int, row.split())) for row in rows]
    return answers, int(cpu_ns) / 1e9


@contextmanager
def running(
    phases: Sequence[Sequence[float]],
    request_seconds: float,
    directories: Sequence[str],
    socket: Path,
) -> Generator[Running]:
    """Start the tasks and the server; end at last what has not ended by itself.

    Parameters
    ----------
    phases : sequence of sequence of float
        Of each task in turn the origin of its phase and until when, again and again.
    request_seconds : float
        How long requests are sent, from now.
    directories : sequence of str
        Of the cgroup all are in.
    socket : Path
        The daemon's, for the tasks.

    Yields
    ------
    Running
    """
    numbers = (str(request_seconds), str(RATE_HZ), str(round(REQUEST_SECONDS * 1e9)))
    with ExitStack() as stack:
        flushers = [
            stack.enter_context(_started(*_flusher(place, each), *directories, socket=socket))
            for place, each in enumerate(phases)
        ]
        requests = stack.enter_context(_started(program(REQUESTS), *numbers, *directories))
        pids = tuple(each.pid for each in (*flushers, requests))
        yield Running(pids, requests, flushers)


def _flusher(place: int, phases: Sequence[float]) -> list[str]:
    numbers = (PERIOD_SECONDS, WORK_SECONDS, 0.0, *phases)
    return [sys.executable, str(FLUSHER), f"flusher-{place}", *map(str, numbers)]


@contextmanager
def _started(*command: str, socket: Path | None = None) -> Generator[subprocess.Popen[str]]:
    environment = os.environ | ({"RESONANCE_HINTS_SOCKET": str(socket)} if socket else {})
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str]) -> str:
    try:
        text, _ = process.communicate(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        raise ExperimentError("the phase scene", f"{process.args!r} hangs") from None
    if process.returncode:
        raise ExperimentError(
            "the phase scene", f"{process.args!r} ended with {process.returncode}"
        )
    return text
