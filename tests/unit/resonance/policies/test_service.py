# SPDX-License-Identifier: MIT
"""What is done for the calls of one service; `tests/property/test_service.py` has its accounts."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from resonance.errors import OverloadedError
from resonance.policies import (
    Attempt,
    BudgetPolicy,
    Call,
    ChoicePolicy,
    Failure,
    HedgePolicy,
    LimitPolicy,
    Policy,
    Reason,
    RetryPolicy,
    Service,
    TaskHint,
    ThrottlePolicy,
)

NOW = 1_000.0
DELAY = 0.010
TARGETS = ("a", "b")
IDEMPOTENT = TaskHint(idempotent=True)
HEDGE = Policy(hedge=HedgePolicy(delay=DELAY))
TIED = Policy(hedge=HedgePolicy(tied=True, min_delay=0.001), budget=BudgetPolicy(initial=2))
RETRY = Policy(retry=RetryPolicy(strategy="fixed", base_delay=0.020))


def made(policy: Policy, **how: Any) -> Service:
    return Service(policy, random=Random(1), **how)


def opened(service: Service, now: float = NOW, hint: TaskHint = IDEMPOTENT, **how: Any) -> Call:
    return service.open(how.pop("targets", TARGETS), now, how.pop("deadline", inf), None, hint)


def copied(service: Service, call: Call) -> Attempt:
    copy = service.due(call, call.due_at)
    assert copy is not None
    return copy


# ---- the usual call ----------------------------------------------------------------------------


def test_a_call_that_answers_at_once_says_where_it_went() -> None:
    service = made(HEDGE)
    call = opened(service)
    outcome = service.finish(call, "page", NOW + 0.001)
    assert (outcome.result, outcome.attempts, outcome.hedge_delay) == ("page", 1, DELAY)
    assert outcome.target in TARGETS
    assert outcome.elapsed_seconds == pytest.approx(0.001)
    assert outcome.reasons == (Reason.CHOSEN,)


def test_the_second_of_two_calls_goes_to_the_other_replica() -> None:
    service = made(HEDGE)
    assert {opened(service).target, opened(service).target} == set(TARGETS)


def test_what_answers_in_time_is_learned_from_at_the_next_refresh() -> None:
    service = made(HEDGE)
    for number in range(200):
        service.finish(opened(service, NOW + number), "page", NOW + number + 0.005)
    service.refresh(NOW + 201)
    assert service.window.quantile(0.5) == pytest.approx(0.005, rel=0.01)


def test_a_shorter_deadline_brings_the_copy_forward_and_the_outcome_says_so() -> None:
    service = made(Policy(hedge=HedgePolicy(min_samples=1, min_tail_ratio=0)))
    service.finish(opened(service), "page", NOW + 0.1)
    service.refresh(NOW + 1)
    assert service.hedge_delay == pytest.approx(0.1, rel=0.01)
    call = opened(service, NOW + 1, deadline=NOW + 1.060)
    assert call.hedge_delay == pytest.approx(0.020)
    outcome = service.finish(call, "page", NOW + 1.001)
    assert outcome.hedge_delay == pytest.approx(0.020)


# ---- copies ------------------------------------------------------------------------------------


def test_a_copy_is_not_due_before_its_time() -> None:
    service = made(HEDGE)
    call = opened(service)
    assert call.due_at == NOW + DELAY


def test_a_copy_that_is_cancelled_is_not_awaited_while_it_ends() -> None:
    service = made(HEDGE | RETRY)
    call = opened(service)
    copy = copied(service, call)
    service.abandon(call, NOW + 1)
    assert call.open_attempts() == [call, copy]
    assert call.awaited_attempts() == []


def test_an_attempt_nobody_waits_for_is_cancelled_before_its_driver_tells_it() -> None:
    service = made(HEDGE)
    call = opened(service)
    copy = copied(service, call)
    service.reply(copy, NOW + 1)
    assert service.losers(call, NOW + 1) == [call]
    assert call.is_cancelled
    called = list[bool]()
    call.on_cancel(lambda: called.append(True))
    assert called == [True]
    call.cancel()
    assert called == [True]


def test_a_loser_that_never_ends_is_given_up_after_a_minute() -> None:
    service = made(HEDGE)
    call = opened(service)
    service.reply(copied(service, call), NOW + 1)
    service.losers(call, NOW + 1)
    service.refresh(NOW + 59)
    assert service.inflight == 1
    service.refresh(NOW + 61)
    assert (service.inflight, service.counts.swept) == (0, 1)
    assert service.reply(call, NOW + 62) is False


def test_a_loser_with_a_deadline_is_given_up_after_twice_its_time() -> None:
    service = made(HEDGE)
    call = opened(service, deadline=NOW + 0.5)
    service.abandon(call, NOW + 0.5, is_late=True)
    service.refresh(NOW + 0.9)
    assert service.inflight == 1
    service.refresh(NOW + 1.0)
    assert service.inflight == 0


def test_when_a_copy_would_have_gone_it_is_estimated_whether_it_would_have_won() -> None:
    service = made(HEDGE, mode="observe")
    for number in range(100):
        service.finish(opened(service, NOW + number), "page", NOW + number + 0.001)
    service.refresh(NOW + 101)
    call = opened(service, NOW + 102)
    assert service.due(call, NOW + 102 + DELAY) is None
    outcome = service.finish(call, "page", NOW + 103)
    assert service.counts.would_hedge == 1
    assert service.counts.would_win == pytest.approx(1.0, abs=0.02)
    assert outcome.reasons == (Reason.CHOSEN, Reason.OBSERVED)


# ---- failures ----------------------------------------------------------------------------------


def test_the_last_failure_decides_when_the_copy_is_cancelled() -> None:
    service = made(HEDGE | RETRY)
    call = opened(service)
    copy = copied(service, call)
    assert service.fail(call, NOW + 1, Failure()).verdict == "wait"
    step = service.cancelled(copy, NOW + 1)
    assert (step.verdict, step.delay) == ("retry", 0.020)


def test_a_call_whose_only_attempt_was_cancelled_by_others_has_failed() -> None:
    service = made(RETRY)
    call = opened(service)
    assert service.cancelled(call, NOW).verdict == "raise"
    assert (service.counts.failures, service.counts.refused) == (1, {})


def test_what_ends_while_a_retry_waits_decides_nothing() -> None:
    service = made(TIED | RETRY)
    call = opened(service)
    copy = copied(service, call)
    (twin,) = service.started(copy, NOW + 0.002)
    assert twin is call
    assert service.fail(copy, NOW + 1, Failure()).verdict == "retry"
    assert service.cancelled(call, NOW + 1).verdict == "wait"
    service.again(call, NOW + 2)
    assert service.counts.failures == 0


def test_a_failure_of_a_cancelled_twin_alone_ends_the_call() -> None:
    service = made(TIED)
    call = opened(service)
    copy = copied(service, call)
    service.started(copy, NOW + 0.002)
    assert service.fail(copy, NOW + 1, Failure()).verdict == "raise"


def test_a_result_that_is_a_failure_comes_from_where_it_was_sent_last() -> None:
    service = made(RETRY | RetryPolicy(max_attempts=2))
    call = opened(service)
    service.fail(call, NOW + 1, Failure())
    again = service.again(call, NOW + 2)
    service.fail(again, NOW + 3, Failure())
    outcome = service.outcome(call, 503, NOW + 3)
    assert outcome.target == again.target != call.target


def test_a_copy_whose_failure_is_returned_has_not_won() -> None:
    service = made(HEDGE)
    call = opened(service)
    copy = copied(service, call)
    service.fail(call, NOW + 1, Failure())
    service.fail(copy, NOW + 1, Failure())
    outcome = service.outcome(call, 503, NOW + 1)
    assert outcome.hedge_fired
    assert not outcome.hedge_won
    assert outcome.reasons[-1] is Reason.HEDGE_LOST


# ---- tied requests -----------------------------------------------------------------------------


def test_the_twin_of_what_has_begun_is_cancelled_and_paid_back() -> None:
    service = made(TIED)
    call = opened(service)
    copy = copied(service, call)
    before = service.budget.tokens
    assert service.started(copy, NOW + 0.002) == [call]
    assert service.budget.tokens == before + 1


def test_when_both_have_begun_the_one_heard_of_first_goes_on() -> None:
    service = made(TIED)
    call = opened(service)
    copy = copied(service, call)
    assert service.started(copy, NOW + 0.002) == [call]
    before = service.budget.tokens
    assert service.started(call, NOW + 0.002) == []
    assert not copy.is_cancelled
    assert service.budget.tokens == before


def test_what_begins_alone_needs_no_copy_any_more() -> None:
    service = made(TIED)
    call = opened(service)
    assert service.started(call, NOW) == []
    assert call.due_at == inf


def test_without_ties_a_start_says_nothing() -> None:
    service = made(HEDGE)
    call = opened(service)
    copied(service, call)
    assert service.started(call, NOW + 1) == []


# ---- modes and gates ---------------------------------------------------------------------------


def test_a_service_that_is_stopped_begins_nothing_more() -> None:
    service = made(HEDGE | RETRY)
    call = opened(service)
    service.stop()
    assert service.due(call, call.due_at) is None
    assert service.fail(call, NOW + 1, Failure()).verdict == "raise"


def test_a_limit_refuses_what_is_too_much() -> None:
    service = made(Policy(limit=LimitPolicy(initial=4, smallest=4)))
    calls = [opened(service) for _ in range(4)]
    with pytest.raises(OverloadedError, match="is overloaded \\(limited\\)"):
        opened(service)
    service.finish(calls[0], "page", NOW + 1)
    opened(service, NOW + 1)
    assert service.counts.refused == {Reason.LIMITED: 1}


def test_a_limit_only_counts_what_it_would_refuse_when_it_observes() -> None:
    service = made(Policy(limit=LimitPolicy(initial=4, smallest=4)), mode="observe")
    for _ in range(6):
        opened(service)
    assert service.counts.refused == {Reason.LIMITED: 2}


@pytest.mark.parametrize("part", [LimitPolicy(), ThrottlePolicy()])
def test_a_late_answer_does_not_unsettle_a_gate(part: Any) -> None:
    service = made(Policy() | part)
    call = opened(service, deadline=NOW + 1)
    service.abandon(call, NOW + 1, is_late=True)
    seen = list[int]()
    assert service.gate is not None
    learn = service.gate.learn

    def spy(elapsed: float, calls_inflight: int, now: float, *, is_refused: bool) -> None:
        seen.append(calls_inflight)
        learn(elapsed, calls_inflight, now, is_refused=is_refused)

    service.gate.learn = spy  # type: ignore[method-assign]
    service.reply(call, NOW + 2)
    assert seen == [0]
    answered = opened(service, NOW + 3)
    service.reply(answered, NOW + 4)
    assert seen == [0, 1]


def test_what_takes_part_in_the_choice_is_told_of_each_answer() -> None:
    service = made(Policy(choice=ChoicePolicy(algorithm="peak_ewma")))
    call = opened(service)
    service.finish(call, "page", NOW + 0.5)
    assert call.replica.cost_seconds > 0.0
