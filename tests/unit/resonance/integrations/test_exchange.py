# SPDX-License-Identifier: MIT
"""Tests of who closes the responses nobody reads."""

from __future__ import annotations

import gc

from resonance.integrations._exchange import Exchange, outcome_of, remember
from resonance.policies import Outcome


class Response:
    """Something of a library."""


def test_all_but_the_one_that_is_kept_are_closed() -> None:
    exchange = Exchange[str]()
    assert all(exchange.arrived(each) for each in ("a", "b", "c"))
    assert exchange.settled("b") == ["a", "c"]


def test_a_call_without_a_result_closes_all() -> None:
    exchange = Exchange[str]()
    exchange.arrived("a")
    assert exchange.settled(None) == ["a"]


def test_what_comes_too_late_is_not_wanted() -> None:
    exchange = Exchange[str]()
    exchange.settled(None)
    assert not exchange.arrived("a")


def test_what_failed_is_closed_when_a_retry_begins() -> None:
    exchange = Exchange[str]()
    exchange.arrived("a")
    assert exchange.superseded() == ["a"]
    exchange.arrived("b")
    assert exchange.settled("b") == []


def test_an_outcome_lives_as_long_as_its_response_and_does_not_keep_it() -> None:
    response = Response()
    remember(response, Outcome(response, "a", attempts=2))
    outcome = outcome_of(response)
    assert outcome is not None
    assert (outcome.result, outcome.target, outcome.attempts) == (None, "a", 2)
    del response
    gc.collect()
    assert outcome_of(Response()) is None
