# SPDX-License-Identifier: MIT
"""In which order do requests wait, how long may they, and who has to go? CoDel and adaptive LIFO.

All times are on the application's clock, which stands still while the server waits for a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from resonance.server._line import RANKS, Line, Ticket
from resonance.server._policy import AdmissionPolicy

__all__ = ["Queue"]


class Queue:
    """Those who wait, and the rule for overload.

    A queue that has not been empty for an interval is a standing one: then a request may wait
    for the target only, and the newest is begun first, since it is the one that may still be
    answered in time. Otherwise it may wait for the interval, and the oldest is begun first.
    The one that is next may always wait for the interval, so that no place in service stays
    empty for want of younger ones. More important requests are begun before less important
    ones in any case.

    Parameters
    ----------
    policy : AdmissionPolicy
    """

    def __init__(self, policy: AdmissionPolicy) -> None:
        self._policy = policy
        self._line = Line()
        self._not_empty_since = inf

    def __len__(self) -> int:
        return len(self._line)

    def is_standing(self, clock: float) -> bool:
        """Tell whether it has not been empty for an interval: this is overload.

        Parameters
        ----------
        clock : float
            On the application's clock.
        """
        return len(self._line) > 0 and clock - self._not_empty_since >= self._policy.interval

    def append(self, ticket: Ticket, clock: float) -> None:
        """Let a request wait; there must be room.

        Parameters
        ----------
        ticket : Ticket
        clock : float
            On the application's clock.
        """
        if not self._line:
            self._not_empty_since = clock
        ticket.queued_at = clock
        self._line.append(ticket)

    def remove(self, ticket: Ticket) -> None:
        """Take out one that waits.

        Parameters
        ----------
        ticket : Ticket
        """
        self._line.remove(ticket)

    def next_up(self, clock: float) -> Ticket:
        """Return the one to begin next.

        Parameters
        ----------
        clock : float
            On the application's clock.

        Returns
        -------
        Ticket
            It still waits.

        Raises
        ------
        LookupError
            When nobody waits.
        """
        return self._line.next_up(is_newest_first=self.is_standing(clock))

    @property
    def is_full(self) -> bool:
        """Nobody else may wait."""
        return len(self._line) >= self._policy.queue

    def gives_way(self, ticket: Ticket, clock: float) -> Ticket | None:
        """Return the one that must go when a request comes and the queue is full.

        The oldest of the least important: where it is less important, or as important but
        would be begun later.

        Parameters
        ----------
        ticket : Ticket
            The one that comes.
        clock : float
            On the application's clock.

        Returns
        -------
        Ticket or None
            ``None``: the one that comes must go itself.
        """
        least = next(self._oldest(), None)
        if least is None or least.rank > ticket.rank:
            return None
        return least if least.rank < ticket.rank or self.is_standing(clock) else None

    def overdue(self, clock: float) -> list[Ticket]:
        """Take out all that have waited too long.

        Parameters
        ----------
        clock : float
            On the application's clock.

        Returns
        -------
        list of Ticket
            Those that waited until now.
        """
        gone = self._take_older(clock - self._policy.interval, spared=None)
        if self.is_standing(clock):
            next_up = self._line.next_up(is_newest_first=True)
            gone += self._take_older(clock - self._policy.target, spared=next_up)
        return gone

    def due_in(self, clock: float) -> float:
        """Return the seconds after which one may be overdue.

        Parameters
        ----------
        clock : float
            On the application's clock.

        Returns
        -------
        float
            0 or more; infinite while nobody waits.
        """
        if not self._line:
            return inf
        if not self.is_standing(clock):
            return self._not_empty_since + self._policy.interval - clock
        next_up = self._line.next_up(is_newest_first=True)
        due_at = min(
            ticket.queued_at + (self._policy.interval if ticket is next_up else self._policy.target)
            for ticket in self._oldest()
        )
        return max(0.0, due_at - clock)

    def _take_older(self, than: float, spared: Ticket | None) -> list[Ticket]:
        """Take out those that came at a time or before, but for one."""
        gone: list[Ticket] = []
        for rank in RANKS.values():
            while (ticket := self._line.oldest(rank)) is not None and ticket is not spared:
                if ticket.queued_at > than:
                    break
                self._line.remove(ticket)
                gone.append(ticket)
        return gone

    def _oldest(self) -> Iterator[Ticket]:
        """Give the oldest of each importance, the least important first."""
        found = (self._line.oldest(rank) for rank in RANKS.values())
        return (ticket for ticket in found if ticket is not None)
