# SPDX-License-Identifier: MIT
"""How do tasks of an event loop come in? One timer for all that wait, no task for any."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from math import inf

from resonance.policies._records import Importance
from resonance.server._admission import Ending
from resonance.server._cpu_wait import ThreadWait
from resonance.server._gate import Gate, GateReport
from resonance.server._line import Ticket
from resonance.server._policy import AdmissionPolicy

__all__ = ["AsyncGate"]


class AsyncGate(Gate):
    """The door of a server in an event loop; for one loop at a time.

    Each request does ``enter``, ``await wait`` if its ticket is queued, and, whatever happened,
    ``end``::

        ticket = gate.enter(importance="high", deadline=time.monotonic() + 0.5)
        ending = "dropped"
        try:
            if ticket.stage == "queued":
                await gate.wait(ticket)
            if ticket.stage != "running":
                return refusal(ticket.refusal)
            answer = await serve()
            ending = "done"
            return answer
        finally:
            gate.end(ticket, ending)

    Parameters
    ----------
    policy, clock, uniform
        As in `Gate`.
    cpu_wait : ThreadWait, optional
        How long the thread of the loop waited for a CPU.
    """

    def __init__(
        self,
        policy: AdmissionPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        cpu_wait: ThreadWait | None = None,
    ) -> None:
        super().__init__(policy, clock=clock, uniform=uniform)
        self._cpu_wait = cpu_wait or ThreadWait()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, importance: Importance = "normal", deadline: float = inf) -> Ticket:
        """Take a request in.

        Parameters
        ----------
        importance : {"low", "normal", "high", "critical"}
        deadline : float
            On the clock of `time.monotonic`; infinite for none.

        Returns
        -------
        Ticket
            Its ``stage`` says whether it runs, must `wait`, or is over: refused.
        """
        admission = self.admission
        # The kernel is asked only where somebody waits or is about to.
        waited = 0.0 if admission.has_room else self._cpu_wait.seconds()
        ticket = admission.enter(
            self._clock(), importance=importance, deadline=deadline, waited=waited
        )
        if admission.decided:
            self._tell()
        return ticket

    async def wait(self, ticket: Ticket) -> None:
        """Return when a queued request runs, is refused, or was taken back.

        Parameters
        ----------
        ticket : Ticket
            When this is cancelled, `end` takes it back.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        ticket.wake = partial(_let_go, waiter)
        self._arm(loop)
        await waiter

    def end(self, ticket: Ticket, ending: Ending = "done") -> None:
        """End a request at whatever stage it is; does nothing when it is over.

        Parameters
        ----------
        ticket : Ticket
        ending : {"done", "failed", "dropped"}
            Of one that ran.
        """
        admission = self.admission
        if ticket.stage == "running":
            waited = self._cpu_wait.seconds() if admission.queued else 0.0
            admission.leave(ticket, self._clock(), ending=ending, waited=waited)
        elif ticket.stage == "queued":
            admission.withdraw(ticket)
            if ticket.wake is not None:
                ticket.wake()
        if admission.decided:
            self._tell()

    def report(self) -> GateReport:
        """Return the state of the door and what it decided."""
        waited = self._cpu_wait.seconds()
        is_known = self._cpu_wait.is_known
        return self._report(waited, "application" if is_known else "sojourn")

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the queue looked at when its first may have waited too long."""
        due = self._sweep_in(self._cpu_wait.seconds())
        if self._timer is not None and self._loop is loop:
            if self._timer.when() <= loop.time() + due:
                return
            self._timer.cancel()
        self._loop = loop
        self._timer = None if due == inf else loop.call_later(due, self._sweep)

    def _sweep(self) -> None:
        loop, self._timer = self._loop, None
        self.admission.sweep(self._clock(), waited=self._cpu_wait.seconds())
        self._tell()
        if loop is not None and self.admission.queued:
            self._arm(loop)


def _let_go(waiter: asyncio.Future[None]) -> None:
    """Let a task go on, unless it was cancelled or its loop is no more."""
    if not waiter.done() and not waiter.get_loop().is_closed():
        waiter.set_result(None)
