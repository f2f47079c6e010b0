# SPDX-License-Identifier: MIT
"""The C programs of the rig, started and ended: replicas, and what shares their CPUs.

All of them die with this process. Their CPU time is read from the kernel's own account, to the
nanosecond.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

__all__ = [
    "Jobs",
    "Neighbours",
    "Server",
    "calibrate",
    "cpu_seconds",
    "neighbours",
    "server",
    "spin",
]

_CPUCLOCK_SCHED: Final = 2

Jobs = Sequence[tuple[float, Sequence[float]]]
"""Batch jobs: seconds after the beginning, and the CPU seconds of each thread."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running replica, and the CPU it is pinned to."""

    pid: int
    port: int
    cpu: int


class Neighbours:
    """Batch jobs on one CPU.

    Parameters
    ----------
    process : subprocess.Popen of str
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def begin(self, jobs: Jobs, start: float) -> None:
        """Have jobs begin when they are due, on CLOCK_MONOTONIC counted from `start`."""
        lines = (
            " ".join(str(round(seconds * 1e9)) for seconds in (start + due, *works))
            for due, works in jobs
        )
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines) + "\n")
        self._process.stdin.flush()

    def end(self) -> list[float]:
        """Wait until all of them have ended; return the seconds from due to ended of each."""
        assert self._process.stdout is not None
        took: list[float] = []
        for line in self._process.stdout:
            if line == "\n":
                return took
            took.append(int(line) / 1e9)
        raise RuntimeError(f"neighbours ended with status {self._process.wait()}")


def calibrate(program: str, work_seconds: float) -> int:
    """Return how many iterations take so much CPU time where nobody disturbs."""
    command = [program, "calibrate", str(round(work_seconds * 1e9))]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, threads that have ended included."""
    # MAKE_PROCESS_CPUCLOCK, include/linux/posix-timers_types.h; /proc rounds to 10 ms.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


@contextmanager
def server(program: str, cpu: int, iterations: int, *directories: str) -> Iterator[Server]:
    """Run a replica on a CPU, or -1 for any, that works so many iterations for each request."""
    with _started(program, "serve", str(cpu), str(iterations), *directories) as process:
        yield Server(process.pid, int(_first_line(process)), cpu)


@contextmanager
def neighbours(program: str, cpu: int, *directories: str) -> Iterator[Neighbours]:
    """Run what will do batch jobs on a CPU."""
    with _started(program, "jobs", str(cpu), *directories) as process:
        yield Neighbours(process)


@contextmanager
def spin(program: str, cpu: int, threads: int, *directories: str) -> Iterator[int]:
    """Saturate a CPU with threads that never sleep; give the pid of their process."""
    with _started(program, "spin", str(cpu), str(threads), *directories) as process:
        _first_line(process)
        yield process.pid


@contextmanager
def _started(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended with status {process.wait()}")
    return line
