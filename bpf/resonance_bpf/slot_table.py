# SPDX-License-Identifier: MIT
"""The kernel's hash from cgroup id to slot, as its one writer sees it.

The programs read it at every switch without a lock. So a cell's slot is written before its
id and its id is cleared first: a reader finds either no owner or the right one.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

from resonance_bpf.catalogue import (
    OTHER_SLOT,
    SLOT_PROBES,
    SLOT_TABLE,
    SLOTS,
    map_bytes,
    slot_table_position,
)

__all__ = ["SlotTable"]

_CELL: Final = struct.Struct("=QII")
_ID: Final = struct.Struct("=Q")
_SLOT: Final = struct.Struct("=I")


class SlotTable:
    """The map ``cgroup_slots``, open for writing.

    Parameters
    ----------
    descriptor : int
        Of the map, which must not be frozen.
    """

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, map_bytes("cgroup_slots", 1), mmap.MAP_SHARED)

    def assign(self, slot: int, cgroup_id: int) -> bool:
        """Count a cgroup in a slot.

        Returns
        -------
        bool
            False when the four cells its hash allows are taken; it then stays in slot 0.

        Raises
        ------
        ValueError
            The slot or id is out of range.
        """
        if not OTHER_SLOT < slot < SLOTS or not 0 < cgroup_id < 1 << 64:
            raise ValueError(f"slot {slot}, cgroup id {cgroup_id}: out of range")
        self.release(cgroup_id)
        for cell in _window(cgroup_id):
            if not self._read(cell)[0]:
                self._write(cell, cgroup_id, slot)
                return True
        return False

    def release(self, cgroup_id: int) -> None:
        """Count a cgroup in slot 0 again; nothing happens if it has no slot.

        Readers stop at an empty cell, so those that the gap would hide move up into it
        (Knuth, vol. 3, section 6.4, algorithm R).
        """
        for cell in _window(cgroup_id):
            if self._read(cell)[0] == cgroup_id:
                self._close_gap(cell)
                return

    def _close_gap(self, gap: int) -> None:
        self._write(gap, 0, 0)
        for step in range(1, SLOT_PROBES):
            cell = (gap + step) % SLOT_TABLE
            owner, slot = self._read(cell)
            if not owner:
                return
            if gap in _window(owner):
                self._write(gap, owner, slot)
                self._close_gap(cell)
                return

    def _read(self, cell: int) -> tuple[int, int]:
        owner, slot, _ = _CELL.unpack_from(self._memory, cell * _CELL.size)
        return owner, slot

    def _write(self, cell: int, cgroup_id: int, slot: int) -> None:
        offset = cell * _CELL.size
        _ID.pack_into(self._memory, offset, 0)
        _SLOT.pack_into(self._memory, offset + _ID.size, slot)
        _ID.pack_into(self._memory, offset, cgroup_id)


def _window(cgroup_id: int) -> list[int]:
    """Return the cells a cgroup may stand in, in the order they are looked at."""
    first = slot_table_position(cgroup_id)
    return [(first + step) % SLOT_TABLE for step in range(SLOT_PROBES)]
