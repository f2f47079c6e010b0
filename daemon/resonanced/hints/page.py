# SPDX-License-Identifier: MIT
"""Writes the shared page: pressure per slot, in memory that readers map (docs/shared-page.md).

One writer, any number of readers, no lock between them: a sequence number is odd while the
page is written, and a reader that saw it odd, or saw it change, reads again.

Why that is right without a memory barrier, which Python does not offer. Every store below is
a call of its own into C, so the compiler cannot reorder them, and x86-64 never reorders stores
with stores or loads with loads (Intel SDM vol. 3A, 9.2.2). A weakly ordered processor (arm64)
may, within the reach of its store buffer, so there a reader can pair words of two adjacent
writes. That is harmless by construction: each word is aligned and stored whole, and a slot
stays empty for ``slot_quarantine_seconds`` between two owners, so such a pair is a pressure
that is one write (5 ms) older than its time says, never the pressure of another cgroup.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import struct
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from resonance_bpf.catalogue import SLOTS
from resonanced.errors import StartError
from resonanced.hints.settings import HintsSettings
from resonanced.model import PolicyMode, Slot

__all__ = ["HEADER", "LAYOUT_VERSION", "MAGIC", "RECORD", "PageWriter"]

MAGIC: Final = b"RESNPAGE"
LAYOUT_VERSION: Final = 1
_HIERARCHIES: Final = {"v2": 1, "v1-cpu": 2}

HEADER: Final = np.dtype(
    [
        # First cache line: written once.
        ("magic", "S8"),
        ("layout_version", "<u4"),
        ("header_bytes", "<u4"),
        ("record_bytes", "<u4"),
        ("slot_count", "<u4"),
        ("instance", "<u8"),
        ("valid_for_ns", "<u8"),
        ("hierarchy", "<u4"),
        ("pad0", "V20"),
        # Second cache line: written each time.
        ("sequence", "<u8"),
        ("monotonic_ns", "<u8"),
        ("slots_generation", "<u8"),
        # Written when the operator says so.
        ("policy_ceiling", "<u4"),
        ("pad1", "V36"),
    ]
)
RECORD: Final = np.dtype(
    [
        ("cgroup_id", "<u8"),
        ("generation", "<u4"),
        ("flags", "<u4"),
        ("pressure", "<f8"),
        ("pad", "V8"),
    ]
)
_ASSIGNED: Final = 1
_CEILINGS: Final[dict[PolicyMode, int]] = {"observe": 1, "advise": 2, "active": 3}
"""0 says nothing: what a daemon leaves there that knows of no ceiling."""
_CLOSED: Final = 0
"""``monotonic_ns`` of a page whose writer has gone: older than any validity."""

_MODE: Final = 0o640
_OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_FLOCK: Final = struct.Struct("hhqqi4x")
"""``struct flock`` of fcntl(2): type, whence, start, length, pid."""


class PageWriter:
    """The shared page of this daemon; made at once, and whole before anybody can open it.

    Parameters
    ----------
    path : pathlib.Path
        Where readers find it; a page that a dead daemon left there is replaced.
    settings : HintsSettings
    hierarchy : {"v2", "v1-cpu"}
        The cgroup hierarchy the cgroup ids belong to.
    policy_ceiling : {"observe", "advise", "active"}
        What the page says of the SDK's policies from the first moment on.

    Raises
    ------
    StartError
        The page cannot be made there.
    """

    def __init__(
        self,
        path: Path,
        settings: HintsSettings,
        hierarchy: Literal["v2", "v1-cpu"],
        policy_ceiling: PolicyMode = "active",
    ) -> None:
        self._path = path
        size = HEADER.itemsize + SLOTS * RECORD.itemsize
        temporary = path.with_name(f".{path.name}")
        self._file = -1
        try:
            self._file = os.open(temporary, _OPEN_FLAGS, 0o600)
            # With its blocks: on a full disk a store into a hole would end us by SIGBUS.
            os.posix_fallocate(self._file, 0, size)
            memory = mmap.mmap(self._file, size)
            self._header = np.frombuffer(memory, HEADER, 1)
            self._records = np.frombuffer(memory, RECORD, SLOTS, HEADER.itemsize)
            self._fill_header(settings, hierarchy)
            self._header["policy_ceiling"] = _CEILINGS[policy_ceiling]
            os.fchmod(self._file, _MODE)
            temporary.rename(path)
        except OSError as error:
            if self._file >= 0:
                os.close(self._file)
                temporary.unlink(missing_ok=True)
            raise StartError(
                str(path), f"cannot be made: {error.strerror}", "check the runtime directory"
            ) from error
        self._sequence = self._header["sequence"]
        self._monotonic_ns = self._header["monotonic_ns"]
        self._policy_ceiling = self._header["policy_ceiling"]
        self._slots_generation = self._header["slots_generation"]
        self._slots: tuple[Slot, ...] = ()
        self._generation = 0
        self._next = self._records.copy()
        self._words, self._next_words = self._records.view("<u8"), self._next.view("<u8")

    def _fill_header(self, settings: HintsSettings, hierarchy: Literal["v2", "v1-cpu"]) -> None:
        header = self._header[0]
        header["magic"] = MAGIC
        header["layout_version"] = LAYOUT_VERSION
        header["header_bytes"] = HEADER.itemsize
        header["record_bytes"] = RECORD.itemsize
        header["slot_count"] = SLOTS
        header["instance"] = secrets.randbits(64)
        header["valid_for_ns"] = round(settings.valid_for_seconds * 1e9)
        header["hierarchy"] = _HIERARCHIES[hierarchy]
        self._records["pressure"] = np.nan

    def has_readers(self) -> bool:
        """Tell whether any process holds the read lock that marks a reader."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, asked)
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def say_policy_ceiling(self, mode: PolicyMode) -> None:
        """Say how far the SDK's policies may go; readers see it at once.

        One small number, stored whole and valid by itself: it needs no sequence number.

        Parameters
        ----------
        mode : {"observe", "advise", "active"}
        """
        self._policy_ceiling[0] = _CEILINGS[mode]

    def write(
        self, monotonic_ns: int, slots: tuple[Slot, ...], pressure: npt.NDArray[np.float64]
    ) -> None:
        """Replace what the page says.

        Parameters
        ----------
        monotonic_ns : int
            CLOCK_MONOTONIC of the reading.
        slots : tuple of Slot
            Assigned slots; compared by identity first, so hand in the same tuple while
            nothing changes.
        pressure : (SLOTS,) float64
            NaN where not known.
        """
        if slots is not self._slots:
            self._take_slots(slots)
        self._next["pressure"] = pressure
        writing = int(self._sequence[0]) | 1
        self._sequence[0] = writing
        self._monotonic_ns[0] = monotonic_ns
        self._slots_generation[0] = self._generation
        self._words[:] = self._next_words
        self._sequence[0] = writing + 1

    def _take_slots(self, slots: tuple[Slot, ...]) -> None:
        if slots != self._slots:
            index = [slot.index for slot in slots]
            self._next[["cgroup_id", "generation", "flags"]] = 0
            self._next["cgroup_id"][index] = [slot.cgroup_id for slot in slots]
            self._next["generation"][index] = [slot.generation for slot in slots]
            self._next["flags"][index] = _ASSIGNED
            self._generation += 1
        self._slots = slots

    def close(self) -> None:
        """Tell readers that nobody writes here any more, and remove the page."""
        writing = int(self._sequence[0]) | 1
        self._sequence[0] = writing
        self._monotonic_ns[0] = _CLOSED
        self._sequence[0] = writing + 1
        if self._path.exists() and self._path.stat().st_ino == os.fstat(self._file).st_ino:
            self._path.unlink()
        os.close(self._file)
