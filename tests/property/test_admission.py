# SPDX-License-Identifier: MIT
"""Whatever comes in whatever order: each request that entered ends once, and nothing leaks."""

from __future__ import annotations

from math import inf

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)

from resonance.server import AdmissionPolicy, Ticket
from resonance.server._admission import Admission, Ending
from resonance.server._gate import FixedLimit
from resonance.server._line import RANKS

SECONDS = st.floats(0.0, 0.3) | st.sampled_from([0.0, 0.005, 0.1])
IMPORTANCES = st.sampled_from(sorted(RANKS))
ENDINGS = st.sampled_from(["done", "failed", "dropped"])


class Requests(RuleBasedStateMachine):
    """A server whose limit changes, beside a model that only knows who is where."""

    entered = Bundle("entered")

    def __init__(self) -> None:
        super().__init__()
        self.limit = FixedLimit(2)
        self.admission = Admission(AdmissionPolicy(limit=2, queue=4), self.limit)
        self.now = 1_000.0
        self.waited = 7.0
        self.running: set[Ticket] = set()
        self.queued: set[Ticket] = set()
        self.ends = 0

    @rule(seconds=SECONDS, share=st.floats(0.0, 1.2))
    def time_passes(self, seconds: float, share: float) -> None:
        self.now += seconds
        self.waited += seconds * share

    @rule(limit=st.integers(1, 4))
    def the_limit_changes(self, limit: int) -> None:
        self.limit.limit = limit

    @rule(target=entered, importance=IMPORTANCES, left=st.floats(-0.1, 0.5) | st.just(inf))
    def one_enters(self, importance: str, left: float) -> Ticket:
        had_room = self.admission.has_room
        ticket = self.admission.enter(
            self.now, importance=importance, deadline=self.now + left, waited=self.waited
        )
        if ticket.stage == "running":
            assert had_room
            self.running.add(ticket)
        elif ticket.stage == "queued":
            assert not had_room
            self.queued.add(ticket)
        else:
            assert ticket.refusal is not None
            self.ends += 1
        self._take_decided()
        return ticket

    @rule(ticket=consumes(entered), ending=ENDINGS)
    def one_goes(self, ticket: Ticket, ending: Ending) -> None:
        if ticket.stage == "running":
            self.running.remove(ticket)
            self.admission.leave(ticket, self.now, ending=ending, waited=self.waited)
            self.ends += 1
        elif ticket.stage == "queued":
            self.queued.remove(ticket)
            self.admission.withdraw(ticket)
            self.ends += 1
        self._take_decided()

    @rule()
    def the_timer_fires(self) -> None:
        self.admission.sweep(self.now, waited=self.waited)
        self._take_decided()
        assert self.admission.due_in(self.now, waited=self.waited) >= 0.0

    def _take_decided(self) -> None:
        for ticket in self.admission.decided:
            self.queued.remove(ticket)
            if ticket.stage == "running":
                assert self.admission.inflight <= self.limit.limit
                self.running.add(ticket)
            else:
                assert ticket.refusal is not None
                self.ends += 1
        self.admission.decided.clear()

    @invariant()
    def everyone_is_in_one_place(self) -> None:
        admission, counts = self.admission, self.admission.counts
        assert admission.inflight == len(self.running) >= 0
        assert admission.queued == len(self.queued) <= 4
        assert counts.ended == self.ends
        assert counts.entered == self.ends + admission.inflight + admission.queued
        assert counts.run_at_once + counts.run_from_queue == (
            counts.done + counts.failed + counts.dropped + admission.inflight
        )
        assert all(ticket.stage == "running" for ticket in self.running)
        assert all(ticket.stage == "queued" for ticket in self.queued)

    @invariant()
    def nobody_waits_where_nobody_is_served(self) -> None:
        assert self.running or not self.queued

    def teardown(self) -> None:
        self.limit.limit = 2
        while self.running:
            ticket = self.running.pop()
            self.admission.leave(ticket, self.now, waited=self.waited)
            self.ends += 1
            self._take_decided()
        assert (self.admission.inflight, self.admission.queued) == (0, 0)
        assert self.admission.counts.entered == self.admission.counts.ended == self.ends


TestRequests = Requests.TestCase
TestRequests.settings = settings(deadline=None, max_examples=200, stateful_step_count=60)
