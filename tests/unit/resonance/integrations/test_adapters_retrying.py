# SPDX-License-Identifier: MIT
"""What holds with each HTTP library: what is repeated, when, and at one layer only."""

from __future__ import annotations

import pytest

from fakes.http_clients import NAME, RETRY, Answer, Make
from fakes.http_replicas import Behaviour, Replica, answer, first, hang_up, nobody, replicas, reset
from resonance import BudgetPolicy, Reason
from resonance.integrations._http import LONGEST_WAIT_SECONDS


def reasons(got: Answer) -> tuple[Reason, ...]:
    assert got.outcome is not None
    return got.outcome.reasons


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_replica_that_is_down_is_passed_over(make: Make, method: str) -> None:
    with Replica() as replica, nobody() as down:
        library = make(RETRY, [down, replica])
        answers = [library.send(method, NAME) for _ in range(40)]
        assert {got.status for got in answers} == {200}
        assert any(got.outcome and got.outcome.attempts == 2 for got in answers)


def test_what_was_never_sent_is_repeated_even_if_its_body_is_streamed(make: Make) -> None:
    with Replica() as replica, nobody() as down:
        library = make(RETRY, [down, replica])
        for _ in range(20):
            assert library.send("POST", NAME, is_streamed=True).status == 200
        assert {seen.body for seen in replica.requests} == {b"a stream"}


@pytest.mark.parametrize("fault", [hang_up, reset])
def test_a_get_is_repeated_when_its_connection_is_lost(make: Make, fault: Behaviour) -> None:
    with replicas(*[first(fault)] * 2) as both:
        got = make(RETRY, both).send("GET", NAME)
        assert got.outcome is not None
        assert (got.status, got.outcome.attempts) == (200, 2)


@pytest.mark.parametrize("fault", [hang_up, reset])
def test_a_post_is_not_repeated_when_its_connection_is_lost(make: Make, fault: Behaviour) -> None:
    with replicas(*[first(fault)] * 2) as both:
        library = make(RETRY, both)
        with pytest.raises(library.error) as caught:
            library.send("POST", NAME, body=b"pay")
        assert sum(len(each.requests) for each in both) == 1
        assert _has_note(caught.value, "1 attempt (not_idempotent)")


def test_a_get_that_fails_everywhere_is_not_repeated_at_two_layers(make: Make) -> None:
    with replicas(hang_up, hang_up) as both:
        library = make(RETRY, both)
        with pytest.raises(library.error):
            library.send("GET", NAME)
        assert sum(len(each.requests) for each in both) == 3


def test_the_same_request_may_fail_again_later(make: Make) -> None:
    with replicas(hang_up, hang_up) as both:
        library = make(RETRY, both)
        for _ in range(2):
            with pytest.raises(library.error):
                library.send("GET", NAME)
        assert sum(len(each.requests) for each in both) == 6


def test_what_the_server_can_keep_apart_is_repeated(make: Make) -> None:
    with replicas(*[first(hang_up)] * 2) as both:
        headers = {"Idempotency-Key": "7"}
        got = make(RETRY, both).send("POST", NAME, body=b"pay", headers=headers)
        assert got.status == 200
        assert [seen.body for each in both for seen in each.requests] == [b"pay", b"pay"]


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_an_answer_that_may_be_better_elsewhere_is_asked_for_again(make: Make, status: int) -> None:
    with replicas(*[first(answer(status))] * 2) as both:
        got = make(RETRY, both).send("GET", NAME)
        assert got.outcome is not None
        assert (got.status, got.outcome.attempts) == (200, 2)


@pytest.mark.parametrize("status", [500, 501, 404, 400])
def test_other_answers_are_returned(make: Make, status: int) -> None:
    with Replica(answer(status, b"no")) as replica:
        got = make(RETRY, [replica]).send("GET", NAME)
        assert (got.status, got.body) == (status, b"no")
        assert len(replica.requests) == 1


def test_an_answer_that_stays_bad_is_returned(make: Make) -> None:
    with replicas(answer(503, b"busy"), answer(503, b"busy")) as both:
        got = make(RETRY, both).send("GET", NAME)
        assert (got.status, got.body) == (503, b"busy")
        assert sum(len(each.requests) for each in both) == 3


def test_a_body_that_is_streamed_is_sent_once_with_the_reason(make: Make) -> None:
    with Replica(answer(503)) as replica:
        got = make(RETRY, [replica]).send("PUT", NAME, is_streamed=True)
        assert got.status == 503
        assert Reason.NOT_IDEMPOTENT in reasons(got)
        assert [seen.body for seen in replica.requests] == [b"a stream"]


def test_the_server_says_when_to_come_back(make: Make) -> None:
    with replicas(*[first(answer(503, Retry_After="0"))] * 2) as both:
        got = make(RETRY, both).send("GET", NAME)
        assert got.status == 200
        assert Reason.RETRIED_WHEN_TOLD in reasons(got)


def test_a_second_is_a_second(make: Make) -> None:
    with replicas(*[first(answer(429, Retry_After="1"))] * 2) as both:
        got = make(RETRY, both).send("GET", NAME)
        assert got.outcome is not None
        assert (got.status, got.outcome.elapsed_seconds >= 1.0) == (200, True)


def test_nobody_waits_for_a_server_that_wants_to_rest_long(make: Make) -> None:
    longer = str(int(LONGEST_WAIT_SECONDS) + 1)
    with Replica(answer(503, Retry_After=longer)) as replica:
        got = make(RETRY, [replica]).send("GET", NAME)
        assert got.status == 503
        assert Reason.TOLD_TO_STOP in reasons(got)


def test_a_storm_of_refusals_gets_no_more_than_the_budget_pays_for(make: Make) -> None:
    policy = RETRY | BudgetPolicy(ratio=0.1, cap=2.0, initial=2.0)
    with replicas(answer(503), answer(503)) as both:
        library = make(policy, both)
        for _ in range(20):
            library.send("GET", NAME)
        assert sum(len(each.requests) for each in both) == 22


def _has_note(error: BaseException | None, note: str) -> bool:
    while error is not None:
        if any(note in each for each in getattr(error, "__notes__", ())):
            return True
        error = error.__cause__ or error.__context__
    return False
