# SPDX-License-Identifier: MIT
"""What has the kernel counted since we looked last, millisecond by millisecond?

Each CPU keeps a ring of 1 ms bins per slot, filled at ``sched_switch`` and never cleared: a
bin says with its epoch which millisecond it is of, and one that still has an old epoch saw no
event. Most cells are empty, so what is read is a list of events. A bin is closed as soon as
its millisecond is over, and stands until the ring comes round; what nobody read by then is
counted as missed and never taken for silence.

Bins are on the scheduler's clock, which is not CLOCK_MONOTONIC but is paired with it by the
kernel side once a second on each CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_bpf.catalogue import BIN_HZ, SLOTS
from resonance_bpf.reader import Records
from resonanced.model import Floats

__all__ = ["BIN_SECONDS", "COARSE", "BinReader", "Bins"]

BIN_SECONDS: Final = 1.0 / BIN_HZ
COARSE: Final = 5
"""Bins of the kernel per bin of the analysis: 5 ms, Nyquist 100 Hz; reads begin and end there."""
_BIN_NS: Final = 1_000_000_000 // BIN_HZ
_OPEN_BINS: Final = 2
"""*Chosen*: the millisecond that is being filled, and one for a CPU whose clock lags."""
_REUSED_BINS: Final = 8
"""*Chosen*: the ring must not come round while it is read."""
_EPOCHS: Final = 1 << 32

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bins:
    """What happened in a stretch of time; cells without events are not there.

    Attributes
    ----------
    start_ns : int
        CLOCK_MONOTONIC at the start of the first bin.
    first : int
        Number of the first bin on the scheduler's clock, a multiple of `COARSE`.
    length : int
        Bins of 1 ms in all, a multiple of `COARSE`.
    missed : int
        Bins directly before the first that were overwritten before anybody read them.
    slot, bin : (cells,) int64
        Where a cell is; several CPUs may have one for the same place.
    count, wait_seconds : (cells,) float64
        Switches to a task that had waited, and what they had waited together.
    """

    start_ns: int
    first: int
    length: int
    missed: int
    slot: _Ints
    bin: _Ints
    count: Floats
    wait_seconds: Floats

    def per_slot(self) -> tuple[Floats, Floats]:
        """Return counts and waits in bins of 5 ms, each (SLOTS, length / COARSE) float64."""
        shape = SLOTS, self.length // COARSE
        place = self.slot * shape[1] + self.bin // COARSE
        size = SLOTS * shape[1]
        return (
            _summed(place, self.count, size).reshape(shape),
            _summed(place, self.wait_seconds, size).reshape(shape),
        )

    def total(self, slots: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return counts and waits of some slots together in bins of 1 ms, each (length,).

        Parameters
        ----------
        slots : (SLOTS,) bool
            Which.
        """
        chosen = slots[self.slot]
        place = self.bin[chosen]
        return (
            _summed(place, self.count[chosen], self.length),
            _summed(place, self.wait_seconds[chosen], self.length),
        )


class BinReader:
    """Reads each bin once.

    Parameters
    ----------
    cells : (cpus, bins, SLOTS) BIN
        Shared memory.
    clock : (cpus,) CLOCK_PAIR
        Shared memory; pairs the two clocks.

    Attributes
    ----------
    reach_seconds : float
        Read at least this often, or bins are missed.
    """

    def __init__(self, cells: Records, clock: Records) -> None:
        self._cells_of_all = cells.reshape(-1)
        self._epochs = cells["epoch"]
        self._clock = clock
        self._ring = cells.shape[1]
        self._next: int | None = None
        self.reach_seconds = (self._ring - _OPEN_BINS - _REUSED_BINS) * BIN_SECONDS

    def read(self, now_ns: int) -> Bins | None:
        """Return what was closed since the last read.

        Parameters
        ----------
        now_ns : int
            CLOCK_MONOTONIC.

        Returns
        -------
        Bins or None
            ``None`` while the clocks have not been paired, no 5 ms have passed, or the clock
            went back; the first read only sets the mark.
        """
        offset_ns = self._offset_ns()
        if offset_ns is None:
            return None
        epoch = (now_ns - offset_ns) // _BIN_NS
        end = (epoch - _OPEN_BINS) // COARSE * COARSE
        start, self._next = self._next, end
        if start is None or end <= start:
            return None
        oldest = epoch - self._ring + _REUSED_BINS
        first = max(start, -(-oldest // COARSE) * COARSE)
        slot, place, count, wait_ns = self._cells(first, end)
        return Bins(
            start_ns=first * _BIN_NS + offset_ns,
            first=first,
            length=end - first,
            missed=first - start,
            slot=slot,
            bin=place,
            count=count.astype(np.float64),
            wait_seconds=wait_ns / 1e9,
        )

    def _offset_ns(self) -> int | None:
        """Return CLOCK_MONOTONIC minus the scheduler's clock, from the youngest pair.

        The two are stored one after the other, so a pair is good once it is read twice alike.
        """
        before = self._clock[["runqueue_ns", "monotonic_ns"]].copy()
        now = self._clock[["runqueue_ns", "monotonic_ns"]].copy()
        good = now[(now == before) & (now["monotonic_ns"] > 0)]
        if not good.size:
            return None
        youngest = good[good["monotonic_ns"].argmax()]
        return int(youngest["monotonic_ns"]) - int(youngest["runqueue_ns"])

    def _cells(self, first: int, end: int) -> tuple[_Ints, _Ints, _Ints, _Ints]:
        """Return slot, bin from `first`, count and wait of every cell of these epochs."""
        parts = [
            self._stretch(at, min(end, (at // self._ring + 1) * self._ring), first)
            for at in self._turns(first, end)
        ]
        slot, place, count, wait_ns = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        return slot, place, count, wait_ns

    def _turns(self, first: int, end: int) -> list[int]:
        """Return where reading begins: at `first`, and wherever the ring begins anew."""
        around = range((first // self._ring + 1) * self._ring, end, self._ring)
        return [first, *around]

    def _stretch(self, start: int, stop: int, first: int) -> tuple[_Ints, _Ints, _Ints, _Ints]:
        place = start % self._ring
        rows = slice(place, place + stop - start)
        expected = np.arange(start, stop) % _EPOCHS
        is_of_it = self._epochs[:, rows] == expected.astype(np.uint32)[:, np.newaxis]
        # Five times as fast as to ask for all three indices of what is nearly nowhere.
        cpu, row, slot = np.unravel_index(np.flatnonzero(is_of_it), is_of_it.shape)
        found = self._cells_of_all[(cpu * self._ring + (row + place)) * SLOTS + slot]
        return (
            slot,
            row + (start - first),
            found["n"].astype(np.int64),
            found["sum_ns"].astype(np.int64),
        )


def _summed(place: _Ints, values: Floats, size: int) -> Floats:
    return np.bincount(place, values, size).astype(np.float64, copy=False)
