# SPDX-License-Identifier: MIT
"""Which cgroup should own which slot? A policy without clock, kernel or files.

Slot 0 is ``other`` and has no owner. The rest go, in this order, to

1. cgroups that a pattern of the operator matches: at once, and never taken back; with no
   slot free they take that of the least busy cgroup which no pattern matches;
2. the busiest others, once they were seen in two looks in a row: what lives shorter stays
   in ``other``. With no slot free, one that is more than twice as busy as the least busy
   owner takes its place.

A slot that lost its owner rests before it is given away: late events of the old owner, and
two scrapes, must not be taken for the new one's. Each owner has a new generation.

How busy a cgroup is: its run-queue events per second, smoothed over the time a slot rests,
so that a cgroup which sleeps for a moment keeps its slot.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from resonance_bpf.catalogue import OTHER_SLOT, SLOTS
from resonanced.model import Slot

__all__ = ["Assign", "Look", "Release", "SlotPolicy"]

LOOKS_BEFORE_SLOT: Final = 2
EVICTION_RATIO: Final = 2.0
"""*Chosen*: two cgroups of like rate must not take turns in a slot."""
_OTHER: Final = Slot(OTHER_SLOT, 1, "other", 0)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known when the policy is asked.

    Attributes
    ----------
    monotonic_seconds : float
        When.
    paths : Mapping of int to str
        Cgroups that exist: id to path.
    events : sequence of int
        Run-queue events per slot since the probes were attached, all owners together.
    candidates : Mapping of int to int
        Busy cgroups without a slot: id to votes, which grow with each event.
    """

    monotonic_seconds: float
    paths: Mapping[int, str]
    events: Sequence[int]
    candidates: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Assign:
    """Count this cgroup's events in this slot from now on."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Release:
    """Count the events of this slot's owner in ``other`` from now on."""

    slot: Slot
    reason: Literal["removed", "evicted"]


