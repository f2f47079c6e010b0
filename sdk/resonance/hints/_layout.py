# SPDX-License-Identifier: MIT
"""What do the bytes of the shared page mean (docs/shared-page.md)?

The file is mapped for reading only. It is never truncated and never changes its form while
it is mapped: a new daemon makes a new file.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Final, Literal

__all__ = ["LAYOUT_VERSION", "Page", "PolicyCeiling", "UnreadableError", "read_pressure"]

LAYOUT_VERSION: Final = 1

PolicyCeiling = Literal["observe", "advise", "active"]
"""How far the SDK's policies may go on a host: count, say, do."""

_MAGIC: Final = b"RESNPAGE"
_HIERARCHIES: Final[dict[int, str]] = {1: "v2", 2: "v1-cpu"}
_ASSIGNED: Final = 1

_HEADER: Final = struct.Struct("<8sIIIIQQI")
"""Magic, layout version, header bytes, record bytes, slots, instance, validity, hierarchy."""
_LEAST_BYTES: Final = (128, 32)
"""Header and record of this version; a later daemon may append to either."""
_SEQUENCE_OFFSET: Final = 64
_SLOTS_GENERATION_OFFSET: Final = 80
_POLICY_CEILING_OFFSET: Final = 88
_CEILINGS: Final[dict[int, PolicyCeiling]] = {1: "observe", 2: "advise", 3: "active"}
"""0, and what a later daemon may write, says nothing."""
_WORD: Final = struct.Struct("<Q").unpack_from
_NUMBER: Final = struct.Struct("<I").unpack_from
_MOMENT: Final = struct.Struct("<QQ").unpack_from
"""Sequence, time of the reading."""
_PRESSURE: Final = struct.Struct("<Q8xd").unpack_from
"""Cgroup id, pressure."""
_OWNER: Final = struct.Struct("<QII").unpack_from
"""Cgroup id, generation, flags."""
_FLOCK: Final = struct.Struct("hhqqi4x")
"""``struct flock`` of fcntl(2): type, whence, start, length, pid."""
_TRIES: Final = 16
"""A write takes a microsecond; sixteen reads in its way mean a writer put to sleep."""


class UnreadableError(Exception):
    """Why a file is no page for this version of the SDK."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of one daemon run, mapped.

    Attributes
    ----------
    file : int
        Descriptor whose read lock tells the daemon that somebody reads.
    """

    memory: mmap.mmap
    file: int
    inode: int
    header_bytes: int
    record_bytes: int
    slot_count: int
    valid_for_ns: int
    hierarchy: str

    @classmethod
    def open(cls, path: Path) -> Page:
        """Map a page.

        Raises
        ------
        UnreadableError
            It is no page, or of a layout this version does not know.
        OSError
            It cannot be opened.
        """
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return cls._map(file)
        except BaseException:
            os.close(file)
            raise

    @classmethod
    def _map(cls, file: int) -> Page:
        status = os.fstat(file)
        if status.st_size < _LEAST_BYTES[0]:
            raise UnreadableError("not a page of resonanced")
        memory = mmap.mmap(file, status.st_size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
        magic, version, header, record, slots, _, valid_for_ns, hierarchy = _HEADER.unpack_from(
            memory
        )
        if magic != _MAGIC:
            raise UnreadableError("not a page of resonanced")
        if version != LAYOUT_VERSION or hierarchy not in _HIERARCHIES:
            raise UnreadableError(
                f"layout version {version}, this SDK reads {LAYOUT_VERSION}; "
                "update the older of the two"
            )
        is_short = header < _LEAST_BYTES[0] or record < _LEAST_BYTES[1]
        if is_short or header + record * slots > status.st_size:
            raise UnreadableError("not a whole page")
        return cls(
            memory,
            file,
            status.st_ino,
            header,
            record,
            slots,
            valid_for_ns,
            _HIERARCHIES[hierarchy],
        )

    def is_fresh(self) -> bool:
        """Tell whether the last reading is worth anything; that of a closed page is not."""
        read_ns: int = _MOMENT(self.memory, _SEQUENCE_OFFSET)[1]
        return 0 <= monotonic_ns() - read_ns <= self.valid_for_ns

    def slots_generation(self) -> int:
        """Return the number of times that slots changed their owners."""
        generation: int = _WORD(self.memory, _SLOTS_GENERATION_OFFSET)[0]
        return generation

    def policy_ceiling(self) -> PolicyCeiling | None:
        """Return how far the policies may go; ``None`` where the daemon does not say.

        Valid by itself and until a new daemon says otherwise, so that neither the sequence
        number nor the age matters; all that is ever stored there fits in one byte.
        """
        number: int = _NUMBER(self.memory, _POLICY_CEILING_OFFSET)[0]
        return _CEILINGS.get(number)

    def find(self, number: int) -> int | None:
        """Return the offset of a cgroup's record; number 0 is slot 0, all other cgroups."""
        for slot in range(1 if number else 0, self.slot_count if number else 1):
            offset = self.header_bytes + slot * self.record_bytes
            owner, _, flags = _OWNER(self.memory, offset)
            if owner == number and flags & _ASSIGNED:
                return offset
        return None

    def lock(self) -> None:
        """Tell the daemon that somebody reads."""
        self._set_lock(fcntl.F_RDLCK)

    def unlock(self) -> None:
        """Tell the daemon that nobody reads here any more."""
        self._set_lock(fcntl.F_UNLCK)

    def _set_lock(self, kind: int) -> None:
        fcntl.fcntl(self.file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0))

    def close(self) -> None:
        """Give the descriptor back; the memory goes when the last reader lets go of it."""
        os.close(self.file)


def read_pressure(memory: mmap.mmap, offset: int) -> tuple[int, int, float] | None:
    """Return time of the reading, cgroup id and pressure of one record, from one write.

    ``None`` when the writer was asleep in the middle of a write all the time.
    """
    for _ in range(_TRIES):
        sequence, read_ns = _MOMENT(memory, _SEQUENCE_OFFSET)
        number, pressure = _PRESSURE(memory, offset)
        if not sequence & 1 and _WORD(memory, _SEQUENCE_OFFSET)[0] == sequence:
            return read_ns, number, pressure
    return None
