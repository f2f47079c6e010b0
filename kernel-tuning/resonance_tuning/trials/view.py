# SPDX-License-Identifier: MIT
"""How far is each latency-critical cgroup from its objective? What one window says of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from resonance_tuning.guard import Guard
from resonance_tuning.trials import transport
from resonance_tuning.trials.evidence import FEWEST_EVENTS, Counts, Kind, Window
from resonance_tuning.trials.transport import Transport
from resonance_tuning.trials.trial import Gathering, Windows, p99_seconds

__all__ = ["View", "Viewer"]

_REMEMBERED_WINDOWS: Final = 30
"""For so long the shortest round trip of a path is believed; ten minutes by default."""


@dataclass(frozen=True, slots=True)
class View:
    """The node in one window.

    Attributes
    ----------
    windows : Windows
    loads : dict
        By kind and cgroup: the tail in objectives, above 1 is a breach. Only where it is known.
    paths : dict of str to (Transport, float)
        By cgroup: its paths now, and the shortest round trip for a while, s.
    busy_cpus : float or None
        CPUs that all of them kept busy.
    """

    windows: Windows
    loads: Mapping[Kind, Mapping[str, float]]
    paths: Mapping[str, tuple[Transport, float]]
    busy_cpus: float | None

    def worst(self, kind: Kind) -> str:
        """Return the cgroup that is furthest from its objective, empty where none is known."""
        loads = self.loads[kind]
        return max(loads, key=lambda name: loads[name], default="")


class Viewer:
    """Makes views; remembers how short a path was.

    Parameters
    ----------
    guard : Guard
    upper_ns : (buckets,) uint64
        Inclusive upper edges of the buckets.
    """

    def __init__(self, guard: Guard, upper_ns: Counts) -> None:
        self._guard, self._upper_ns = guard, upper_ns
        self._shortest: dict[str, deque[float]] = {}

    def view(self, gathering: Gathering) -> View:
        """Return what the samples of a window say."""
        windows = gathering.windows()
        paths = self._paths(windows)
        loads: dict[Kind, dict[str, float]] = {
            "runqueue": {
                name: self._runqueue_load(window)
                for name, window in windows.items()
                if window.events("runqueue") >= FEWEST_EVENTS
            },
            "srtt": {
                name: transport.load(now, shortest, self._guard)
                for name, (now, shortest) in paths.items()
            },
        }
        return View(windows, loads, paths, gathering.busy_cpus())

    def _runqueue_load(self, window: Window) -> float:
        p99 = p99_seconds(window, "runqueue", self._upper_ns)
        return p99 / self._guard.slo_runqueue_p99_seconds

    def _paths(self, windows: Windows) -> dict[str, tuple[Transport, float]]:
        now = {
            name: transport.read_transport(window, self._upper_ns)
            for name, window in windows.items()
        }
        self._shortest = {name: seen for name, seen in self._shortest.items() if name in windows}
        paths: dict[str, tuple[Transport, float]] = {}
        for name, found in now.items():
            if found:
                seen = self._shortest.setdefault(name, deque(maxlen=_REMEMBERED_WINDOWS))
                seen.append(found.shortest_seconds)
                paths[name] = found, min(seen)
        return paths
