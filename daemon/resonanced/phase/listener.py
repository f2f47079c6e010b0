# SPDX-License-Identifier: MIT
"""Is the node's run queue periodic, and whose rhythm does it follow?

Bins are read a few times a second, because they do not stand for long; the period is looked
for and the neighbours are ranked every few seconds, from spectra that were kept up with each
read.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from resonance_bpf.catalogue import OTHER_SLOT, SLOTS
from resonance_core.spectral.frames import WINDOW_BINS
from resonance_core.spectral.lines import known_lines
from resonance_core.spectral.neighbours import HOP_BINS, NeighbourWatch, Score, waits_of_others
from resonance_core.spectral.period import dominant_period
from resonance_core.spectral.series import BinRing
from resonanced.model import Floats, Neighbour, Slot, Snapshot, shown_path
from resonanced.phase.bins import BIN_SECONDS, COARSE, BinReader, Bins
from resonanced.phase.rhythm import Heard
from resonanced.phase.spectrum import Spectrum

__all__ = ["Listener"]

WIDTH_SECONDS: Final = COARSE * BIN_SECONDS
KEPT_BINS: Final = 4_096
"""20.5 s: a rhythm of 5 s is seen four times, and the memory is 2 MB at most."""
_LEAST_BINS: Final = 512
"""*Chosen*: 2.6 s, before which a period is a guess."""
_READ_SECONDS: Final = 0.75
"""*Chosen*: three quarters of what a small host keeps; each read costs about a millisecond."""
_REACH_SHARE: Final = 0.8
"""Of the time that bins stand; a tick that is late by a fifth of it loses nothing."""
_NEW_SHARE: Final = 0.5
"""Of what is looked at for a period that is new since the last time; *chosen*: once in 10 s where
all is kept, and 6 ms of CPU are 0.06 % of a core."""
_MEMORY_FRAMES: Final = KEPT_BINS / HOP_BINS
"""The neighbours are ranked by as much of the past as the period is looked for in."""
_TREND_HZ: Final = 1.0 / (WINDOW_BINS * WIDTH_SECONDS)
"""One cycle per window: there, and at twice as many, is what the load drifts, and no rhythm."""
_LEAST_WAITING: Final = 1e-3
"""*Chosen*: a millisecond of waiting in a second. Below it the rhythm is that of whoever wakes
up on an idle node, ourselves among them, and it harms nobody."""
_TOLD: Final = 5
"""Neighbours that are told; *chosen*: the sixth of a ranking is nobody's culprit."""
_LOUDEST_SECONDS: Final = 5.0 * WIDTH_SECONDS
"""Waiting of one slot in one bin that is listened to; *chosen*. A wait is counted where it ends,
so one that lasted half a second is a spike as high as a hundred tasks, and drowns every rhythm.
With five busy builds beside the culprit (load 6.5 on 2 CPUs) his score rose from 0.28 to 0.70,
that of the runner-up did not."""
_LEAST_SCORE: Final = 0.01
"""*Chosen*: a hundredth of the queue's rhythm, a tenth of what is named alone."""


