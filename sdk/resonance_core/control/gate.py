# SPDX-License-Identifier: MIT
"""Did the tail get better, or worse, while sources were moved?

The share of waits above q, the p95 of shadow, in chunks with the plan in force against chunks
in shadow. Both what others wait (never delayed by us) and what the sources themselves take.
Every answer may be asked for after every chunk; see `sequence`. The model of the queue has no
say here: load that nobody reported, and a benefit of alignment that nobody knew of, show in
the waits alone.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, TypeGuard

import numpy as np

from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Floats
from resonance_core.control.sequence import Arm, arm, difference
from resonance_core.control.tail import BUCKETS, EDGES_SECONDS, at_and_above, place_of

__all__ = ["Gate", "Verdict"]

_Kind = Literal["others", "sources"]
Verdict = Literal["undecided", "gain", "harm_to_others", "harm_to_sources"]

OTHERS_FROM: Final = 6
SOURCES_FROM: Final = 24
"""Active chunks before a verdict: *chosen* with the simulation. The sources' own completions
carry the holds of the acquisition, so they are judged later."""
LEAST_SHADOW: Final = 4
"""*Chosen*: fewer chunks in shadow prove nothing, whatever baseline was asked for."""
KEPT: Final = 48
"""*Chosen*: chunks of each kind that are kept; older ones tell of another workload."""
TAIL: Final = 0.95
BODY: Final = 0.80
"""Quantiles in shadow that are watched: harm shows in the tail, and is sought there. A gain is
proven where there are more waits to prove it with, and holds only if the tail is no worse.
*Chosen* with the simulation: after six chunks each, a gain of two thirds was proven in 4 of 4
runs at the p80 and in 2 of 4 at the p95."""
CHANGE_ALPHA: Final = 1e-3
"""*Chosen*: after proven harm one should be surer that it was somebody else's."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Counts of a chunk, each (BUCKETS,) float64: waits in this bucket and above."""

    others: Floats
    sources: Floats


@dataclass(frozen=True, slots=True)
class _Levels:
    """Last bucket that is not above the level; -1 where that is not known."""

    others: int = -1
    sources: int = -1


