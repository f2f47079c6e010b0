# SPDX-License-Identifier: MIT
"""How do threads come in? Each waits by itself, and whoever wakes looks after the queue."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from math import inf

from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._cpu_wait import PoolWait
from resonance.server._gate import Gate, GateReport
from resonance.server._line import Ticket
from resonance.server._policy import AdmissionPolicy

__all__ = ["ThreadGate"]


class ThreadGate(Gate):
    """The door of a server whose requests are handled by threads.

    Each request does ``enter``, which waits, and, whatever happened, ``end``, in one thread::

        with contextlib.ExitStack() as stack:
            ticket = gate.enter(importance="high")
            stack.callback(gate.end, ticket)
            ...

    Parameters
    ----------
    policy, clock, uniform
        As in `Gate`.
    cpu_wait : PoolWait, optional
        How long the threads waited for a CPU.
    """

    def __init__(
        self,
        policy: AdmissionPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        cpu_wait: PoolWait | None = None,
    ) -> None:
        super().__init__(policy, clock=clock, uniform=uniform)
        self._cpu_wait = cpu_wait or PoolWait()
        self._lock = threading.Lock()

    def enter(self, importance: Importance = "normal", deadline: float = inf) -> Ticket:
        """Take a request in; wait until it runs or is refused.

        Parameters
        ----------
        importance : {"low", "normal", "high", "critical"}
        deadline : float
            On the clock of `time.monotonic`; infinite for none.

        Returns
        -------
        Ticket
            Its ``stage`` says whether it runs or is over: refused.
        """
        begun_wait_seconds = self._cpu_wait.begin()
        event: threading.Event | None = None
        with self._lock:
            ticket = self.admission.enter(
                self._clock(),
                importance=importance,
                deadline=deadline,
                waited=self._cpu_wait.seconds(),
            )
            ticket.begun_wait_seconds = begun_wait_seconds
            if ticket.stage == "queued":
                event = threading.Event()
                ticket.wake = event.set
            self._tell()
        if event is not None:
            self._wait(ticket, event)
        return ticket

    def end(self, ticket: Ticket, ending: Ending = "done") -> None:
        """End a request at whatever stage it is; does nothing when it is over.

        Parameters
        ----------
        ticket : Ticket
        ending : {"done", "failed", "dropped"}
            Of one that ran.
        """
        with self._lock:
            if ticket.stage == "running":
                self._cpu_wait.end(ticket.begun_wait_seconds, self.admission.limit)
                waited = self._cpu_wait.seconds()
                self.admission.leave(ticket, self._clock(), ending=ending, waited=waited)
            elif ticket.stage == "queued":
                self.admission.withdraw(ticket)
                if ticket.wake is not None:
                    ticket.wake()
            self._tell()

    def report(self) -> GateReport:
        """Return the state of the door and what it decided."""
        is_known = self._cpu_wait.is_known
        with self._lock:
            waited = self._cpu_wait.seconds()
            return self._report(waited, "application" if is_known else "sojourn")

    def _wait(self, ticket: Ticket, event: threading.Event) -> None:
        try:
            while not event.wait(self._pause_seconds()):
                with self._lock:
                    self.admission.sweep(self._clock(), waited=self._cpu_wait.seconds())
                    self._tell()
        except BaseException:  # a signal in the main thread: whoever waits leaves the queue
            self.end(ticket, "dropped")
            raise

    def _pause_seconds(self) -> float | None:
        with self._lock:
            due = self._sweep_in(self._cpu_wait.seconds())
        return None if due == inf else due
