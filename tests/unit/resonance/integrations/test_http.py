# SPDX-License-Identifier: MIT
"""Tests of what HTTP says about doing a request again."""

from __future__ import annotations

from typing import Any

import pytest

import resonance
from resonance import deadlines
from resonance.errors import PolicyError
from resonance.integrations._http import (
    LONGEST_WAIT_SECONDS,
    Routes,
    added_headers,
    failure_of_status,
    hint_for,
    origin,
    parts_of,
)
from resonance.policies import NO_HINT, Failure, TaskHint

NEVER = 0.0


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "get"])
def test_what_http_calls_idempotent_may_be_repeated(method: str) -> None:
    assert hint_for(NO_HINT, method, [], is_replayable=True).idempotent is True


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT", "PURGE"])
def test_of_other_methods_nothing_is_known(method: str) -> None:
    assert hint_for(NO_HINT, method, [], is_replayable=True) is NO_HINT


def test_an_idempotency_key_is_a_permission() -> None:
    assert hint_for(NO_HINT, "POST", ["IDEMPOTENCY-Key"], is_replayable=True).idempotent is True


@pytest.mark.parametrize("told", [True, False])
def test_what_the_application_says_is_believed(told: bool) -> None:
    hint = TaskHint(idempotent=told, importance="low")
    for method in ("GET", "POST"):
        assert hint_for(hint, method, [], is_replayable=True) is hint


@pytest.mark.parametrize("told", [True, None])
def test_a_body_that_is_gone_when_it_is_sent_cannot_be_repeated(told: bool | None) -> None:
    hint = TaskHint(idempotent=told, importance="high")
    known = hint_for(hint, "PUT", [], is_replayable=False)
    assert (known.idempotent, known.importance) == (False, "high")


@pytest.mark.parametrize("status", [100, 200, 204, 301, 304, 400, 401, 404, 408, 499])
def test_an_answer_is_a_success_even_if_it_says_no(status: int) -> None:
    assert failure_of_status(status, None, NEVER) is None


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_be_better_elsewhere_is_retriable(status: int) -> None:
    assert failure_of_status(status, None, NEVER) == Failure("retriable")


@pytest.mark.parametrize("status", [500, 501, 505, 599])
def test_other_faults_of_a_server_are_fatal(status: int) -> None:
    assert failure_of_status(status, None, NEVER) == Failure("fatal")


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_is_kept_to_exactly(status: int) -> None:
    assert failure_of_status(status, "7", NEVER) == Failure("retriable", 7.0)


def test_a_date_is_a_time_from_now() -> None:
    in_a_minute = "Thu, 01 Jan 1970 00:01:00 GMT"
    assert failure_of_status(503, in_a_minute, 50.0) == Failure("retriable", 10.0)


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", ""])
def test_what_cannot_be_read_leaves_the_usual_delay(text: str) -> None:
    assert failure_of_status(503, text, NEVER) == Failure("retriable")


@pytest.mark.parametrize("status", [502, 504])
def test_only_who_refuses_says_when(status: int) -> None:
    assert failure_of_status(status, "7", NEVER) == Failure("retriable")


def test_what_is_too_long_to_wait_for_is_not_repeated() -> None:
    longest = int(LONGEST_WAIT_SECONDS)
    assert failure_of_status(503, str(longest), NEVER) == Failure("retriable", float(longest))
    longer = failure_of_status(503, str(longest + 1), NEVER)
    assert longer == Failure("retriable", longest + 1.0, stop=True)


def test_nothing_is_added_to_a_first_attempt_without_a_deadline() -> None:
    assert added_headers([], 1) == {}


def test_a_repetition_tells_how_many_there_were_before() -> None:
    assert added_headers([], 3) == {deadlines.ATTEMPT_HEADER: "2"}


def test_what_was_tried_above_counts() -> None:
    with deadlines.inbound(attempts=1):
        assert added_headers([], 1) == {deadlines.ATTEMPT_HEADER: "1"}


def test_a_deadline_is_told_in_seconds_that_are_left() -> None:
    with resonance.deadline(10.0):
        added = added_headers([], 1)
    assert 0.0 < float(added[deadlines.DEADLINE_HEADER]) <= 10.0


def test_what_the_caller_wrote_is_left_alone() -> None:
    with resonance.deadline(10.0):
        assert added_headers(["Resonance-Timeout", "RESONANCE-ATTEMPT"], 2) == {}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("http", "a", None), "http://a"),
        (("HTTP", "A.b", 80), "http://a.b"),
        (("https", "a", 443), "https://a"),
        (("https", "a", 80), "https://a:80"),
        (("http", "::1", 8080), "http://[::1]:8080"),
        (("http", "[::1]", None), "http://[::1]"),
    ],
)
def test_an_origin_has_one_spelling(parts: tuple[str, str, int | None], text: str) -> None:
    assert origin(*parts) == text
    assert origin(*parts_of(text)) == text


def test_replicas_are_found_however_they_are_spelt() -> None:
    routes = Routes({"http://Search:80/": ["http://10.0.0.1:80", "HTTP://10.0.0.2:81/"]})
    assert routes.targets("http://search") == ("http://10.0.0.1", "http://10.0.0.2:81")


def test_what_has_no_replicas_is_its_own() -> None:
    assert Routes().targets("http://a:1") == ("http://a:1",)


def test_a_replica_that_is_named_twice_is_one() -> None:
    routes = Routes({"http://a": ["http://b", "http://b:80"]})
    assert routes.targets("http://a") == ("http://b",)


def test_a_function_is_asked_each_time() -> None:
    now = ["http://b"]
    routes = Routes({"http://a": lambda: now})
    assert routes.targets("http://a") == ("http://b",)
    now.append("http://c")
    assert routes.targets("http://a") == ("http://b", "http://c")


@pytest.mark.parametrize(
    "replicas",
    [
        {"search": ["http://b"]},
        {"http://a": ["10.0.0.1:80"]},
        {"http://a": ["ftp://b"]},
        {"http://a": ["http://b/path"]},
        {"http://a": ["http://b?q"]},
        {"http://a": ["http://user@b"]},
        {"http://a": ["http://b:port"]},
        {"http://a": ["http://[b"]},
        {"http://a": "http://b"},
        {"http:///x": ["http://b"]},
    ],
)
def test_what_is_no_base_url_is_refused(replicas: Any) -> None:
    with pytest.raises(PolicyError, match="replicas"):
        Routes(replicas)


def test_what_a_function_returns_is_checked_too() -> None:
    routes = Routes({"http://a": lambda: ["b"]})
    with pytest.raises(PolicyError, match="must be like"):
        routes.targets("http://a")