class Gate:
    """Chunks in shadow against chunks with the plan in force.

    Parameters
    ----------
    parameters : Parameters
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._shadow: deque[_Chunk] = deque(maxlen=KEPT)
        self._active: deque[_Chunk] = deque(maxlen=KEPT)
        self._taken = 0
        self._before: list[Floats] = []
        self._tails = _Levels()
        self._bodies = _Levels()

    @property
    def shadow_chunks(self) -> int:
        """Chunks in shadow that are kept."""
        return len(self._shadow)

    @property
    def active_chunks(self) -> int:
        """Chunks with the plan in force that are kept."""
        return len(self._active)

    @property
    def is_full(self) -> bool:
        """Whether older chunks with the plan in force make room for newer ones by now."""
        return len(self._active) == KEPT

    @property
    def has_baseline(self) -> bool:
        """Whether there are enough chunks in shadow to compare with."""
        return len(self._shadow) >= self._parameters.baseline_chunks

    @property
    def level_seconds(self) -> float:
        """The wait q that others exceed in 5 % of the cases in shadow; NaN before that."""
        place = self._tails.others
        if place < 0:
            return math.nan
        return float(EDGES_SECONDS[place]) if place < len(EDGES_SECONDS) else math.inf

    def add_shadow(self, others: Floats, sources: Floats) -> None:
        """Take a chunk without any hold of ours: histograms of `tail`."""
        self._shadow.append(_Chunk(at_and_above(others), at_and_above(sources)))
        all_others = _sum([chunk.others for chunk in self._shadow])
        all_sources = _sum([chunk.sources for chunk in self._shadow])
        self._tails = _Levels(place_of(all_others, TAIL), place_of(all_sources, TAIL))
        self._bodies = _Levels(place_of(all_others, BODY), place_of(all_sources, BODY))

    def add_active(self, others: Floats, sources: Floats) -> None:
        """Take a chunk with the plan in force."""
        self._active.append(_Chunk(at_and_above(others), at_and_above(sources)))
        self._taken += 1

    def forget_active(self) -> None:
        """Begin anew with another plan; shadow stays what it was."""
        self._active.clear()
        self._taken = 0

    def forget(self) -> None:
        """Begin anew: the workload has changed."""
        self._shadow.clear()
        self.forget_active()
        self._before = []
        self._tails = self._bodies = _Levels()

    def tail_ratio(self) -> float:
        """Return the share of waits of others above q, by that in shadow; NaN if not known."""
        pair = self._arms("others", self._tails)
        return math.nan if pair is None or pair[1].mean <= 0.0 else pair[0].mean / pair[1].mean

    def verdict(self) -> Verdict:
        """Return what is proven, with the confidence of the parameters."""
        harm = self._parameters.harm_ratio
        others = self._arms("others", self._tails)
        if _is_enough(others, OTHERS_FROM) and difference(*others, harm, self._alpha)[0] > 0.0:
            return "harm_to_others"
        sources = self._arms("sources", self._tails)
        if _is_enough(sources, SOURCES_FROM) and difference(*sources, harm, self._alpha)[0] > 0.0:
            return "harm_to_sources"
        # where nobody else waits, the sources' gain is the gain
        kind: _Kind = "others" if others is not None else "sources"
        body, tail = self._arms(kind, self._bodies), others or sources
        if not _is_enough(body, OTHERS_FROM) or tail is None or tail[0].mean > tail[1].mean:
            return "undecided"
        active, shadow = body
        highest = difference(active.wary(), shadow.wary(), 1.0, self._alpha)[1]
        return "gain" if highest < 0.0 else "undecided"

    def remember_shadow(self) -> None:
        """Keep the chunks in shadow so far, to compare later ones with."""
        self._before = [chunk.others for chunk in self._shadow]
        self._shadow.clear()

    def is_shadow_changed(self) -> bool:
        """Say whether shadow since `remember_shadow` differs from that before: not our doing.

        May be asked after every chunk: the sequence grows and is never cut.
        """
        if not self._before or len(self._shadow) < OTHERS_FROM or len(self._shadow) == KEPT:
            return False
        level = place_of(_sum(self._before), TAIL)
        if level < 0:
            return False
        old = _arm(self._before, level)
        new = _arm([chunk.others for chunk in self._shadow], level)
        if old is None or new is None:
            return False
        low, high = difference(new, old, 1.0, CHANGE_ALPHA)
        return low > 0.0 or high < 0.0

    @property
    def _alpha(self) -> float:
        """How often a verdict may be wrong.

        Once older chunks make room, what is kept is another sequence every `KEPT` chunks, and
        each is one more chance to err. By the square of their number all of them together, for
        ever, err 1.65 times as often as the first.
        """
        sequences = max(1, math.ceil(self._taken / KEPT))
        return (1.0 - self._parameters.confidence) / sequences**2

    def _arms(self, kind: _Kind, levels: _Levels) -> tuple[Arm, Arm] | None:
        level: int = getattr(levels, kind)
        if level < 0:
            return None
        active = _arm([getattr(chunk, kind) for chunk in self._active], level)
        shadow = _arm([getattr(chunk, kind) for chunk in self._shadow], level)
        return None if active is None or shadow is None else (active, shadow)


def _is_enough(pair: tuple[Arm, Arm] | None, chunks: int) -> TypeGuard[tuple[Arm, Arm]]:
    if pair is None:
        return False
    return pair[0].chunks >= chunks and pair[1].chunks >= LEAST_SHADOW


def _sum(counts: list[Floats]) -> Floats:
    total: Floats = np.sum(counts, axis=0)
    return total


def _arm(counts: list[Floats], level: int) -> Arm | None:
    above = level + 1
    pairs = [
        (float(each[above]) if above < BUCKETS else 0.0, float(each[0]))
        for each in counts
        if each[0] > 0.0
    ]
    if not pairs:
        return None
    return arm([part / all_ for part, all_ in pairs], [all_ for _, all_ in pairs])
