# SPDX-License-Identifier: MIT
"""A service to measure: the daemon as it ships, and 64 cgroups in which something lives."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from resonance.bench.reference import daemon
from resonance.bench.reference.daemon import Daemon
from resonance_bpf.hierarchy import find_hierarchy

CGROUPS: Final = 64
_WAKEUPS_PER_SECOND: Final = 20.0
_SLOTS_SECONDS: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1


class Service(Daemon):
    """A running daemon, and what a bench asks of it."""

    def scrape(self) -> str:
        """Do what Prometheus does."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    def memory_bytes(self, field: str) -> int:
        """Return the sum of a field of ``smaps_rollup``; only Pss counts shared pages once."""
        texts = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids)
        found = (re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE) for text in texts)
        return sum(int(match[1]) * 1024 for match in found if match)


@contextmanager
def service(port: int, *arguments: str) -> Iterator[Service]:
    """Start the daemon in a directory of its own; end it as systemd would."""
    with daemon.service(*arguments, port=port) as running:
        yield Service(running.directory, running.port, running.pids)


def await_slots(running: Service) -> None:
    """Wait until the busiest cgroups have their slots."""
    deadline = time.monotonic() + _SLOTS_SECONDS
    while running.scrape().count("\nresonance_slot_info{") < CGROUPS:
        if time.monotonic() > deadline:
            raise RuntimeError("the cgroups of the bench were not given their slots")
        time.sleep(0.5)


@contextmanager
def populated_cgroups() -> Iterator[list[Path]]:
    """Make the cgroups, each with one task that wakes twenty times a second."""
    mount = find_hierarchy().mount
    parent = mount / f"resonance-bench-{os.getpid()}"
    directories = [parent / f"cgroup-{number:02d}" for number in range(CGROUPS)]
    pids: list[int] = []
    parent.mkdir()
    try:
        for directory in directories:
            directory.mkdir()
        pids = [spawn(_tick, directory) for directory in directories]
        yield directories
    finally:
        end(pids)
        for directory in (*(each for each in directories if each.exists()), parent):
            remove_cgroup(directory)


def _tick() -> int:
    while True:
        time.sleep(1.0 / _WAKEUPS_PER_SECOND)


def remove_cgroup(directory: Path) -> None:
    """Remove a cgroup; one whose last task has just ended may be busy for a moment."""
    for _ in range(100):
        with suppress(OSError):
            directory.rmdir()
            return
        time.sleep(0.02)
    directory.rmdir()


def spawn(work: Callable[[], int], cgroup: Path) -> int:
    """Fork a process that works in a cgroup and dies with this one; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        status = work()
    finally:
        os._exit(status)


def end(pids: list[int]) -> None:
    """End processes that were spawned, and wait for them."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        os.waitpid(pid, 0)
