# SPDX-License-Identifier: MIT
"""What does one stream look after, and what is it still to be told?

Nothing queues for a stream: a later placement of a source takes the place of an earlier one,
which its offset being absolute makes harmless. So the most that waits behind a client that
stops reading is one placement per source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from resonance_core.control.records import Command, Source

__all__ = ["MOST_REFUSALS", "MOST_SOURCES", "Attendance", "Attended", "Orders"]

REFUSALS: Final = Counter(
    "resonance_phase_refusals_total", "Sources that were refused, or attended no longer"
)

MOST_SOURCES: Final = 256
"""Of one stream; chosen: a process that leaks sources leaves room for the others."""
MOST_REFUSALS: Final = 1_024
"""That wait for one client; more are not told, and their sources not attended."""


@dataclass(slots=True, kw_only=True)
class Attended:
    """A source and where it is.

    Attributes
    ----------
    source : Source
        Its key is the controller's.
    client_key : int
        What its stream calls it.
    pid : int
        As the client says; for people.
    cgroup_id : int
        As the client says; 0 where it cannot tell.
    held_seconds : float
        Hold in force, as last reported.
    """

    source: Source
    client_key: int
    pid: int
    cgroup_id: int
    held_seconds: float


@dataclass(frozen=True, slots=True)
class Orders:
    """What a stream is to be told now.

    Attributes
    ----------
    placements : dict of int to Command
        By the client's key.
    refusals : dict of int to str
        The same, with the reason.
    """

    placements: dict[int, Command]
    refusals: dict[int, str]


class Attendance:
    """One stream: its sources, and what waits for it.

    Parameters
    ----------
    wake : callable
        Called when something waits that did not before; must not fail.
    """

    __slots__ = ("_placements", "_refusals", "_sources", "_wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._sources: dict[int, Attended] = {}
        self._placements: dict[int, Command] = {}
        self._refusals: dict[int, str] = {}

    def __len__(self) -> int:
        """Return the number of its sources."""
        return len(self._sources)

    def __iter__(self) -> Iterator[Attended]:
        """Iterate over its sources."""
        return iter(self._sources.values())

    def find(self, client_key: int) -> Attended | None:
        """Return the source of that key."""
        return self._sources.get(client_key)

    @property
    def longest_period_seconds(self) -> float:
        """Of its sources; 0 without any."""
        return max((each.source.period_seconds for each in self), default=0.0)

    def add(self, attended: Attended) -> None:
        """Look after one more."""
        self._sources[attended.client_key] = attended
        self._refusals.pop(attended.client_key, None)

    def remove(self, client_key: int) -> None:
        """Look after it no longer, and tell it nothing more."""
        self._sources.pop(client_key)
        self._placements.pop(client_key, None)

    def place(self, client_key: int, command: Command) -> None:
        """Have a source told where it is to be."""
        self._placements[client_key] = command
        self._wake()

    def refuse(self, client_key: int, reason: str) -> None:
        """Have the client told that this source is not attended."""
        REFUSALS.inc()
        if len(self._refusals) < MOST_REFUSALS:
            self._refusals[client_key] = reason
            self._wake()

    def tell(self) -> None:
        """Have the client told what holds for all of its sources, as the mode."""
        self._wake()

    def take(self) -> Orders:
        """Return what waits; it waits no longer."""
        orders = Orders(self._placements, self._refusals)
        self._placements, self._refusals = {}, {}
        return orders
