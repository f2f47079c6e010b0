# SPDX-License-Identifier: MIT
"""What one answer of the daemon says, beside the one before: rates, and what pressure was."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resonance.cli.rhythm import Rhythm, rhythm_from_wire
from resonance_api.hints.v1.hints_pb2 import CgroupState, Latency, State

__all__ = ["HISTORY", "SORTS", "Reading", "Row", "Tracker"]

HISTORY = 60
"""Readings a sparkline remembers."""


@dataclass(frozen=True, slots=True)
class Row:
    """One cgroup at one reading; ``None`` is "not known"."""

    cgroup: str
    pressure: float | None
    history: tuple[float, ...] = dataclasses.field(repr=False)
    switches_per_second: float | None
    runqueue_p50_seconds: float | None
    runqueue_p99_seconds: float | None
    srtt_p50_seconds: float | None
    srtt_p99_seconds: float | None
    retransmits_per_second: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the daemon, sorted; `is_restarted` says that counters began anew."""

    unix_seconds: float
    age_seconds: float
    backend: str
    tier: str
    hierarchy: str
    mode: str
    is_restarted: bool
    rows: tuple[Row, ...]
    rhythm: Rhythm | None = None


_STILL_SECONDS = 2.5
"""Counts that stay the same for so long are those of a cgroup that does nothing."""

SORTS: dict[str, Callable[[Row], float | None]] = {
    "pressure": lambda row: row.pressure,
    "switches": lambda row: row.switches_per_second,
    "runqueue": lambda row: row.runqueue_p99_seconds,
    "srtt": lambda row: row.srtt_p99_seconds,
    "retransmits": lambda row: row.retransmits_per_second,
    "cgroup": lambda _: None,
}


class Tracker:
    """Turn states into readings: rates against the state before, and what pressure was."""

    def __init__(self, sort: str = "pressure") -> None:
        self._key = SORTS[sort]
        self._before: State | None = None
        self._rates: dict[tuple[int, int], tuple[float | None, float | None]] = {}
        self._history: dict[tuple[int, int], deque[float]] = {}

    def add(self, state: State) -> Reading:
        """Return the reading this state makes."""
        before = self._before
        is_restarted = before is not None and before.instance != state.instance
        if before is None or is_restarted:
            self._before = before = State(instance=state.instance)
            self._rates, self._history = {}, {}
        self._count(before, state)
        self._remember(state)
        rows = [self._row(each) for each in state.cgroups]
        return Reading(
            unix_seconds=state.unix_seconds,
            age_seconds=state.age_seconds,
            backend=state.backend,
            tier=state.tier,
            hierarchy=state.hierarchy,
            mode=state.mode,
            is_restarted=is_restarted,
            rows=tuple(sorted(rows, key=self._rank)),
            rhythm=rhythm_from_wire(state),
        )

    def _count(self, before: State, state: State) -> None:
        """Compute rates against the state that had other counts, or keep those there are.

        The daemon counts anew once a second and answers more often: an answer with the old
        counts says nothing of how many there were meanwhile.
        """
        elapsed_seconds = (state.monotonic_ns - before.monotonic_ns) / 1e9
        if _counts(state) == _counts(before) and elapsed_seconds < _STILL_SECONDS:
            return
        past = _counts(before)
        self._rates = {
            owner: _rates(counts, past.get(owner), elapsed_seconds)
            for owner, counts in _counts(state).items()
        }
        self._before = state

    def _remember(self, state: State) -> None:
        self._history = {
            _owner(each): self._history.get(_owner(each), deque(maxlen=HISTORY))
            for each in state.cgroups
        }
        for each in state.cgroups:
            known = each.pressure if each.HasField("pressure") else math.nan
            self._history[_owner(each)].append(known)

    def _row(self, now: CgroupState) -> Row:
        switches_per_second, retransmits_per_second = self._rates.get(_owner(now), (None, None))
        return Row(
            cgroup=now.cgroup,
            pressure=now.pressure if now.HasField("pressure") else None,
            history=tuple(self._history[_owner(now)]),
            switches_per_second=switches_per_second,
            runqueue_p50_seconds=_p50(now.runqueue),
            runqueue_p99_seconds=_p99(now.runqueue),
            srtt_p50_seconds=_p50(now.srtt),
            srtt_p99_seconds=_p99(now.srtt),
            retransmits_per_second=retransmits_per_second,
        )

    def _rank(self, row: Row) -> tuple[float, str]:
        value = self._key(row)
        return (math.inf if value is None else -value, row.cgroup)


def _owner(state: CgroupState) -> tuple[int, int]:
    return state.slot, state.slot_generation


def _counts(state: State) -> dict[tuple[int, int], tuple[int, int]]:
    return {_owner(each): (each.runqueue.count, each.retransmits) for each in state.cgroups}


def _rates(
    now: tuple[int, int], before: tuple[int, int] | None, elapsed_seconds: float
) -> tuple[float | None, float | None]:
    if before is None or elapsed_seconds <= 0:
        return None, None
    switches, retransmits = (count - past for count, past in zip(now, before, strict=True))
    return switches / elapsed_seconds, retransmits / elapsed_seconds


def _p50(latency: Latency) -> float | None:
    return latency.p50_seconds if latency.HasField("p50_seconds") else None


def _p99(latency: Latency) -> float | None:
    return latency.p99_seconds if latency.HasField("p99_seconds") else None
