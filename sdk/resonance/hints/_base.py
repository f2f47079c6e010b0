# SPDX-License-Identifier: MIT
"""What Hints and AsyncHints have in common: everything that does not wait."""

from __future__ import annotations

import math
import os
from time import monotonic, monotonic_ns
from typing import Final

from resonance.hints._layout import PolicyCeiling
from resonance.hints._link import Link, socket_path
from resonance.hints._page import Cgroup, PageReader
from resonance.hints._records import Kind, Latency, Reading, State, Status

__all__ = ["HintsBase", "latency_of"]

_REUSE_SECONDS: Final = 0.1
"""How long `percentiles` answers from one state: the daemon's own interval."""


class HintsBase:
    """The half of the hints that needs no daemon process to answer.

    Parameters
    ----------
    socket : path, optional
        The daemon's socket; by default ``$RESONANCE_HINTS_SOCKET``, else
        ``/run/resonance/hints.sock``. The shared page is looked for beside it.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        self.socket = socket_path(socket)
        self._page = PageReader(self.socket.parent / f"{self.socket.stem}.page")
        self._link = Link(self.socket)
        self._latest: State | None = None
        self._latest_at = -math.inf

    def pressure(self, cgroup: Cgroup = None) -> float | None:
        """Return the share of time that tasks of a cgroup wait for a CPU.

        Costs less than a microsecond: it reads memory that the daemon writes 200 times a
        second while anybody reads.

        Parameters
        ----------
        cgroup : str or int, optional
            Path below the root of the hierarchy, or ``other`` for all that have no slot, or
            the number of a cgroup, as `Resolution` has it; by default the cgroup of this
            process.

        Returns
        -------
        float or None
            0 to 1; ``None`` when it is not known, and `status` says why.
        """
        return self._page.pressure(cgroup)

    def reading(self, cgroup: Cgroup = None) -> Reading | None:
        """Return the same with its age, for whoever needs it younger than the daemon says.

        Parameters
        ----------
        cgroup : str or int, optional
            As for `pressure`.
        """
        found = self._page.reading(cgroup)
        return Reading(found[0], (monotonic_ns() - found[1]) / 1e9) if found else None

    def policy_ceiling(self) -> PolicyCeiling | None:
        """Return how far policies may go on this host; a client does the lower of that and its own.

        The operator sets it, with ``resonanced policies``. What was read last stays in force
        when the daemon goes away, until a new one says otherwise. Costs some microseconds, and
        at most ten times a second some system calls; nothing is asked over the socket.

        Returns
        -------
        {"observe", "advise", "active"} or None
            ``None``: nobody has said anything.
        """
        return self._page.policy_ceiling()

    @property
    def status(self) -> Status:
        """Why hints were unknown when they were last asked for."""
        return Status(page=self._page.reason, service=self._link.reason)

    def _recent_state(self) -> State | None:
        is_recent = monotonic() - self._latest_at < _REUSE_SECONDS
        return self._latest if is_recent else None

    def _remember(self, state: State | None) -> State | None:
        if state is not None:
            self._latest, self._latest_at = state, monotonic()
        return state


def latency_of(state: State | None, cgroup: str | None, kind: Kind) -> Latency | None:
    """Return the waits of one kind in one cgroup of a state, if both are known."""
    found = state.find(cgroup) if state else None
    return found.latency(kind) if found else None
