# SPDX-License-Identifier: MIT
"""A service to measure: the daemon as it ships, and 64 cgroups in which something lives."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_bpf.hierarchy import find_hierarchy

CGROUPS: Final = 64
_WAKEUPS_PER_SECOND: Final = 20.0
_START_SECONDS: Final = 20.0
_SLOTS_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1
_CPUCLOCK_SCHED: Final = 2


@dataclass(frozen=True, slots=True)
class Service:
    """A running daemon.

    Attributes
    ----------
    pids : tuple of int
        Keeper and daemon.
    """

    directory: Path
    port: int
    pids: tuple[int, ...]

    @property
    def socket(self) -> Path:
        return self.directory / "hints.sock"

    @property
    def page(self) -> Path:
        return self.directory / "hints.page"

    def scrape(self) -> str:
        """Do what Prometheus does."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text: str = answer.read().decode()
            return text

    def cpu_seconds(self) -> float:
        """Return user and system time of all processes, ended threads included."""
        # MAKE_PROCESS_CPUCLOCK, include/linux/posix-timers_types.h; /proc rounds to 10 ms.
        return sum(time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED) for pid in self.pids)

    def memory_bytes(self, field: str) -> int:
        """Return the sum of a field of ``smaps_rollup``; only Pss counts shared pages once."""
        texts = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids)
        found = (re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE) for text in texts)
        return sum(int(match[1]) * 1024 for match in found if match)


@contextmanager
def service(port: int, *arguments: str) -> Iterator[Service]:
    """Start the daemon in a directory of its own; end it as systemd would."""
    command = shutil.which("resonanced", path=os.path.dirname(sys.executable))
    if command is None:
        raise RuntimeError("resonanced is not installed beside this Python; run: make bench-...")
    with tempfile.TemporaryDirectory(prefix="resonance-bench-", dir="/run") as parent:
        os.chmod(parent, 0o755)
        directory = Path(parent) / "resonance"
        options = ["--no-view", "--port", str(port), "--runtime-directory", str(directory)]
        keeper = subprocess.Popen(
            [command, "run", *options, *arguments], stdout=subprocess.PIPE, text=True
        )
        try:
            _wait_until_it_serves(keeper)
            yield Service(directory, port, (keeper.pid, *_children(keeper.pid)))
        finally:
            keeper.terminate()
            keeper.wait(_STOP_SECONDS)


def _wait_until_it_serves(keeper: subprocess.Popen[str]) -> None:
    assert keeper.stdout is not None
    for line in keeper.stdout:
        if line.split()[:1] == ["hints"]:
            return
    raise RuntimeError(f"resonanced ended with status {keeper.wait(_START_SECONDS)}")


def _children(pid: int) -> tuple[int, ...]:
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


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
