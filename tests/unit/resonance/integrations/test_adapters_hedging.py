# SPDX-License-Identifier: MIT
"""What holds with each HTTP library: a copy wins, and the loser leaves its server."""

from __future__ import annotations

import threading
import time

import pytest

from fakes.http_clients import HEDGE, NAME, PLENTY, SECURE, Make
from fakes.http_replicas import Replica, answer, answer_when, replicas, silence, stall_unless_copied
from resonance import HedgePolicy, Policy, TaskHint


def test_a_copy_wins_over_a_replica_that_stalls(make: Make) -> None:
    with replicas(*[stall_unless_copied()] * 3) as all_three:
        got = make(HEDGE, all_three).send("GET", NAME)
        assert got.status == 200
        assert got.outcome is not None
        assert (got.outcome.hedge_fired, got.outcome.hedge_won) == (True, True)


def test_the_loser_is_cancelled_at_its_server(make: Make) -> None:
    with replicas(*[stall_unless_copied()] * 2) as both:
        got = make(HEDGE, both).send("GET", NAME)
        assert got.outcome is not None
        loser = next(each for each in both if each.url != got.outcome.target)
        loser.wait_until_left()


def test_a_kept_connection_is_cut_as_well(make: Make) -> None:
    with replicas(answer(), answer()) as both:
        library = make(HEDGE, both)
        for _ in range(20):
            for behaviour in (answer(), answer(), stall_unless_copied()):
                for each in both:
                    each.always = behaviour
                got = library.send("GET", NAME)
            assert got.outcome is not None
            loser = next(each for each in both if each.url != got.outcome.target)
            if loser.wait_until_left() > 1:
                return
        pytest.fail("no connection was used twice")


def test_a_connection_goes_on_after_a_call_that_was_hedged(make: Make) -> None:
    with replicas(*[stall_unless_copied()] * 2) as both:
        library = make(HEDGE, both)
        library.send("GET", NAME)
        for _ in range(20):
            assert library.send("GET", NAME).status == 200


def test_a_copy_wins_over_a_connection_that_is_never_made(make: Make) -> None:
    with Replica() as replica, silence() as silent:
        library = make(HEDGE, [replica, silent])
        answers = [library.send("GET", NAME) for _ in range(40)]
        assert {got.status for got in answers} == {200}
        assert any(got.outcome and got.outcome.hedge_won for got in answers)


def test_nothing_is_in_flight_after_hedged_calls(make: Make) -> None:
    with replicas(*[stall_unless_copied()] * 3) as all_three:
        library = make(HEDGE, all_three)
        for _ in range(10):
            library.send("GET", NAME)
        (service,) = library.client._services.values()
        ends_at = time.monotonic() + 10.0
        while service.inflight and time.monotonic() < ends_at:
            time.sleep(0.001)
        assert (service.inflight, service.calls_inflight) == (0, 0)
        assert [each.inflight for each in service.cluster.candidates] == [0, 0, 0]


def test_a_post_is_not_hedged(make: Make) -> None:
    released = threading.Event()
    with replicas(*[answer_when(released)] * 2) as both:
        library = make(HEDGE, both)
        threading.Timer(0.05, released.set).start()
        got = library.send("POST", NAME, body=b"pay")
        assert got.outcome is not None
        assert (got.status, got.outcome.attempts) == (200, 1)
        assert sum(len(each.requests) for each in both) == 1


def test_a_post_that_is_known_to_be_idempotent_is_hedged(make: Make) -> None:
    with replicas(*[stall_unless_copied()] * 2) as both:
        library = make(HEDGE, both, hint=TaskHint(idempotent=True))
        got = library.send("POST", NAME, body=b"find")
        assert got.outcome is not None
        assert got.outcome.hedge_won
        assert {each.requests[0].body for each in both} == {b"find"}


def test_a_body_that_is_streamed_is_never_sent_twice_at_once(make: Make) -> None:
    released = threading.Event()
    policy = Policy(hedge=HedgePolicy(delay=0.001, idempotent_only=False), budget=PLENTY)
    with replicas(*[answer_when(released)] * 2) as both:
        library = make(policy, both)
        threading.Timer(0.05, released.set).start()
        assert library.send("PUT", NAME, is_streamed=True).status == 200
        assert [seen.body for each in both for seen in each.requests] == [b"a stream"]


def test_a_connection_with_tls_is_cut_as_well(make: Make) -> None:
    either = stall_unless_copied()
    with Replica(either, tls=True) as one, Replica(either, tls=True) as two:
        got = make(HEDGE, [one, two], tls=True).send("GET", f"{SECURE}/")
        assert got.outcome is not None
        assert got.outcome.hedge_won
        (one if got.outcome.target == two.url else two).wait_until_left()
