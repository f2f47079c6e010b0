# SPDX-License-Identifier: MIT
"""Turns the room at each tick: hears the node's bins, has the controller decide, tells.

What costs is done as seldom as it may be: bins are read a few times a second, periods looked
for every few seconds, the controller turned when it has something to do, and the waits of others
and the load are read only while there is a source to place.
"""

from __future__ import annotations

import math
import os
from typing import Final

from resonance_bpf.reader import Maps
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Decision, Mode
from resonanced.model import Rhythm, Snapshot
from resonanced.phase.bins import BIN_SECONDS, BinReader
from resonanced.phase.listener import Listener
from resonanced.phase.others import Bools, Load, Others, OthersWaits
from resonanced.phase.registry import Registry
from resonanced.phase.rhythm import Heard, rhythm_of
from resonanced.phase.settings import PhaseSettings
from resonanced.phase.spectrum import Spectrum

__all__ = ["PhaseLoop", "parameters_of"]

_IDLE_SECONDS: Final = 0.5
"""Between decisions while there is nothing to decide; below what counts as a jump of the clock."""
_LOAD_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 0.5
"""*Chosen*: what is known of the sources changes once per chunk."""


def parameters_of(settings: PhaseSettings) -> Parameters:
    """Return the controller's parameters as the configuration has them, for this host's CPUs."""
    return Parameters(
        r_band=settings.r_band,
        k_min=settings.k_min,
        k_max=settings.k_max,
        max_slew_seconds=settings.max_slew_seconds,
        canary_ratio=settings.canary_ratio,
        harm_ratio=settings.harm_ratio,
        hold_anchored=settings.hold_anchored,
        max_sources=settings.max_sources,
        cores=float(os.cpu_count() or 1),
    )


class PhaseLoop:
    """The part of the room that is turned by the daemon's tick.

    Parameters
    ----------
    settings : PhaseSettings
    maps : Maps
        The shared memory; its bins are mapped only if they are analysed.
    registry : Registry
        The sources and their controller.
    load : Load, optional
    """

    def __init__(
        self,
        settings: PhaseSettings,
        maps: Maps,
        registry: Registry,
        load: Load | None = None,
    ) -> None:
        self._registry = registry
        self._load = load or Load()
        self._others = Others(settings.protect)
        self._waits = OthersWaits(maps.runqueue) if maps.has_buckets else None
        cells = maps.runqueue_bins if settings.analysis else None
        self._listener = None if cells is None else Listener(BinReader(cells, maps.clock))
        self._next_load = self._next_telling = self._next_tick = -math.inf
        self._seen: tuple[Mode, int] | None = None
        self._rhythm: Rhythm | None = None
        self._told: tuple[object, ...] = ()

    def observe(self, snapshot: Snapshot) -> Rhythm | None:
        """Look at the node, decide, and return what is known; ``None`` where nothing is.

        Parameters
        ----------
        snapshot : Snapshot
            Made now.
        """
        now = snapshot.monotonic_ns / 1e9
        registry = self._registry
        bins = self._listener.listen(snapshot) if self._listener else None
        is_due = now >= min(self._next_tick, registry.due_seconds)
        is_due = is_due or (registry.mode, len(registry)) != self._seen
        if not len(registry):
            self._forget_others()
        elif bins or is_due:
            chosen = self._others.slots(snapshot.slots, registry.cgroup_ids())
            if bins:
                events, waits = bins.total(chosen)
                registry.observe_bins(bins.start_ns / 1e9, BIN_SECONDS, events, waits)
            if now >= min(registry.due_seconds, self._next_load):
                self._observe_others(now, chosen)
        if not is_due:
            return self._rhythm
        self._next_tick = now + _IDLE_SECONDS
        self._seen = registry.mode, len(registry)
        return self._tell(now, registry.tick(now))

    def _observe_others(self, now: float, chosen: Bools) -> None:
        """Tell what was waited until now, before it is judged, and how busy the CPUs are."""
        if self._waits:
            self._registry.observe_waits(now, *self._waits.read(chosen))
        if now >= self._next_load:
            self._next_load = now + _LOAD_SECONDS
            busy_ratio = self._load.read()
            if busy_ratio is not None:
                self._registry.observe_load(busy_ratio)

    def _forget_others(self) -> None:
        self._next_load = -math.inf
        self._load.forget()
        if self._waits:
            self._waits.forget()

    def _tell(self, now: float, decision: Decision) -> Rhythm | None:
        """Return the rhythm, made anew when it may have changed."""
        heard = self._listener.heard if self._listener else Heard()
        state = decision.groups[0].state if decision.groups else None
        trips = tuple(decision.trips.values())
        told = (heard, decision.mode, state, trips, len(self._registry))
        if told == self._told and (now < self._next_telling or not len(self._registry)):
            return self._rhythm
        self._told, self._next_telling = told, now + _TELL_SECONDS
        registry = self._registry
        if self._listener is None and not len(registry):
            self._rhythm = None
        else:
            self._rhythm = rhythm_of(
                heard, decision, registry.configured_mode, registry.counts(), {**registry.commands}
            )
        return self._rhythm

    def spectrum(self) -> Spectrum | None:
        """Return the series of the analysis; ``None`` where nothing is analysed."""
        return self._listener.spectrum() if self._listener else None
