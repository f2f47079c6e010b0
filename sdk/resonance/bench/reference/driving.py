# SPDX-License-Identifier: MIT
"""How long do calls take that the shipped policies decide about, from when they were due?

One thread drives any number of `resonance.policies.Service` objects, each a client of its own,
by one loop: a call is opened when it is due whether or not earlier ones have ended (open loop),
its latency begins when it was due, not when it was sent, and an attempt ends only when its
replica says so. What is sent is in the books until then; a slot whose books do not balance is
no measurement.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from time import monotonic
from typing import Final

from resonance.bench.errors import BenchError
from resonance.bench.reference.links import Answer, AnyLinks, Kind
from resonance.policies import NO_HINT, Attempt, Call, Replica, Service, TaskHint
from resonance.policies.choice import Prequal

__all__ = ["Arrivals", "Driver", "Trace", "UnexplainedError"]

_PATIENCE_SECONDS: Final = 30.0
"""After the last call was due; a queue that has stood for long takes some seconds to empty."""

_EARLY_SECONDS: Final = 200e-6
"""*Chosen*: what it may take to be woken in a virtual machine whose CPU has gone idle. So much
before a call is due, at most, it wakes up and looks for the moment without sleeping."""
_EARLY_CPUS: Final = 0.1
"""*Chosen*: what that may cost, the same in every arm."""

Arrivals = Sequence[tuple[float, int]]
"""Calls: seconds after the beginning, and whose; in order of time."""


class UnexplainedError(BenchError):
    """Something was sent, and what became of it is not known."""


@dataclass(slots=True)
class Trace:
    """What was seen in a slot.

    Attributes
    ----------
    due_ns, sent_ns, ended_ns : list of int
        Of each call, from the slot's beginning: when it was due, sent, and had its result; -1
        until then.
    sent, done, dropped : int
        Attempts: begun, answered, cancelled before their replica began with them.
    wasted : int
        Of those answered, by then of no use.
    hedges, hedges_won : int
    """

    due_ns: list[int] = field(default_factory=list[int])
    sent_ns: list[int] = field(default_factory=list[int])
    ended_ns: list[int] = field(default_factory=list[int])
    sent: int = 0
    done: int = 0
    dropped: int = 0
    wasted: int = 0
    hedges: int = 0
    hedges_won: int = 0

    @property
    def calls(self) -> int:
        """Calls that were due."""
        return len(self.due_ns)

    @property
    def extra_ratio(self) -> float:
        """Attempts beyond the first, per call."""
        return self.sent / self.calls - 1.0

    @property
    def wasted_ratio(self) -> float:
        """Share of what the replicas worked on that was of no use."""
        return self.wasted / self.done

    @property
    def hedge_win_ratio(self) -> float:
        """Copies that answered first, by copies; 0 where none was sent."""
        return self.hedges_won / self.hedges if self.hedges else 0.0


class Driver:
    """A loop that sends what is due and tells the services what comes back.

    Parameters
    ----------
    services : sequence of Service
        One for each client.
    links : AnyLinks
    hint : TaskHint
        Of each call.
    show : callable, optional
        Called with a service's replicas and the time before each of its calls; it sets what the
        kernel knows of them.
    probers : sequence of Prequal
        Whose probes are to be sent, one for each client; none where nobody probes.
    """

    def __init__(
        self,
        services: Sequence[Service],
        links: AnyLinks,
        *,
        hint: TaskHint = NO_HINT,
        show: Callable[[Sequence[Replica], float], None] | None = None,
        probers: Sequence[Prequal] = (),
    ) -> None:
        self._services = services
        self._links = links
        self._hint = hint
        self._show = show
        self._probers = probers
        self._targets = tuple(range(links.replicas))
        self._open: dict[int, Attempt] = {}
        self._numbers: dict[Attempt, int] = {}
        self._number = count(1)
        self._order = count()
        self._timers: list[tuple[float, int, Call]] = []
        self._probes = 0
        self._start = 0.0
        self._trace = Trace()

    def run(self, arrivals: Arrivals, start: float) -> Trace:
        """Send calls as they are due, from `start` on, until all that was sent has ended.

        Parameters
        ----------
        arrivals : sequence of (float, int)
        start : float
            On CLOCK_MONOTONIC, in seconds.

        Returns
        -------
        Trace

        Raises
        ------
        UnexplainedError
            Something did not end, or was counted as something that it was not.
        """
        due_ns = [round(due * 1e9) for due, _ in arrivals]
        never = [-1] * len(due_ns)
        self._start, self._trace = start, Trace(due_ns, never, never[:])
        place = 0
        rate = len(arrivals) / max(arrivals[-1][0], 1e-3) if arrivals else 1.0
        early = min(_EARLY_SECONDS, _EARLY_CPUS / rate)
        give_up_at = start + (arrivals[-1][0] if arrivals else 0.0) + _PATIENCE_SECONDS
        while place < len(arrivals) or self._open or self._probes:
            now = monotonic()
            if now > give_up_at:
                raise UnexplainedError(f"{len(self._open)} attempts have not ended")
            due, client = arrivals[place] if place < len(arrivals) else (inf, 0)
            if start + due <= now:
                self._begin(place, client, now)
                place += 1
                due = arrivals[place][0] if place < len(arrivals) else inf
            if self._next_timer() <= now:
                self._copy(heapq.heappop(self._timers)[2], now)
            wake_at = min(start + due, self._next_timer(), give_up_at)
            for answer in self._links.receive(wake_at - monotonic() - early):
                self._take(answer)
        self._timers.clear()
        self._check(len(arrivals))
        return self._trace

    def _begin(self, place: int, client: int, now: float) -> None:
        service = self._services[client]
        if self._show is not None:
            self._show(service.cluster.candidates, now)
        call = service.open(self._targets, now, hint=self._hint)
        call.plan = client, place
        self._send(client, call)
        self._trace.sent_ns[place] = round((now - self._start) * 1e9)
        self._await_due(call)
        if self._probers:
            for target in self._probers[client].probe_targets(now):
                self._probes += 1
                self._links.send(client, int(str(target)), Kind.PROBE, 0)

    def _send(self, client: int, attempt: Attempt) -> None:
        number = next(self._number)
        self._open[number] = attempt
        self._numbers[attempt] = number
        self._trace.sent += 1
        self._links.send(client, attempt.target, Kind.REQUEST, number)

    def _await_due(self, call: Call) -> None:
        if call.due_at < inf:
            heapq.heappush(self._timers, (call.due_at, next(self._order), call))

    def _next_timer(self) -> float:
        """Return when the next timer is due; for a call that has its result nobody wakes up.

        Near saturation such wakings, of a real-time task, would be load that arms differ in.
        """
        while self._timers and self._timers[0][2].is_settled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else inf

    def _copy(self, call: Call, now: float) -> None:
        client: int = call.plan[0]
        attempt = self._services[client].due(call, now)
        if attempt is not None:
            self._trace.hedges += 1
            self._send(client, attempt)
        self._await_due(call)

    def _take(self, answer: Answer) -> None:
        now = monotonic()
        if answer.kind == Kind.PROBED:
            self._probes -= 1
            seconds = answer.number / 1e9
            self._probers[answer.client].probed(answer.target, answer.queued, seconds, now)
            return
        attempt = self._open.pop(answer.number, None)
        if attempt is None:
            raise UnexplainedError(f"attempt {answer.number} has ended twice, or never begun")
        del self._numbers[attempt]
        service = self._services[answer.client]
        if answer.kind == Kind.DROPPED:
            self._trace.dropped += 1
            service.cancelled(attempt, now)
            return
        self._trace.done += 1
        if not service.reply(attempt, now):
            self._trace.wasted += 1
            return
        call = attempt.call
        place: int = call.plan[1]
        self._trace.ended_ns[place] = round((now - self._start) * 1e9)
        self._trace.hedges_won += attempt.is_hedge
        if call.extras:
            for loser in service.losers(call, now):
                loser.cancel()
                self._links.send(answer.client, loser.target, Kind.CANCEL, self._numbers[loser])

    def _check(self, calls: int) -> None:
        """Compare what we counted with what the services did, and both with what was asked."""
        trace = self._trace
        inflight = [service.inflight for service in self._services]
        if any(inflight) or self._numbers:
            raise UnexplainedError(f"in flight when all has ended: {inflight}")
        if -1 in trace.ended_ns:
            raise UnexplainedError(f"{trace.ended_ns.count(-1)} of {calls} calls have no result")
        if trace.sent != trace.done + trace.dropped or trace.sent != calls + trace.hedges:
            raise UnexplainedError(f"the books do not balance: {trace.sent} attempts")
