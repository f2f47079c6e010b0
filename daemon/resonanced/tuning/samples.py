# SPDX-License-Identifier: MIT
"""What did each latency-critical cgroup wait, since the last time one asked?

A snapshot counts since a slot's owner took it. A cgroup's work may be counted in the slots of
the cgroups below it, so theirs are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from resonance_tuning.trials.evidence import Counts, Reading
from resonanced.model import Slot, Snapshot

__all__ = ["SampleReader"]

_NOTHING: Final[tuple[Slot, ...]] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The counters of one slot as they stood."""

    generation: int
    runqueue: Counts
    srtt: Counts | None
    retransmits: int


class SampleReader:
    """Readings of cgroups, each since the one before.

    A slot that another cgroup has taken meanwhile begins anew, and a cgroup that has no slot
    yet is left out.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def read(self, snapshot: Snapshot, cgroups: Iterable[str]) -> dict[str, Reading]:
        """Return the readings of these cgroups since the last call; none without histograms."""
        slots = {cgroup: _slots_of(snapshot, cgroup) for cgroup in cgroups}
        before = self._seen
        self._seen = {
            slot.index: _see(snapshot, slot) for owned in slots.values() for slot in owned
        }
        readings: dict[str, Reading] = {}
        for cgroup, owned in slots.items():
            grown = [
                _grown(before[slot.index], self._seen[slot.index])
                for slot in owned
                if slot.index in before and before[slot.index].generation == slot.generation
            ]
            if grown:
                readings[cgroup] = _added(grown)
        return readings


def _slots_of(snapshot: Snapshot, cgroup: str) -> tuple[Slot, ...]:
    if snapshot.runqueue.buckets is None:
        return _NOTHING
    below = f"{cgroup.rstrip('/')}/"
    return tuple(
        slot
        for slot in snapshot.slots[1:]
        if slot.cgroup == cgroup or slot.cgroup.startswith(below)
    )


def _see(snapshot: Snapshot, slot: Slot) -> _Seen:
    runqueue, sockets = snapshot.runqueue.buckets, snapshot.sockets.get("srtt")
    assert runqueue is not None
    srtt = sockets.buckets if sockets else None
    return _Seen(
        slot.generation,
        runqueue[slot.index],
        None if srtt is None else srtt[slot.index],
        int(snapshot.retransmits[slot.index]),
    )


def _grown(before: _Seen, now: _Seen) -> Reading:
    srtt = None if now.srtt is None or before.srtt is None else now.srtt - before.srtt
    return Reading(now.runqueue - before.runqueue, srtt, now.retransmits - before.retransmits)


def _added(readings: list[Reading]) -> Reading:
    total, *others = readings
    for each in others:
        srtt = None if total.srtt is None or each.srtt is None else total.srtt + each.srtt
        total = Reading(total.runqueue + each.runqueue, srtt, total.retransmits + each.retransmits)
    return total