class SlotPolicy:
    """The owners of the slots, and who is next.

    Parameters
    ----------
    patterns : sequence of str
        Shell patterns on cgroup paths, as ``fnmatch``.
    quarantine_seconds : float
        How long a slot rests between two owners.
    slots : int
        Slots in all, slot 0 among them.

    Attributes
    ----------
    unplaced_configured : int
        Cgroups matched by a pattern that had no slot after the last look.
    refusals : int
        Assignments the kernel's table had no cell for, since the start.
    """

    def __init__(
        self, patterns: Sequence[str], *, quarantine_seconds: float, slots: int = SLOTS
    ) -> None:
        self._quarantine_seconds = quarantine_seconds
        self._owners: dict[int, Slot] = {}
        self._generations = [0] * slots
        self._free_at = dict.fromkeys(range(1, slots), -math.inf)
        self._refused_until: dict[int, float] = {}
        self._activity = _Activity(quarantine_seconds)
        self._matches = _matcher(patterns)
        self.unplaced_configured = 0
        self.refusals = 0

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return the owned slots in order of index, slot 0 first."""
        return (_OTHER, *(self._owners[index] for index in sorted(self._owners)))

    def configure(self, patterns: Sequence[str]) -> None:
        """Take other patterns; present owners stay, from now on as the patterns say."""
        self._matches = _matcher(patterns)
        for index, slot in self._owners.items():
            self._owners[index] = replace(slot, is_configured=self._matches(slot.cgroup))

    def look(self, look: Look) -> tuple[Assign | Release, ...]:
        """Return what to change now, in the order to do it; it is taken as done.

        An assignment that could not be done is told by `refuse`.
        """
        now = look.monotonic_seconds
        self._activity.observe(look, self._owners)
        self._refused_until = {
            cgroup_id: until
            for cgroup_id, until in self._refused_until.items()
            if until > now and cgroup_id in look.paths
        }
        removed = self._release_removed(look)
        wanting = self._wanting(look)
        evicted = self._evict(wanting[len(self._free_at) :], now)
        assigned = self._assign(wanting, look)
        placed = {action.slot.cgroup_id for action in assigned}
        self.unplaced_configured = sum(
            1 for slot in wanting if slot.is_configured and slot.cgroup_id not in placed
        )
        return (*removed, *evicted, *assigned)

    def refuse(self, slot: Slot, monotonic_seconds: float) -> None:
        """Take back an assignment the kernel's table had no cell for.

        The cgroup stays in ``other`` and is tried again when a rest time has passed. The slot
        saw no event of it and is free at once.
        """
        owner = self._owners.get(slot.index)
        if owner is None or owner.generation != slot.generation:
            return
        self.refusals += 1
        del self._owners[slot.index]
        self._free_at[slot.index] = monotonic_seconds
        self._refused_until[slot.cgroup_id] = monotonic_seconds + self._quarantine_seconds

    def _release_removed(self, look: Look) -> list[Release]:
        gone = [
            slot for slot in self._owners.values() if look.paths.get(slot.cgroup_id) != slot.cgroup
        ]
        return [self._release(slot, "removed", look.monotonic_seconds) for slot in gone]

    def _release(self, slot: Slot, reason: Literal["removed", "evicted"], now: float) -> Release:
        del self._owners[slot.index]
        self._free_at[slot.index] = now + self._quarantine_seconds
        return Release(slot, reason)

    def _wanting(self, look: Look) -> list[Slot]:
        """Return who should have a slot and has none, first come first; index and generation 0."""
        excluded = {slot.cgroup_id for slot in self._owners.values()} | self._refused_until.keys()
        configured = [
            Slot(0, 0, path, cgroup_id, is_configured=True)
            for cgroup_id, path in look.paths.items()
            if cgroup_id not in excluded and self._matches(path)
        ]
        excluded.update(slot.cgroup_id for slot in configured)
        busy = [
            Slot(0, 0, look.paths[cgroup_id], cgroup_id)
            for cgroup_id in self._activity.persistent(look)
            if cgroup_id not in excluded
        ]
        rate = self._activity.rate
        configured.sort(key=lambda slot: (-rate(slot.cgroup_id), slot.cgroup))
        busy.sort(key=lambda slot: (-rate(slot.cgroup_id), slot.cgroup))
        return configured + busy

    def _evict(self, wanting: Sequence[Slot], now: float) -> list[Release]:
        """Free slots for those who get none of the free or resting ones."""
        rate = self._activity.rate
        evictable = sorted(
            (slot for slot in self._owners.values() if not slot.is_configured),
            key=lambda slot: (rate(slot.cgroup_id), slot.index),
        )
        return [
            self._release(victim, "evicted", now)
            for challenger, victim in zip(wanting, evictable, strict=False)
            if challenger.is_configured
            or rate(challenger.cgroup_id) > EVICTION_RATIO * rate(victim.cgroup_id)
        ]

    def _assign(self, wanting: Sequence[Slot], look: Look) -> list[Assign]:
        now = look.monotonic_seconds
        free = sorted(index for index, at in self._free_at.items() if at <= now)
        return [
            self._own(index, challenger) for index, challenger in zip(free, wanting, strict=False)
        ]

    def _own(self, index: int, challenger: Slot) -> Assign:
        self._generations[index] += 1
        slot = replace(challenger, index=index, generation=self._generations[index])
        del self._free_at[index]
        self._owners[index] = slot
        return Assign(slot)


class _Activity:
    """Smoothed events per second, by cgroup id, of owners and candidates alike."""

    def __init__(self, smoothing_seconds: float) -> None:
        self._smoothing_seconds = smoothing_seconds
        self._last: Look | None = None
        self._rates: dict[int, float] = {}
        self._sightings: dict[int, int] = {}

    def rate(self, cgroup_id: int) -> float:
        """Return the events per second of a cgroup, 0 where nothing is known."""
        return self._rates.get(cgroup_id, 0.0)

    def persistent(self, look: Look) -> list[int]:
        """Return the existing candidates that were there for looks enough and are not idle."""
        return [
            cgroup_id
            for cgroup_id, sightings in self._sightings.items()
            if sightings >= LOOKS_BEFORE_SLOT
            and cgroup_id in look.paths
            and self.rate(cgroup_id) > 0.0
        ]

    def observe(self, look: Look, owners: Mapping[int, Slot]) -> None:
        """Take in what happened since the look before."""
        last, self._last = self._last, look
        self._sightings = {
            cgroup_id: self._sightings.get(cgroup_id, 0) + 1 for cgroup_id in look.candidates
        }
        seconds = look.monotonic_seconds - last.monotonic_seconds if last else 0.0
        if last is None or seconds <= 0.0:
            return
        grown = {
            cgroup_id: max(0, votes - last.candidates.get(cgroup_id, 0))
            for cgroup_id, votes in look.candidates.items()
        }
        for index, slot in owners.items():
            grown[slot.cgroup_id] = max(0, look.events[index] - last.events[index])
        weight = -math.expm1(-seconds / self._smoothing_seconds)
        self._rates = {
            cgroup_id: _smoothed(self._rates.get(cgroup_id), events / seconds, weight)
            for cgroup_id, events in grown.items()
        }


def _smoothed(before: float | None, now: float, weight: float) -> float:
    return now if before is None else before + weight * (now - before)


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    pattern = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))
    return lambda path: pattern.fullmatch(path) is not None