class Listener:
    """What the node's time bins say.

    Parameters
    ----------
    reader : BinReader

    Attributes
    ----------
    heard : Heard
        Replaced when it changes, so the same one means the same.
    """

    def __init__(self, reader: BinReader) -> None:
        self.heard = Heard()
        self._reader = reader
        self._lines_hz = known_lines(WIDTH_SECONDS)
        self._read_every = min(_READ_SECONDS, _REACH_SHARE * reader.reach_seconds)
        self._next_read = self._next_look = -math.inf
        self._slots: tuple[Slot, ...] = ()
        self._generations: dict[int, int] = {}
        self._offset_ns = 0
        self._begin()

    def _begin(self) -> None:
        self._ring = BinRing(SLOTS, KEPT_BINS, WIDTH_SECONDS)
        self._queue = BinRing(1, KEPT_BINS, WIDTH_SECONDS)
        self._waiting = np.zeros(SLOTS)
        self._watch = NeighbourWatch(
            SLOTS,
            WIDTH_SECONDS,
            memory_frames=_MEMORY_FRAMES,
            known_lines=(_TREND_HZ, *self._lines_hz),
        )

    def listen(self, snapshot: Snapshot) -> Bins | None:
        """Read what the kernel counted since the last time, if it is time.

        Parameters
        ----------
        snapshot : Snapshot
            Made now; says whose the slots are.
        """
        now = snapshot.monotonic_ns / 1e9
        if now < self._next_read:
            return None
        self._next_read = now + self._read_every
        self._forget_former_owners(snapshot.slots)
        bins = self._reader.read(snapshot.monotonic_ns)
        if bins is None:
            return None
        self._take(bins)
        if now >= self._next_look:
            known = max(self._queue.length, _LEAST_BINS)
            self._next_look = now + _NEW_SHARE * known * WIDTH_SECONDS
            self._look(snapshot.slots)
        return bins

    def _forget_former_owners(self, slots: tuple[Slot, ...]) -> None:
        if slots is self._slots:
            return
        for slot in slots:
            former = self._generations.get(slot.index, slot.generation)
            if former != slot.generation:
                self._ring.clear(slot.index)
                self._waiting[slot.index] = 0.0
                self._watch.clear(slot.index)
            self._generations[slot.index] = slot.generation
        self._slots = slots

    def _take(self, bins: Bins) -> None:
        start = bins.first // COARSE
        if start < self._ring.end_index:
            self._begin()  # the clock went back
        counts, waits = bins.per_slot()
        if bins.missed:
            self.heard = replace(self.heard, missed_bins=self.heard.missed_bins + bins.missed)
            # A gap of a window tears every frame that a longer one would.
            gap = np.full((SLOTS, min(bins.missed // COARSE, WINDOW_BINS)), math.nan)
            self._watch.push(gap, gap)
        self._ring.append(start, counts, waits)
        audible = np.minimum(waits, _LOUDEST_SECONDS)
        self._queue.append(start, counts.sum(axis=0)[np.newaxis], audible.sum(axis=0)[np.newaxis])
        self._watch.push(counts, self._queues(audible))
        self._offset_ns = bins.start_ns - round(bins.first * BIN_SECONDS * 1e9)

    def _queues(self, waits: Floats) -> Floats:
        """Return for each slot the queue of the others; nothing where hardly anybody waits in it.

        A coherence knows no size: whoever is made to wait would else be the noisy neighbour
        of one who makes him wait, and hardly waits himself.
        """
        keep = math.exp(-waits.shape[1] / KEPT_BINS)
        self._waiting *= keep
        self._waiting += (1.0 - keep) * waits.mean(axis=1) / WIDTH_SECONDS
        queues = np.asarray(waits_of_others(waits), np.float64)
        queues[self._waiting.sum() - self._waiting < _LEAST_WAITING] = 0.0
        return queues

    def _look(self, slots: tuple[Slot, ...]) -> None:
        queue = self._queue.latest(KEPT_BINS).waits[0].astype(np.float64)
        if queue.size < _LEAST_BINS:
            return
        if np.nanmean(queue) < _LEAST_WAITING * WIDTH_SECONDS:
            self.heard = Heard(missed_bins=self.heard.missed_bins)
            return
        period = dominant_period(queue, WIDTH_SECONDS, self._lines_hz)
        self.heard = Heard(
            period_seconds=period.seconds if period.is_confirmed else math.nan,
            entropy_excess=period.entropy_excess,
            neighbours=self._neighbours(slots),
            missed_bins=self.heard.missed_bins,
        )

    def _neighbours(self, slots: tuple[Slot, ...]) -> tuple[Neighbour, ...]:
        owners = {slot.index: slot for slot in slots}
        told = [
            each
            for each in self._watch.ranking()[:_TOLD]
            if each.channel in owners and each.score >= _LEAST_SCORE
        ]
        return tuple(_neighbour(each, owners[each.channel]) for each in told)

    def spectrum(self) -> Spectrum | None:
        """Return the series as they are now; ``None`` before anything was read."""
        if not self._ring.length:
            return None
        bins = self._ring.latest(KEPT_BINS)
        rows = [slot.index for slot in self._slots]
        return Spectrum(
            start_ns=round(bins.start_index * WIDTH_SECONDS * 1e9) + self._offset_ns,
            bin_seconds=WIDTH_SECONDS,
            cgroups=tuple(shown_path(slot.cgroup) for slot in self._slots),
            events=np.nan_to_num(bins.counts[rows], copy=False),
            wait_seconds=np.nan_to_num(bins.waits[rows], copy=False),
            missing=bins.missing,
        )


def _neighbour(score: Score, slot: Slot) -> Neighbour:
    return Neighbour(
        slot=slot,
        score=score.score,
        period_seconds=score.period_seconds,
        lag_seconds=score.lag_seconds,
        # Slot 0 is many cgroups, and nobody to accuse.
        is_named=score.is_named and slot.index != OTHER_SLOT,
    )
