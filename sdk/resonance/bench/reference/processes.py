# SPDX-License-Identifier: MIT
"""The C programs of the rig, started and ended: replicas, and what shares their CPUs.

All of them die with this process. Their CPU time is read from the kernel's own account, to the
nanosecond.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance.bench.errors import ExperimentError

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
    """A running replica.

    Attributes
    ----------
    pids : tuple of int
        Its processes, that which works first.
    port : int
        On the loopback interface.
    cpu : int
        Where it is pinned; -1 for nowhere.
    """

    pids: tuple[int, ...]
    port: int
    cpu: int

    @property
    def name(self) -> str:
        """The file name of the command of its first process, unlike that of any other."""
        command = Path(f"/proc/{self.pids[0]}/cmdline").read_bytes().split(b"\0", 1)[0]
        return os.path.basename(os.fsdecode(command))


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
        """Have jobs begin when they are due.

        Parameters
        ----------
        jobs : sequence of (float, sequence of float)
        start : float
            What they are counted from: on CLOCK_MONOTONIC, in seconds.
        """
        lines = (
            " ".join(str(round(seconds * 1e9)) for seconds in (start + due, *works))
            for due, works in jobs
        )
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines) + "\n")
        self._process.stdin.flush()

    def end(self) -> list[float]:
        """Wait until all of them have ended.

        Returns
        -------
        list of float
            Of each the seconds from when it was due to its end.

        Raises
        ------
        ExperimentError
            The process has ended.
        """
        assert self._process.stdout is not None
        took: list[float] = []
        for line in self._process.stdout:
            if line == "\n":
                return took
            took.append(int(line) / 1e9)
        raise ExperimentError("running batch jobs", f"ended with status {self._process.wait()}")


def calibrate(program: str, work_seconds: float) -> int:
    """Return how many iterations take so much CPU time where nobody disturbs.

    Parameters
    ----------
    program : str
        Of a replica.
    work_seconds : float

    Returns
    -------
    int
    """
    command = [program, "calibrate", str(round(work_seconds * 1e9))]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, threads that have ended included.

    Parameters
    ----------
    pid : int

    Returns
    -------
    float
    """
    # MAKE_PROCESS_CPUCLOCK, include/linux/posix-timers_types.h; /proc rounds to 10 ms.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


@contextmanager
def server(program: str, cpu: int, iterations: int, *directories: str) -> Generator[Server]:
    """Run a replica.

    Parameters
    ----------
    program : str
    cpu : int
        Where it is pinned; -1 for nowhere.
    iterations : int
        Its work for each request.
    *directories : str
        Of the cgroups it enters.

    Yields
    ------
    Server
    """
    with _started(program, "serve", str(cpu), str(iterations), *directories) as process:
        yield Server((process.pid,), int(_first_line(process)), cpu)


@contextmanager
def neighbours(program: str, cpu: int, *directories: str) -> Generator[Neighbours]:
    """Run what will do batch jobs.

    Parameters
    ----------
    program : str
    cpu : int
        Where it is pinned; -1 for nowhere.
    *directories : str
        Of the cgroups it enters.

    Yields
    ------
    Neighbours
    """
    with _started(program, "jobs", str(cpu), *directories) as process:
        yield Neighbours(process)


@contextmanager
def spin(program: str, cpu: int, threads: int, *directories: str) -> Generator[int]:
    """Saturate a CPU with threads that never sleep.

    Parameters
    ----------
    program : str
    cpu : int
    threads : int
    *directories : str
        Of the cgroups they enter.

    Yields
    ------
    int
        The pid of their process.
    """
    with _started(program, "spin", str(cpu), str(threads), *directories) as process:
        _first_line(process)
        yield process.pid


@contextmanager
def _started(*command: str) -> Generator[subprocess.Popen[str]]:
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
        raise ExperimentError(f"starting {process.args!r}", f"ended with status {process.wait()}")
    return line
