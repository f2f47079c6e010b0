# SPDX-License-Identifier: MIT
"""Turns the kernel's shared memory into snapshots: whose waits, how long, how certain.

Ten times a second the sums, for pressure; once a second the histograms, who owns which
slot, and our own cost. It reads memory and ``/proc``; it asks the keeper to change a slot
and never touches the kernel itself.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np

from resonance_bpf.catalogue import SLOTS, SOCKET_KINDS
from resonance_bpf.hierarchy import CgroupHierarchy
from resonance_bpf.reader import Maps, Records
from resonanced.model import Floats, Slot, Snapshot, UInts
from resonanced.signals.cgroups import CgroupDirectory
from resonanced.signals.overhead import read_overhead
from resonanced.signals.pressure import Pressure
from resonanced.signals.settings import SignalsSettings
from resonanced.signals.slots import Assign, Look, SlotPolicy
from resonanced.signals.waits import Waits

__all__ = ["Signals", "Source"]

_FULL_STEP_SECONDS: Final = 1.0
_MISSES_SECONDS: Final = 10.0
_WALK_SECONDS: Final = 5.0
"""How soon a configured cgroup that has not run yet gets its slot."""

SocketKind = Literal["srtt", "connect", "receive"]
_KINDS: Final = cast("tuple[SocketKind, ...]", SOCKET_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What signals need beside the maps: who may write the slot table, and who fills what.

    Attributes
    ----------
    assign : callable of (slot, cgroup_id)
        Returns whether the table had room.
    release : callable of (cgroup_id)
    misses : callable
        Returns skipped executions per program.
    refresh : callable
        Fills the maps where the kernel does not do it by itself; else does nothing.
    pressure : callable of (monotonic_ns), or None
        Returns the pressure where the maps' sums move too seldom to tell it.
    hidden : callable
        Returns how many tasks and surfaces could not be read.
    """

    assign: Callable[[int, int], bool]
    release: Callable[[int], None]
    misses: Callable[[], dict[str, int]] = dict
    refresh: Callable[[], object] = lambda: None
    pressure: Callable[[int], Floats] | None = None
    hidden: Callable[[], int] = lambda: 0


