# SPDX-License-Identifier: MIT
"""What holds with each HTTP library: names, headers, deadlines, and what is sent at all."""

from __future__ import annotations

import pytest

import resonance
from fakes.http_clients import HEDGE, LIBRARIES, NAME, RETRY, SECURE, Make
from fakes.http_replicas import Connection, Replica, answer, hang_up, replicas, stall
from resonance import Reason


def test_goes_to_a_replica_under_the_name_that_was_asked_for(make: Make) -> None:
    with Replica() as replica:
        got = make(HEDGE, [replica]).send("GET", f"{NAME}/items?q=1")
        assert (got.status, got.body) == (200, b"done")
        seen = replica.requests[0]
        assert (seen.path, seen.headers["host"]) == ("/items?q=1", "search.test")


def test_tells_what_was_done(make: Make) -> None:
    with Replica() as replica:
        outcome = make(RETRY, [replica]).send("GET", NAME).outcome
        assert outcome is not None
        assert (outcome.attempts, outcome.target) == (1, replica.url)
        assert outcome.reasons == (Reason.ONLY_REPLICA,)


def test_a_host_of_the_callers_own_is_kept(make: Make) -> None:
    with Replica() as replica:
        make(HEDGE, [replica], keep_host=False).send("GET", NAME, headers={"Host": "mine"})
        assert replica.requests[0].headers["host"] == "mine"


def test_the_replicas_host_is_sent_where_that_is_wanted(make: Make) -> None:
    with Replica() as replica:
        make(HEDGE, [replica], keep_host=False).send("GET", NAME)
        assert replica.requests[0].headers["host"] == f"127.0.0.1:{replica.port}"


def test_another_host_is_its_own_replica(make: Make) -> None:
    with Replica() as replica, Replica(hang_up) as other:
        got = make(HEDGE, [other]).send("GET", f"{replica.url}/x")
        assert got.outcome is not None
        assert got.outcome.target == replica.url
        assert replica.requests[0].headers["host"] == f"127.0.0.1:{replica.port}"


def test_the_list_of_replicas_may_change(make: Make) -> None:
    with replicas(answer(), answer()) as (one, two):
        urls = [one.url]
        library = make(HEDGE, lambda: urls)
        library.send("GET", NAME)
        urls[:] = [two.url]
        library.send("GET", NAME)
        assert (len(one.requests), len(two.requests)) == (1, 1)


def test_without_replicas_the_librarys_own_error_is_raised(make: Make) -> None:
    library = make(HEDGE)
    with pytest.raises(library.error, match="search.test"):
        library.send("GET", NAME)


def test_a_client_that_was_closed_raises_the_librarys_own_error(make: Make) -> None:
    with Replica() as replica:
        library = make(HEDGE, [replica])
        library.close_client()
        with pytest.raises(library.error):
            library.send("GET", NAME)


def test_a_certificate_is_checked_for_the_name_that_was_asked_for(make: Make) -> None:
    with Replica(tls=True) as replica:
        assert make(HEDGE, [replica], tls=True).send("GET", f"{SECURE}/").status == 200
        strict = make(HEDGE, [replica], tls=True, keep_host=False)
        with pytest.raises(strict.error):
            strict.send("GET", f"{SECURE}/")


# ---- headers and deadlines -------------------------------------------------------------------


def test_a_deadline_goes_with_the_request(make: Make) -> None:
    with Replica() as replica, resonance.deadline(30.0):
        make(RETRY, [replica]).send("GET", NAME)
        assert 0.0 < float(replica.requests[0].headers["resonance-timeout"]) <= 30.0


def test_the_callers_own_header_wins(make: Make) -> None:
    with Replica() as replica, resonance.deadline(30.0):
        make(RETRY, [replica]).send("GET", NAME, headers={"Resonance-Timeout": "7"})
        assert replica.requests[0].headers["resonance-timeout"] == "7"


def test_a_repetition_says_which_it_is(make: Make) -> None:
    with Replica() as replica:
        replica.will(answer(503), answer(503))
        make(RETRY, [replica]).send("GET", NAME)
        told = [seen.headers.get("resonance-attempt") for seen in replica.requests]
        assert told == [None, "1", "2"]


def test_a_deadline_ends_a_call_with_the_librarys_own_error(make: Make) -> None:
    with Replica(stall) as replica:
        library = make(RETRY, [replica])
        with pytest.raises(library.late), resonance.deadline(0.3):
            library.send("GET", NAME)
        if replica.requests:
            replica.wait_until_left()


def test_a_policys_timeout_ends_a_call(make: Make) -> None:
    with Replica(stall) as replica:
        library = make(RETRY.replace(timeout=0.3), [replica])
        with pytest.raises(library.late):
            library.send("GET", NAME)
        if replica.requests:
            replica.wait_until_left()


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_a_client_that_may_only_look_sends_what_the_library_sends(make: Make, mode: str) -> None:
    with Replica(answer(503)) as replica:
        bare = make(None).send("PUT", f"{replica.url}/x", body=b"y")
        policy = HEDGE | RETRY
        watched = make(policy, [], mode).send("PUT", f"{replica.url}/x", body=b"y")
        assert watched[:2] == bare[:2]
        assert len(replica.requests) == 2
        assert replica.requests[0] == replica.requests[1]


def test_a_load_report_that_comes_with_an_answer_is_kept(make: Make) -> None:
    report = 'JSON {"application_utilization": 0.5, "named_metrics": {"runqueue_pressure": 0.25}}'
    with Replica(answer(endpoint_load_metrics=report)) as replica:
        library = make(RETRY, [replica])
        library.send("GET", NAME)
        (known,) = next(iter(library.client._services.values())).cluster.candidates
        assert (known.utilization, known.pressure) == (0.5, 0.25)


def test_a_load_report_that_cannot_be_read_costs_nothing(make: Make) -> None:
    with Replica(answer(endpoint_load_metrics="JSON {")) as replica:
        assert make(RETRY, [replica]).send("GET", NAME).status == 200


# ---- what a library does above us goes on --------------------------------------------------


def test_a_redirect_leads_to_the_name_not_to_one_replica(make: Make) -> None:
    with replicas(answer(), answer()) as both:
        for each in both:
            each.always = _redirecting
        library = make(RETRY, both)
        got = [library.send("GET", f"{NAME}/old") for _ in range(20)]
        assert {each.body for each in got} == {b"new"}
        seen = [each for replica in both for each in replica.requests]
        assert {each.headers["host"] for each in seen} == {"search.test"}
        assert all(any(each.path == "/new" for each in replica.requests) for replica in both)


@pytest.mark.parametrize("make", sorted(set(LIBRARIES) - {"urllib3"}), indirect=True)
def test_a_cookie_belongs_to_the_name_not_to_one_replica(make: Make) -> None:
    with replicas(answer(Set_Cookie="seen=1"), answer(Set_Cookie="seen=1")) as both:
        library = make(RETRY, both)
        for _ in range(20):
            library.send("GET", NAME)
        told = [each.headers.get("cookie") for replica in both for each in replica.requests]
        assert told.count(None) == 1
        assert set(told) == {None, "seen=1"}


def _redirecting(connection: Connection) -> None:
    is_old = connection.path == "/old"
    (answer(302, Location="/new") if is_old else answer(body=b"new"))(connection)
