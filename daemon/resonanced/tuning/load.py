# SPDX-License-Identifier: MIT
"""How many CPUs do the latency-critical cgroups keep busy, and does batch work stand still?

Two small files per cgroup, read every few seconds; what cannot be read is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from resonance_tuning.actuator.pressure_trigger import pressure_file
from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host

__all__ = ["Load"]

_READ_SECONDS: Final = 5.0


class Load:
    """What the kernel's counters grew by between two readings.

    Attributes
    ----------
    busy_cpus : float or None
        CPUs that the latency-critical cgroups kept busy, together.
    batch_full_ratio : float or None
        Share of time in which all tasks of the worst batch cgroup that could run had to wait.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._usages: dict[Path, float] = {}
        self._stalls: dict[Path, float] = {}
        self._read_at = 0.0
        self.busy_cpus: float | None = None
        self.batch_full_ratio: float | None = None

    def look(
        self, now_seconds: float, latency_critical: Sequence[str], batch: Sequence[str]
    ) -> None:
        """Read anew, if it is time."""
        elapsed_seconds = now_seconds - self._read_at
        if elapsed_seconds < _READ_SECONDS:
            return
        self._read_at = now_seconds
        files = [self._usage_files(cgroup) for cgroup in latency_critical]
        usages = _values((path for paths in files for path in paths), _usage_seconds)
        stalls = _values(map(self._stall_file, batch), _stall_seconds)
        used = _grown(self._usages, usages)
        # A group may be in one hierarchy and its tasks in another: the one that saw most is right.
        known = [paths & used.keys() for paths in files]
        busy = [max(used[path] for path in paths) for paths in known if paths]
        stalled = _grown(self._stalls, stalls).values()
        self._usages, self._stalls = usages, stalls
        self.busy_cpus = sum(busy) / elapsed_seconds if busy else None
        self.batch_full_ratio = min(max(stalled) / elapsed_seconds, 1.0) if stalled else None

    def _usage_files(self, cgroup: str) -> frozenset[Path]:
        """Return the files that may count a group's CPU time.

        Version 2 counts it without a controller, and version 1 where ``cpuacct`` is mounted,
        which may be apart from ``cpu`` and know nothing of the group.
        """
        accounting, unified = self._host.controller("cpuacct"), self._host.unified
        places: list[tuple[Path, str]] = []
        if accounting and accounting.version == 1:
            places.append((accounting.directory, "cpuacct.usage"))
        if unified:
            places.append((unified.directory, "cpu.stat"))
        return frozenset(root / cgroup.lstrip("/") / name for root, name in places)

    def _stall_file(self, cgroup: str) -> Path | None:
        try:
            return pressure_file(self._host, cgroup)
        except KnobUnavailableError:
            return None


def _values(
    paths: Iterable[Path | None], parse: Callable[[str], float | None]
) -> dict[Path, float]:
    values: dict[Path, float] = {}
    for path in paths:
        if path is None:
            continue
        try:
            value = parse(path.read_text(encoding="ascii"))
        except OSError:
            continue  # gone, or without pressure
        if value is not None:
            values[path] = value
    return values


def _grown(before: dict[Path, float], now: dict[Path, float]) -> dict[Path, float]:
    return {path: max(now[path] - before[path], 0.0) for path in now.keys() & before.keys()}


def _usage_seconds(text: str) -> float | None:
    """Parse ``cpuacct.usage``, ns, or ``cpu.stat``, whose first line is in us."""
    name, _, value = text.splitlines()[0].rpartition(" ")
    return int(value) / (1e6 if name else 1e9)


def _stall_seconds(text: str) -> float | None:
    """Parse the total of the line ``full`` of ``cpu.pressure``, us."""
    for line in text.splitlines():
        if line.startswith("full "):
            return int(line.rpartition("total=")[2]) / 1e6
    return None