class Signals:
    """The room's one object: owns the slots and every running sum.

    Parameters
    ----------
    settings : SignalsSettings
        The ``[signals]`` table.
    maps : Maps
        The shared memory.
    hierarchy : CgroupHierarchy
        Which tree cgroup ids are looked up in.
    source : Source
        Carries out slot changes, and fills in what the maps do not tell.
    map_bytes : dict of str to int
        Kernel memory per map, passed on.
    """

    def __init__(
        self,
        settings: SignalsSettings,
        maps: Maps,
        hierarchy: CgroupHierarchy,
        source: Source,
        map_bytes: dict[str, int],
    ) -> None:
        self._settings = settings
        self._maps = maps
        self._source = source
        self._map_bytes = map_bytes
        self._sequence = 0
        self._next_full = self._next_misses = self._next_walk = 0.0
        self._votes: dict[int, int] = {}
        self._misses: dict[str, int] = {}
        self._directory = CgroupDirectory(hierarchy.mount)
        self._policy = SlotPolicy(
            settings.cgroups, quarantine_seconds=settings.slot_quarantine_seconds
        )
        self._pressure = Pressure(
            maps.runqueue,
            window_seconds=settings.pressure_window_seconds,
            monotonic_ns=time.monotonic_ns(),
        )
        self._runqueue = self._waits(maps.runqueue)
        self._sockets: dict[SocketKind, Waits] = {}
        if maps.socket is not None:
            # Without BPF, inet_diag tells round trips and nothing else.
            kinds = _KINDS if maps.has_buckets else _KINDS[:1]
            self._sockets = {kind: self._waits(maps.socket[row]) for row, kind in enumerate(kinds)}
        self._retransmits = np.zeros(SLOTS, np.uint64)
        self._retransmits_before = self._retransmit_totals()
        self._last: Snapshot | None = None

    def _waits(self, histograms: Records) -> Waits:
        return Waits(
            histograms,
            has_buckets=self._maps.has_buckets,
            window_seconds=self._settings.percentile_window_seconds,
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The assigned slots, slot 0 first."""
        return self._policy.slots

    def configure(self, settings: SignalsSettings) -> None:
        """Take other cgroup patterns; the rest of the table needs a restart."""
        self._policy.configure(settings.cgroups)
        self._settings = settings
        self._next_walk = 0.0

    def pressure(self, monotonic_ns: int) -> Floats:
        """Read the pressure alone; what the shared page is fed with."""
        read = self._source.pressure or self._pressure.update
        return read(monotonic_ns)

    def tick(self, monotonic_ns: int) -> Snapshot:
        """Read what is new and return the state; once a second, all of it.

        Parameters
        ----------
        monotonic_ns : int
            Now, CLOCK_MONOTONIC.
        """
        self._source.refresh()
        pressure = self.pressure(monotonic_ns)
        now = monotonic_ns / 1e9
        if self._last is None or now >= self._next_full:
            self._next_full = now + _FULL_STEP_SECONDS
            self._last = self._full(monotonic_ns, pressure)
        self._sequence += 1
        self._last = dataclasses.replace(
            self._last,
            monotonic_ns=monotonic_ns,
            unix_seconds=time.time(),
            sequence=self._sequence,
            pressure=pressure,
        )
        return self._last

    def _full(self, monotonic_ns: int, pressure: Floats) -> Snapshot:
        now = monotonic_ns / 1e9
        for waits in (self._runqueue, *self._sockets.values()):
            waits.step(now)
        self._step_retransmits()
        self._place(now)
        if now >= self._next_misses:
            self._next_misses = now + _MISSES_SECONDS
            self._misses = self._source.misses()
        n, sum_ns = self._maps.runqueue["n"], self._maps.runqueue["sum_ns"]
        return Snapshot(
            monotonic_ns=monotonic_ns,
            unix_seconds=time.time(),
            sequence=self._sequence,
            slots=self._policy.slots,
            pressure=pressure,
            runqueue=self._runqueue.distribution(),
            sockets={kind: waits.distribution() for kind, waits in self._sockets.items()},
            retransmits=self._retransmits.copy(),
            cpu_count=n.sum(axis=(1, 2), dtype=np.uint64),
            cpu_sum_ns=sum_ns.sum(axis=(1, 2), dtype=np.uint64),
            class_count=n.sum(axis=(0, 1), dtype=np.uint64),
            class_sum_ns=sum_ns.sum(axis=(0, 1), dtype=np.uint64),
            overhead=dataclasses.replace(
                read_overhead(self._maps, self._misses, self._map_bytes),
                slot_refusals=self._policy.refusals,
                unplaced_configured=self._policy.unplaced_configured,
                skipped_cgroups=self._directory.skipped,
                hidden=self._source.hidden(),
            ),
        )

    def _retransmit_totals(self) -> UInts:
        if self._maps.socket_counters is None:
            return np.zeros(SLOTS, np.uint64)
        totals: UInts = self._maps.socket_counters.sum(axis=0, dtype=np.uint64)
        return totals

    def _step_retransmits(self) -> None:
        totals = self._retransmit_totals()
        self._retransmits += totals - self._retransmits_before
        self._retransmits_before = totals

    def _place(self, now: float) -> None:
        """Let the policy look, and have the keeper carry out what it decided."""
        votes = self._candidates()
        newcomers = any(
            count > self._votes.get(cgroup_id, 0) and cgroup_id not in self._directory.paths
            for cgroup_id, count in votes.items()
        )
        self._votes = votes
        owners = [slot.cgroup_id for slot in self._policy.slots[1:]]
        if newcomers or (self._settings.cgroups and now >= self._next_walk):
            self._next_walk = now + _WALK_SECONDS
            self._directory.walk(keep=owners)
        else:
            self._directory.forget_removed(owners)
        look = Look(now, self._directory.paths, self._runqueue.events().tolist(), votes)
        for action in self._policy.look(look):
            slot = action.slot
            if not isinstance(action, Assign):
                self._source.release(slot.cgroup_id)
                continue
            for waits in (self._runqueue, *self._sockets.values()):
                waits.begin(slot.index)
            self._pressure.begin(slot.index)
            self._retransmits[slot.index] = 0
            if not self._source.assign(slot.index, slot.cgroup_id):
                self._policy.refuse(slot, now)

    def _candidates(self) -> dict[int, int]:
        live = self._maps.candidates[self._maps.candidates["votes"] > 0]
        return dict(zip(live["cgroup_id"].tolist(), live["votes"].tolist(), strict=True))
