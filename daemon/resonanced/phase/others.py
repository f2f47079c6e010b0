# SPDX-License-Identifier: MIT
"""How long did those wait who host no source, and is there a CPU left for anything?

It is by their waits that the controller is judged, so they are read whenever it decides, and
not only with the snapshot's histograms.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_bpf.catalogue import OTHER_SLOT, SLOTS
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_bpf.reader import Records
from resonanced.model import Floats, Slot

__all__ = ["Load", "Others", "OthersWaits"]

_UPPER: Final = BUCKET_UPPER_NS.astype(np.float64) / 1e9
_MIDDLE_SECONDS: Final[Floats] = (_UPPER + np.concatenate(([0.0], _UPPER[:-1]))) / 2.0
"""What a wait of each bucket is taken for; at most 1/16 off."""
_STAT: Final = Path("/proc/stat")
_IDLE: Final = slice(3, 5)
_TIMES: Final = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already."""

Bools = npt.NDArray[np.bool_]


class Others:
    """Which slots' waits judge.

    Parameters
    ----------
    protect : tuple of str
        Shell patterns on cgroup paths; empty for all that host no source.
    """

    def __init__(self, protect: tuple[str, ...]) -> None:
        pattern = "|".join(fnmatch.translate(each) for each in protect)
        self._protected = re.compile(pattern).fullmatch if protect else None

    def slots(self, slots: Iterable[Slot], hosts: set[int]) -> Bools:
        """Return which, (SLOTS,) bool.

        A host without a slot of its own is counted in ``other``, which then tells nothing of
        those who are none.

        Parameters
        ----------
        slots : iterable of Slot
            As they are owned now.
        hosts : set of int
            Ids of the cgroups that host a source.
        """
        chosen = np.zeros(SLOTS, np.bool_)
        owned = {slot.cgroup_id: slot for slot in slots if slot.index != OTHER_SLOT}
        if self._protected:
            for slot in owned.values():
                chosen[slot.index] = self._protected(slot.cgroup) is not None
            return chosen
        for cgroup_id, slot in owned.items():
            chosen[slot.index] = cgroup_id not in hosts
        chosen[OTHER_SLOT] = hosts <= owned.keys()
        return chosen


class OthersWaits:
    """Run-queue waits of some slots since the last reading.

    Parameters
    ----------
    histograms : (cpus, SLOTS) HISTOGRAM
        Shared memory with buckets.
    """

    def __init__(self, histograms: Records) -> None:
        self._buckets = histograms["buckets"]
        self._before: npt.NDArray[np.uint32] | None = None

    def forget(self) -> None:
        """Begin anew: what happens until the next reading is nobody's."""
        self._before = None

    def read(self, chosen: Bools) -> tuple[Floats, Floats]:
        """Return wait lengths in seconds, ascending, and how many there were of each.

        Parameters
        ----------
        chosen : (SLOTS,) bool
            Whose. Slots that are chosen for the first time bring what all of their owners
            waited since the last reading, and nothing older.
        """
        now: npt.NDArray[np.uint32] = self._buckets.sum(axis=0, dtype=np.uint32)
        before, self._before = self._before, now
        if before is None:
            return np.empty(0), np.empty(0)
        counts = (now[chosen] - before[chosen]).sum(axis=0, dtype=np.float64)
        filled = np.flatnonzero(counts)
        return _MIDDLE_SECONDS[filled], counts[filled]


class Load:
    """Share of CPU time that is spent, from ``/proc/stat``.

    Parameters
    ----------
    path : pathlib.Path
    """

    def __init__(self, path: Path = _STAT) -> None:
        self._path = path
        self._before: Floats | None = None

    def forget(self) -> None:
        """Begin anew: what happens until the next reading is nobody's."""
        self._before = None

    def read(self) -> float | None:
        """Return the share since the last reading, 0 to 1; ``None`` at the first.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        with self._path.open(encoding="ascii") as file:
            now = np.array(file.readline().split()[1 : _TIMES + 1], np.float64)
        before, self._before = self._before, now
        if before is None:
            return None
        passed = now - before
        total = float(passed.sum())
        # Counters of CPUs that were taken out may go back.
        return min(max(1.0 - float(passed[_IDLE].sum()) / total, 0.0), 1.0) if total > 0.0 else None
