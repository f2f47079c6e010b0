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

    def _cells(self, cgroup_id: int) -> list[int]:
        first = slot_table_position(cgroup_id)
        return [((first + step) % SLOT_TABLE) * _CELL.size for step in range(SLOT_PROBES)]

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
        if not OTHER_SLOT < slot < SLOTS or cgroup_id <= 0:
            raise ValueError(f"slot {slot}, cgroup id {cgroup_id}: out of range")
        self.release(cgroup_id)
        for offset in self._cells(cgroup_id):
            if _ID.unpack_from(self._memory, offset)[0] == 0:
                _SLOT.pack_into(self._memory, offset + _ID.size, slot)
                _ID.pack_into(self._memory, offset, cgroup_id)
                return True
        return False

    def release(self, cgroup_id: int) -> None:
        """Count a cgroup in slot 0 again; nothing happens if it has no slot."""
        for offset in self._cells(cgroup_id):
            if _ID.unpack_from(self._memory, offset)[0] == cgroup_id:
                _ID.pack_into(self._memory, offset, 0)
