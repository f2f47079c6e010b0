# SPDX-License-Identifier: MIT
"""Whom does one stream, or one embedded core, look after, and what changed since it last looked?

Nothing is handed over when a source comes or goes: the roll compares who is there with whom it
knows. So a source may go in the middle of anything, as when the garbage collector takes it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

from resonance.periodic._source import Source

__all__ = ["Changes", "Entry", "Roll"]


@dataclass(slots=True, eq=False)
class Entry:
    """One source on the roll.

    Attributes
    ----------
    source : Source
    offset_ns : int
        Its hold when it was put on the roll: what the authority was told.
    is_confirmed : bool
        The authority has spoken since.
    is_refused : bool
        It does not want it.
    """

    source: Source
    offset_ns: int
    is_confirmed: bool = False
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """Who came and who went, by key."""

    came: dict[int, Entry]
    went: list[int]


class Roll:
    """Sources by keys that are never used twice."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._keys: dict[Source, int] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._entries)

    def update(self, sources: Collection[Source], now_ns: int) -> Changes:
        """Take those that are there now; return what changed."""
        wanted = set(sources)
        changes = Changes({}, [key for source, key in self._keys.items() if source not in wanted])
        for key in changes.went:
            del self._keys[self._entries.pop(key).source]
        for source in sources:
            if source not in self._keys:
                key = self._keys[source] = next(self._numbers)
                changes.came[key] = self._entries[key] = Entry(source, source.offset_ns)
                source.asked(now_ns)
        return changes

    def find(self, key: int) -> Source | None:
        """Return the source of a key, if it is there still and wanted."""
        entry = self._entries.get(key)
        return None if entry is None or entry.is_refused else entry.source

    def items(self) -> list[tuple[int, Source]]:
        """Return those that are wanted, by key."""
        return [(key, each.source) for key, each in self._all() if not each.is_refused]

    def confirm(self) -> list[Source]:
        """Return those that are wanted, now that the authority speaks.

        Whoever it hears for the first time stays where the authority was told that it is.
        """
        for _, entry in self._all():
            if not entry.is_confirmed and not entry.is_refused:
                entry.is_confirmed = True
                entry.source.stay(entry.offset_ns)
        return [source for _, source in self.items()]

    def refuse(self, key: int) -> Source | None:
        """Let a source be that the authority does not want; return it."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.is_refused = True
        return entry.source

    def _all(self) -> list[tuple[int, Entry]]:
        return list(self._entries.items())
