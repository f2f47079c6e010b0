# SPDX-License-Identifier: MIT
"""Is another attempt worth making, now that one has failed, and after which delay?"""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from resonance.policies import (
    BudgetPolicy,
    Call,
    Failure,
    HedgePolicy,
    Policy,
    Reason,
    RetryPolicy,
    Service,
    Step,
    TaskHint,
)

NOW = 1_000.0
TARGETS = ("a", "b", "c")
IDEMPOTENT = TaskHint(idempotent=True)
RETRIABLE = Failure()
FIXED = RetryPolicy(strategy="fixed", base_delay=0.020)
EXPONENTIAL = RetryPolicy(strategy="exponential", base_delay=0.020, max_attempts=6)


def made(retry: RetryPolicy | None = FIXED, **parts: Any) -> Service:
    return Service(Policy(retry=retry, **parts), random=Random(1))


def opened(service: Service, hint: TaskHint = IDEMPOTENT, deadline: float = inf) -> Call:
    return service.open(TARGETS, NOW, deadline, None, hint)


def refused(service: Service, call: Call, failure: Failure = RETRIABLE) -> Reason:
    """Have a call fail for good; return why."""
    assert service.fail(call, NOW, failure) == Step("raise")
    assert call.notes is not None
    assert service.counts.refused == {call.notes[-1]: 1}
    return call.notes[-1]


def test_a_retry_waits_for_its_delay_and_goes_elsewhere() -> None:
    service = made()
    call = opened(service)
    assert service.fail(call, NOW, Failure()) == Step("retry", 0.020)
    again = service.again(call, NOW + 0.020)
    assert (again.number, again.is_hedge) == (2, False)
    assert again.target != call.target
    assert call.notes == [Reason.RETRIED]


def test_when_all_were_tried_any_may_be_tried_again() -> None:
    service = made(RetryPolicy(max_attempts=6), budget=BudgetPolicy(initial=10))
    call = opened(service)
    attempt: Any = call
    for _ in range(5):
        service.fail(attempt, NOW, Failure())
        attempt = service.again(call, NOW)
    assert call.attempts == 6
    assert {each.target for each in call.tried()} == set(TARGETS)


@pytest.mark.parametrize(
    ("retry", "failure", "reason"),
    [
        (None, Failure(), Reason.NOT_RETRIABLE),
        (FIXED, Failure("fatal"), Reason.NOT_RETRIABLE),
        (FIXED, Failure(stop=True), Reason.TOLD_TO_STOP),
        (RetryPolicy(max_attempts=1), Failure(), Reason.ATTEMPTS_USED),
    ],
)
def test_a_failure_is_final_for_a_reason(
    retry: RetryPolicy | None, failure: Failure, reason: Reason
) -> None:
    service = made(retry)
    assert refused(service, opened(service), failure) is reason


@pytest.mark.parametrize(
    ("idempotent", "is_asked", "kind", "verdict"),
    [
        (True, False, "retriable", "retry"),
        (None, True, "retriable", "retry"),
        (None, False, "retriable", "raise"),
        (False, True, "retriable", "raise"),
        (False, False, "unsent", "retry"),
    ],
)
def test_what_may_have_been_done_is_repeated_with_permission(
    idempotent: bool | None, is_asked: bool, kind: Any, verdict: str
) -> None:
    service = made()
    call = opened(service, TaskHint(idempotent=idempotent))
    call.is_asked_to_repeat = is_asked
    assert service.fail(call, NOW, Failure(kind)).verdict == verdict


def test_without_a_budget_nothing_is_repeated() -> None:
    service = made(budget=BudgetPolicy(ratio=0.0, initial=0.0))
    assert refused(service, opened(service)) is Reason.BUDGET_EMPTY


def test_a_refusal_costs_nothing() -> None:
    service = made()
    before = service.budget.tokens
    refused(service, opened(service), Failure("fatal"))
    assert service.budget.tokens == before


@pytest.mark.parametrize(
    ("hint", "deadline"),
    [(IDEMPOTENT, NOW + 0.019), (TaskHint(idempotent=True, soft_deadline=0.019), inf)],
)
def test_what_could_not_answer_in_time_is_not_repeated(hint: TaskHint, deadline: float) -> None:
    service = made()
    assert refused(service, opened(service, hint, deadline)) is Reason.DEADLINE_TOO_NEAR


def test_what_is_retried_above_is_not_retried_here() -> None:
    service = made()
    call = opened(service)
    call.is_retried_above = True
    assert refused(service, call) is Reason.RETRIED_ABOVE


@pytest.mark.parametrize(("initial", "verdict"), [(4.9, "raise"), (5.0, "retry")])
def test_what_others_repeat_is_repeated_only_from_plenty(initial: float, verdict: str) -> None:
    service = made(budget=BudgetPolicy(initial=initial, cap=10.0))
    call = opened(service)
    call.is_repeated = True
    assert service.fail(call, NOW, Failure()).verdict == verdict


def test_a_server_that_says_when_is_believed_exactly() -> None:
    service = made()
    call = opened(service)
    step = service.fail(call, NOW, Failure(pushback=1.234))
    assert step == Step("retry", 1.234)
    assert call.notes == [Reason.RETRIED_WHEN_TOLD]


def test_delays_begin_anew_after_the_server_said_when() -> None:
    service = made(EXPONENTIAL, budget=BudgetPolicy(initial=10))
    call = opened(service)
    attempt: Any = call
    delays = list[float]()
    for failure in (Failure(), Failure(), Failure(pushback=0.5), Failure(), Failure()):
        delays.append(service.fail(attempt, NOW, failure).delay)
        attempt = service.again(call, NOW)
    assert delays == [0.020, 0.040, 0.5, 0.020, 0.040]


def test_hedges_and_retries_share_three_attempts() -> None:
    hedge = HedgePolicy(delay=0.010)
    service = made(RetryPolicy(max_attempts=9), hedge=hedge, budget=BudgetPolicy(initial=10))
    call = opened(service)
    copy = service.due(call, NOW + 0.010)
    assert copy is not None
    assert service.fail(copy, NOW + 1, Failure()).verdict == "wait"
    assert service.fail(call, NOW + 1, Failure()).verdict == "retry"
    again = service.again(call, NOW + 2)
    assert service.fail(again, NOW + 3, Failure()).verdict == "raise"
    assert call.notes is not None
    assert call.notes[-1] is Reason.ATTEMPTS_USED


def test_retries_in_step_are_stretched_and_say_so() -> None:
    service = made(budget=BudgetPolicy(ratio=1.0, cap=10_000.0, initial=10_000.0))
    reasons = set[Reason]()
    for number in range(200):  # all of them start in the same hundredth of a second
        now = NOW + number // 20 * 0.1
        call = service.open(TARGETS, now, inf, None, IDEMPOTENT)
        service.fail(call, now, Failure())
        service.again(call, now)
        reasons |= set(call.notes or ())
    assert Reason.IN_STEP in reasons
