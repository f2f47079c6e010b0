# SPDX-License-Identifier: MIT
"""Which request is begun, which waits, and which is refused? Decisions without a clock.

A driver tells what happens (`Admission.enter`, `Admission.leave`, `Admission.withdraw`) and
when, and afterwards tells those in `Admission.decided` what has become of them. It serialises
the calls. Each request that entered ends exactly once: refused, withdrawn, or left.

Two clocks are kept apart. Deadlines and service times are on the caller's clock, ``now``. How
long a request waits in the queue is told on the application's clock, ``now - waited``, which
stands still while the server waits for a CPU: a queue that the rest of the node made is no
reason to refuse work, one that the application made is.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from resonance.errors import PolicyError
from resonance.policies._limits import Limit
from resonance.policies._records import Importance
from resonance.server._counts import Counts
from resonance.server._line import RANKS, Ticket
from resonance.server._policy import AdmissionPolicy
from resonance.server._queue import Queue
from resonance.server._refusals import Refusal
from resonance.server._service_times import ServiceTimes

__all__ = ["Admission", "Ending"]

Ending = Literal["done", "failed", "dropped"]
"""Answered; failed for a reason of its own; too late, or for a caller that had gone."""


class Admission:
    """The state of one server; not for several threads at once.

    Parameters
    ----------
    policy : AdmissionPolicy
    limit : Limit
        What ``policy.limit`` says, made.

    Attributes
    ----------
    decided : list of Ticket
        Those that waited and were begun or refused since the driver last emptied this list.
    inflight : int
        Requests in service.
    counts : Counts
    """

    def __init__(self, policy: AdmissionPolicy, limit: Limit) -> None:
        self.decided: list[Ticket] = []
        self.inflight = 0
        self.counts = Counts()
        self._interval = policy.interval
        self._limit = limit
        self._queue = Queue(policy)
        self._service_times = ServiceTimes()

    @property
    def limit(self) -> int:
        """How many may be in service now."""
        return self._limit.limit

    @property
    def has_room(self) -> bool:
        """A request that came now would be begun at once."""
        return not self._queue and self.inflight < self._limit.limit

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._queue)

    def enter(
        self,
        now: float,
        *,
        importance: Importance = "normal",
        deadline: float = inf,
        waited: float = 0.0,
    ) -> Ticket:
        """Take a request in; its ticket says whether it runs, waits, or is refused.

        Parameters
        ----------
        now : float
            Seconds on a clock that never goes back.
        importance : {"low", "normal", "high", "critical"}
            The least important are refused first, and begun last.
        deadline : float
            On the same clock; infinite for none.
        waited : float
            Seconds the server has waited for a CPU, since any moment; always 0 where that is
            not known.

        Returns
        -------
        Ticket
            For `leave` once it runs, for `withdraw` while it waits.

        Raises
        ------
        PolicyError
            For another importance; then nothing entered.
        """
        rank = RANKS.get(importance)
        if rank is None:
            raise PolicyError(
                "importance", f"must be one of {', '.join(RANKS)}, not {importance!r}"
            )
        self.counts.entered += 1
        ticket = Ticket(rank, deadline, now)
        if deadline <= now:
            self._refuse(ticket, Refusal.DEADLINE_OVER)
        elif not self._queue and self.inflight < self._limit.limit:
            self._start(ticket, now)
            self.counts.run_at_once += 1
        else:
            self._wait(ticket, now - waited)
        return ticket

    def leave(
        self, ticket: Ticket, now: float, *, ending: Ending = "done", waited: float = 0.0
    ) -> None:
        """End a request that runs; those that wait take its place.

        Parameters
        ----------
        ticket : Ticket
        now, waited : float
            As in `enter`.
        ending : {"done", "failed", "dropped"}
            How long a failed one took teaches nothing; a dropped one took too long.

        Raises
        ------
        RuntimeError
            When it does not run: each ends only once.
        """
        if ticket.stage != "running":
            raise RuntimeError(f"a request that is {ticket.stage} cannot leave")
        ticket.stage = "over"
        if ending == "done":
            self.counts.done += 1
            self._learn(now - ticket.started_at, now, is_drop=False)
        elif ending == "dropped":
            self.counts.dropped += 1
            self._learn(now - ticket.started_at, now, is_drop=True)
        else:
            self.counts.failed += 1
        self.inflight -= 1
        if self._queue:
            self._fill(now, now - waited)

    def withdraw(self, ticket: Ticket) -> None:
        """Take back a request that waits, because nobody wants its answer any more.

        Parameters
        ----------
        ticket : Ticket

        Raises
        ------
        RuntimeError
            When it does not wait: each ends only once.
        """
        if ticket.stage != "queued":
            raise RuntimeError(f"a request that is {ticket.stage} cannot be withdrawn")
        ticket.stage = "over"
        self._queue.remove(ticket)
        self.counts.withdrawn += 1

    def sweep(self, now: float, *, waited: float = 0.0) -> None:
        """Refuse those that have waited too long; to be called when `due_in` is over.

        Parameters
        ----------
        now, waited : float
            As in `enter`.
        """
        self._sweep(now - waited)

    def due_in(self, now: float, *, waited: float = 0.0) -> float:
        """Return the seconds after which `sweep` may have something to refuse.

        Parameters
        ----------
        now, waited : float
            As in `enter`.

        Returns
        -------
        float
            0 or more; infinite while nobody waits.
        """
        return self._queue.due_in(now - waited)

    def is_overloaded(self, now: float, *, waited: float = 0.0) -> bool:
        """Tell whether the queue has not been empty for an interval.

        Parameters
        ----------
        now, waited : float
            As in `enter`.
        """
        return self._queue.is_standing(now - waited)

    def drain_seconds(self, now: float) -> float:
        """Return how long those that are here now will take, at least one interval.

        Parameters
        ----------
        now : float
            As in `enter`.

        Returns
        -------
        float
            For this long a caller that was refused had better not come back.
        """
        median_seconds = self._service_times.median_seconds(now) or 0.0
        rounds = (self.inflight + len(self._queue)) / self._limit.limit
        return max(self._interval, rounds * median_seconds)

    def _wait(self, ticket: Ticket, clock: float) -> None:
        self._sweep(clock)
        if self._queue.is_full:
            other = self._queue.gives_way(ticket, clock)
            if other is None:
                self._refuse(ticket, Refusal.QUEUE_FULL)
                return
            self._dismiss(other, Refusal.DISPLACED)
        self._queue.append(ticket, clock)
        self.counts.queued += 1

    def _fill(self, now: float, clock: float) -> None:
        """Begin as many of those that wait as there is room for."""
        self._sweep(clock)
        while self._queue and self.inflight < self._limit.limit:
            ticket = self._queue.next_up(clock)
            refusal = self._too_late(ticket, now)
            if refusal is not None:
                self._dismiss(ticket, refusal)
                continue
            self._queue.remove(ticket)
            self._start(ticket, now)
            self.counts.run_from_queue += 1
            self.decided.append(ticket)

    def _sweep(self, clock: float) -> None:
        for ticket in self._queue.overdue(clock):
            self._refuse(ticket, Refusal.QUEUED_TOO_LONG)
            self.decided.append(ticket)

    def _too_late(self, ticket: Ticket, now: float) -> Refusal | None:
        """Tell why one that waited would not be done in time.

        Only of what waited: one that finds room at once is begun whatever the median says, or
        a median that was once above all deadlines would never be measured again.
        """
        if ticket.deadline == inf:
            return None
        remaining = ticket.deadline - now
        if remaining <= 0:
            return Refusal.DEADLINE_OVER
        median_seconds = self._service_times.median_seconds(now)
        if median_seconds is not None and remaining < median_seconds:
            return Refusal.DEADLINE_TOO_NEAR
        return None

    def _learn(self, elapsed_seconds: float, now: float, *, is_drop: bool) -> None:
        self._limit.observe(elapsed_seconds, self.inflight, is_drop, now)
        self._service_times.add(elapsed_seconds, now, is_drop=is_drop)

    def _start(self, ticket: Ticket, now: float) -> None:
        ticket.stage = "running"
        ticket.started_at = now
        self.inflight += 1

    def _dismiss(self, ticket: Ticket, refusal: Refusal) -> None:
        """Refuse one that waits."""
        self._queue.remove(ticket)
        self._refuse(ticket, refusal)
        self.decided.append(ticket)

    def _refuse(self, ticket: Ticket, refusal: Refusal) -> None:
        ticket.stage = "over"
        ticket.refusal = refusal
        self.counts.refused[refusal] += 1
