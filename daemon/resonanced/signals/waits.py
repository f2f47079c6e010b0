# SPDX-License-Identifier: MIT
"""Running sums over the kernel's counters: since a slot's owner took it, and recently.

The kernel never clears a counter. So a slot's owner begins where the counter stood when it
took the slot, and 32-bit buckets are widened by their modular difference, which is right
as long as they are read more than once per 2**32 events.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from resonance_bpf.catalogue import BUCKETS, SLOTS
from resonance_bpf.reader import Records
from resonanced.model import Distribution, UInts

__all__ = ["Waits"]

_PARTS: Final = 10
"""The recent past is kept in this many parts, whatever its length, to bound memory."""


class Waits:
    """One kind of wait, accumulated per slot.

    Parameters
    ----------
    histograms : (cpus, SLOTS) HISTOGRAM
        Shared memory, read in place.
    has_buckets : bool
        False where only ``n`` and ``sum_ns`` are filled.
    window_seconds : float
        Length of the recent past.
    """

    def __init__(self, histograms: Records, *, has_buckets: bool, window_seconds: float) -> None:
        self._histograms = histograms
        self._has_buckets = has_buckets
        self._part_seconds = window_seconds / _PARTS
        self._part_ends = 0.0
        self._part = 0
        self._n = self._total("n")
        self._sum_ns = self._total("sum_ns")
        self._owner_count = np.zeros(SLOTS, np.uint64)
        self._owner_sum_ns = np.zeros(SLOTS, np.uint64)
        self._distribution: Distribution | None = None
        if has_buckets:
            self._raw = histograms["buckets"].copy()
            self._buckets = np.zeros((SLOTS, BUCKETS), np.uint64)
            # Pages of kinds and slots that see no event are never touched, so never resident.
            self._recent_parts = np.zeros((_PARTS, SLOTS, BUCKETS), np.uint32)
            self._filled = np.zeros((_PARTS, SLOTS), np.bool_)

    def _total(self, field: str) -> UInts:
        total: UInts = self._histograms[field].sum(axis=(0, 2), dtype=np.uint64)
        return total

    def events(self) -> UInts:
        """Return the events per slot since the probes were attached, all owners together."""
        return self._total("n")

    def step(self, monotonic_seconds: float) -> None:
        """Take in what happened since the last step."""
        self._rotate(monotonic_seconds)
        n, sum_ns = self._total("n"), self._total("sum_ns")
        active = np.flatnonzero(n != self._n)
        self._owner_count += n - self._n
        self._owner_sum_ns += sum_ns - self._sum_ns
        self._n, self._sum_ns = n, sum_ns
        if active.size:
            self._distribution = None
        if self._has_buckets and active.size:
            raw = self._histograms["buckets"][:, active]
            new = (raw - self._raw[:, active]).sum(axis=0, dtype=np.uint32)
            self._raw[:, active] = raw
            self._buckets[active] += new
            self._recent_parts[self._part, active] += new
            self._filled[self._part, active] = True

    def _rotate(self, now: float) -> None:
        if now >= self._part_ends:
            self._part = (self._part + 1) % _PARTS
            self._part_ends = now + self._part_seconds
            if self._has_buckets and self._filled[self._part].any():
                self._recent_parts[self._part, self._filled[self._part]] = 0
                self._filled[self._part] = False
                self._distribution = None

    def begin(self, slot: int) -> None:
        """Start a new owner of a slot at zero."""
        self._distribution = None
        self._owner_count[slot] = 0
        self._owner_sum_ns[slot] = 0
        if self._has_buckets:
            self._buckets[slot] = 0
            self._recent_parts[self._filled[:, slot], slot] = 0
            self._filled[:, slot] = False

    def distribution(self) -> Distribution:
        """Return the sums as they stand; the same record as long as nothing changes."""
        if self._distribution is None:
            self._distribution = self._copy()
        return self._distribution

    def _copy(self) -> Distribution:
        if not self._has_buckets:
            return Distribution(self._owner_count.copy(), self._owner_sum_ns.copy(), None, None)
        # The count of the buckets themselves: an event that lands between two reads of the
        # shared memory must not make them disagree.
        return Distribution(
            count=self._buckets.sum(axis=1, dtype=np.uint64),
            sum_ns=self._owner_sum_ns.copy(),
            buckets=self._buckets.copy(),
            recent=self._recent_parts.sum(axis=0, dtype=np.uint64),
        )
