# SPDX-License-Identifier: MIT
"""What the attempts of one call share, without a server."""

from __future__ import annotations

import pickle

import grpc

from resonance import BudgetPolicy, HedgePolicy, Policy, TaskHint
from resonance.integrations.grpc import DeadlineExceededRpcError, OverloadedRpcError
from resonance.integrations.grpc._classify import Classifier
from resonance.integrations.grpc._round import Method, Round, is_tied, may_be_left
from resonance.policies import Attempt, Call, Failure, Service

READ = TaskHint(idempotent=True, importance="high")
TARGETS = ("a", "b")
STARTED = (("resonance-started", "1"),)


def method(hint: TaskHint = READ) -> Method:
    classifiers = {target: Classifier(target) for target in TARGETS}
    return Method(service="test", policy=None, hint=hint, classifiers=classifiers, targets=TARGETS)


def tied_call(hint: TaskHint = READ) -> tuple[Round, Call, Attempt]:
    policy = Policy(
        hedge=HedgePolicy(tied=True, saturation_guard=False),
        budget=BudgetPolicy(ratio=1.0, cap=10.0, initial=10.0),
    )
    service = Service(policy)
    service.refresh(0.0)
    call = service.open(TARGETS, 0.0, hint=hint)
    copy = service.due(call, 1.0)
    assert copy is not None
    return Round(None, method(hint)), call, copy


def test_the_twin_of_what_has_begun_is_cancelled() -> None:
    calls, first, copy = tied_call()
    calls.began(copy, STARTED)
    assert first.is_cancelled
    assert not copy.is_cancelled


def test_when_both_begin_the_one_heard_of_first_goes_on() -> None:
    calls, first, copy = tied_call()
    calls.began(copy, STARTED)
    calls.began(first, STARTED)
    assert first.is_cancelled
    assert not copy.is_cancelled


def test_a_server_that_does_not_tell_cancels_nobody() -> None:
    calls, first, copy = tied_call()
    calls.began(copy, ())
    calls.began(first, None)
    assert not first.is_cancelled
    assert not copy.is_cancelled


def test_what_is_sent_with_each_attempt() -> None:
    calls, first, copy = tied_call()
    common = {"resonance-importance": "high", "resonance-wants-load": "1", "resonance-tied": "1"}
    again = {"grpc-previous-rpc-attempts": "1", "resonance-attempt": "1"}
    assert dict(calls.metadata(first)) == common
    assert dict(calls.metadata(copy)) == {**common, **again}


def test_only_what_may_be_copied_is_tied_or_left() -> None:
    service = Service(Policy(hedge=HedgePolicy(tied=True)))
    service.refresh(0.0)
    read = service.open(TARGETS, 0.0, hint=READ)
    write = service.open(TARGETS, 0.0)
    alone = service.open(("a",), 0.0, hint=READ)
    assert is_tied(read)
    assert may_be_left(read)
    assert not may_be_left(write)
    assert not may_be_left(alone)
    assert not is_tied(alone)


def test_a_failure_nobody_took_note_of_is_fatal() -> None:
    calls = Round(None, method())
    assert calls.classify(ValueError()) == Failure("fatal")
    assert calls.classify(b"reply") is None


def test_errors_of_ours_are_errors_of_grpc_with_their_codes() -> None:
    late, full = DeadlineExceededRpcError(0.5, 2), OverloadedRpcError("orders", "limited", 1.0)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert late.details() == str(late) == "not done in 0.500 s, with 2 attempts"
    assert full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert full.retry_after_seconds == 1.0
    assert list(full.trailing_metadata()) == []


def test_errors_of_ours_survive_pickling() -> None:
    late = pickle.loads(pickle.dumps(DeadlineExceededRpcError(0.5, 2)))
    assert (late.timeout_seconds, late.attempts) == (0.5, 2)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
