# SPDX-License-Identifier: MIT
"""How does a thread of gRPC's pool come in, and who takes it back when its caller has gone?

The threads stand in the queue themselves, so a server's pool needs as many of them as requests
may be in service and wait. A request that finds no thread waits in the pool, where nobody can
choose whom to begin; what has waited there for an interval, because all threads were at others,
is refused when one takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from math import inf
from typing import NamedTuple

from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._line import RANKS, Ticket
from resonance.server._policy import AdmissionPolicy
from resonance.server._refusals import Refusal
from resonance.server._threads import ThreadGate

__all__ = ["Arrival", "PoolGate"]


class Arrival(NamedTuple):
    """When a request came.

    Attributes
    ----------
    at : float
        On the gate's clock in seconds.
    waited : float
        Seconds that the server had waited for a CPU by then.
    """

    at: float
    waited: float


class PoolGate(ThreadGate):
    """The door of a server whose requests first wait for a thread.

    Parameters
    ----------
    policy : AdmissionPolicy, optional
    """

    def __init__(self, policy: AdmissionPolicy | None = None) -> None:
        super().__init__(policy)
        self._threads = threading.local()

    def arrive(self) -> Arrival:
        """Take note of a request that has no thread yet."""
        return Arrival(self._clock(), self._cpu_wait.seconds())

    def enter_with(
        self,
        arrival: Arrival,
        importance: Importance,
        deadline: float,
        on_gone: Callable[[Callable[[], None]], bool],
    ) -> Ticket:
        """Take a request in; wait until it runs, is refused, or its caller has gone.

        Parameters
        ----------
        arrival : Arrival
        importance : {"low", "normal", "high", "critical"}
        deadline : float
            On the gate's clock; infinite for none.
        on_gone : callable
            Registers what is called when the caller has gone; tells whether it is still there.

        Returns
        -------
        Ticket
            Its ``stage`` says whether it runs or is over: refused, or, without a refusal, taken
            back because its caller has gone.
        """
        if self._is_overdue(arrival):
            return self._refuse_unseen(importance, deadline, arrival)
        self._threads.on_gone = on_gone
        try:
            return self.enter(importance, deadline)
        finally:
            del self._threads.on_gone

    def end(self, ticket: Ticket, ending: Ending = "done") -> None:
        """End a request, and note that its thread is free.

        Parameters
        ----------
        ticket : Ticket
        ending : {"done", "failed", "dropped"}
            As in `ThreadGate.end`.
        """
        super().end(ticket, ending)
        self._threads.freed_at = self._clock()

    def _is_overdue(self, arrival: Arrival) -> bool:
        """Tell whether a request had to wait too long for this thread, which was at another.

        A thread that was free before, and comes late, was kept waiting by the rest of the node.
        """
        freed_at: float = getattr(self._threads, "freed_at", -inf)
        cpu_wait_seconds = self._cpu_wait.seconds() - arrival.waited
        return freed_at - arrival.at - cpu_wait_seconds > self.policy.interval

    def _refuse_unseen(self, importance: Importance, deadline: float, arrival: Arrival) -> Ticket:
        ticket = Ticket(RANKS[importance], deadline, arrival.at)
        ticket.stage, ticket.refusal = "over", Refusal.QUEUED_TOO_LONG
        with self._lock:
            self.admission.counts.entered += 1
            self.admission.counts.refused[ticket.refusal] += 1
        return ticket

    def _wait(self, ticket: Ticket, event: threading.Event) -> None:
        take_back = partial(self._take_back, ticket)
        if not self._threads.on_gone(take_back):
            take_back()
        super()._wait(ticket, event)

    def _take_back(self, ticket: Ticket) -> None:
        """Take a request out of the queue, if it still waits there, and let its thread go."""
        with self._lock:
            if ticket.stage == "queued":
                self.admission.withdraw(ticket)
                assert ticket.wake is not None
                ticket.wake()
                self._tell()
