# SPDX-License-Identifier: MIT
"""Is a copy of this call worth sending? Each gate, and who says so."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from resonance.policies import (
    Attempt,
    BudgetPolicy,
    Call,
    Failure,
    HedgePolicy,
    Policy,
    Reason,
    RetryPolicy,
    Service,
    TaskHint,
)
from resonance.policies._hedging import learned_delay, may_copy
from resonance.policies._window import Window

NOW = 1_000.0
DELAY = 0.010
TARGETS = ("a", "b", "c")
IDEMPOTENT = TaskHint(idempotent=True)
BUDGET = BudgetPolicy()


def made(budget: BudgetPolicy = BUDGET, retry: RetryPolicy | None = None, **hedge: Any) -> Service:
    policy = HedgePolicy(**({"delay": DELAY} | hedge))
    return Service(Policy(hedge=policy, budget=budget, retry=retry), random=Random(1))


def opened(
    service: Service,
    hint: TaskHint = IDEMPOTENT,
    *,
    targets: Any = TARGETS,
    now: float = NOW,
    deadline: float = inf,
) -> Call:
    return service.open(targets, now, deadline, None, hint)


def reasons(service: Service, call: Call) -> list[Reason]:
    """Ask for a copy that is not sent; return what was noted."""
    assert service.due(call, call.due_at) is None
    assert call.due_at == inf
    return call.notes or []


def press(service: Service, pressures: dict[str, float | None]) -> None:
    """Have the kernel say how long tasks of each replica wait."""

    def sense(replicas: Any, now: float) -> None:
        for replica in replicas:
            replica.pressure = pressures.get(replica.target)
            replica.pressure_until = now + 0.05

    service.sense = sense
    service.finish(opened(service, now=NOW - 1), None, NOW - 1)
    service.refresh(NOW - 0.001)


def test_a_copy_goes_to_a_replica_that_was_not_tried() -> None:
    service = made()
    call = opened(service)
    copy = service.due(call, NOW + DELAY)
    assert copy is not None
    assert copy.is_hedge
    assert copy.target != call.target
    assert call.notes == [Reason.ROOM_BY_INFLIGHT, Reason.HEDGED]


@pytest.mark.parametrize("hint", [TaskHint(), TaskHint(idempotent=False)])
def test_what_may_not_be_done_twice_is_never_due(hint: TaskHint) -> None:
    service = made()
    assert opened(service, hint).due_at == inf
    assert not may_copy(service.policy, hint)


def test_a_policy_may_copy_whatever_it_is() -> None:
    service = made(idempotent_only=False)
    assert opened(service, TaskHint()).due_at == NOW + DELAY


def test_one_copy_is_all_without_more_ado() -> None:
    service = made()
    call = opened(service)
    assert service.due(call, NOW + DELAY) is not None
    assert call.due_at == inf


def test_critical_work_gets_a_second_copy_on_a_full_budget() -> None:
    service = made(BudgetPolicy(initial=8, cap=10), max_hedges=2, max_inflight_pct=300)
    call = opened(service, TaskHint(idempotent=True, importance="critical"))
    targets = {call.target}
    for _ in range(2):
        copy = service.due(call, call.due_at)
        assert copy is not None
        targets.add(copy.target)
    assert targets == set(TARGETS)
    assert reasons(service, call)[-1] is Reason.ATTEMPTS_USED


def test_critical_work_gets_no_second_copy_on_a_half_empty_budget() -> None:
    service = made(BudgetPolicy(initial=6, cap=10), max_hedges=2, max_inflight_pct=300)
    call = opened(service, TaskHint(idempotent=True, importance="critical"))
    assert service.due(call, call.due_at) is not None
    assert reasons(service, call)[-1] is Reason.BUDGET_EMPTY


def test_without_a_budget_there_is_no_copy() -> None:
    service = made(BudgetPolicy(ratio=0.0, initial=0.0))
    assert reasons(service, opened(service)) == [Reason.BUDGET_EMPTY]
    assert service.counts.refused == {Reason.BUDGET_EMPTY: 1}


def test_a_copy_that_is_refused_costs_nothing() -> None:
    service = made()
    before = service.budget.tokens
    reasons(service, opened(service, targets=("a",)))
    assert service.budget.tokens == before


def test_alone_a_replica_has_nobody_to_copy_to() -> None:
    service = made()
    assert reasons(service, opened(service, targets=("a",))) == [Reason.NO_OTHER_REPLICA]


def test_a_service_that_asked_for_less_gets_no_copy_for_a_while() -> None:
    service = made(retry=RetryPolicy())
    failed = opened(service)
    service.fail(failed, NOW, Failure("retriable", pushback=0.5))
    assert reasons(service, opened(service)) == [Reason.PUSHED_BACK]
    later = opened(service, now=NOW + 1.0)
    assert service.due(later, NOW + 1.0 + DELAY) is not None


def test_what_is_retried_above_is_not_copied() -> None:
    service = made()
    call = opened(service)
    call.is_retried_above = True
    assert reasons(service, call) == [Reason.RETRIED_ABOVE]


def slow_as_a_rule(service: Service) -> None:
    for number in range(100):
        now = NOW - 2.0 + number * 0.001
        service.finish(opened(service, TaskHint(), now=now), None, now + 0.5)
    service.refresh(NOW - 1.0)


@pytest.mark.parametrize(
    ("hint", "deadline"),
    [(IDEMPOTENT, NOW + 0.4), (TaskHint(idempotent=True, soft_deadline=0.4), inf)],
)
def test_a_copy_that_could_not_answer_in_time_is_not_sent(hint: TaskHint, deadline: float) -> None:
    service = made()
    slow_as_a_rule(service)
    call = opened(service, hint, deadline=deadline)
    assert reasons(service, call) == [Reason.DEADLINE_TOO_NEAR]


def test_copies_are_a_bounded_share_of_what_is_in_flight() -> None:
    service = made(BudgetPolicy(initial=10), max_inflight_pct=150, saturation_guard=False)
    calls = [opened(service) for _ in range(6)]
    sent = [service.due(call, NOW + DELAY) for call in calls]
    assert [copy is not None for copy in sent] == [True] * 3 + [False] * 3
    assert calls[-1].notes == [Reason.INFLIGHT_SHARE]


def test_no_copy_goes_to_where_requests_of_ours_wait_already() -> None:
    service = made()
    calls = [opened(service) for _ in range(9)]
    assert reasons(service, calls[-1]) == [Reason.SATURATED_BY_INFLIGHT]
    unguarded = made(saturation_guard=False)
    calls = [opened(unguarded) for _ in range(9)]
    assert unguarded.due(calls[-1], NOW + DELAY) is not None


def test_no_copy_goes_to_where_tasks_wait() -> None:
    service = made(kernel_advance=False)
    press(service, dict.fromkeys(TARGETS, 0.8))
    assert reasons(service, opened(service)) == [Reason.SATURATED_BY_PRESSURE]


def test_a_copy_goes_to_where_tasks_do_not_wait() -> None:
    service = made(kernel_advance=False)
    press(service, {"a": 0.8, "b": 0.8, "c": 0.1})
    while (call := opened(service)).target == "c":
        service.finish(call, None, NOW)
    copy = service.due(call, NOW + DELAY)
    assert copy is not None
    assert copy.target == "c"
    assert call.notes == [Reason.ROOM_BY_PRESSURE, Reason.HEDGED]


# ---- the kernel --------------------------------------------------------------------------------


def pressed(pressures: dict[str, float | None], **hedge: Any) -> tuple[Service, Call]:
    """Return a call to ``a``, whose pressure and that of others is known."""
    service = made(**hedge)
    press(service, pressures)
    while (call := opened(service)).target != "a":
        service.finish(call, None, NOW)
    return service, call


def test_a_copy_goes_after_half_the_delay_when_the_first_replica_is_stuck() -> None:
    service, call = pressed({"a": 0.6, "b": 0.6, "c": 0.1})
    assert call.due_at == NOW + DELAY / 2
    copy = service.due(call, call.due_at)
    assert copy is not None
    assert copy.target == "c" or copy.replica.pressure == 0.6
    assert call.notes == [Reason.ROOM_BY_PRESSURE, Reason.HEDGED_EARLY]


@pytest.mark.parametrize(
    "pressures",
    [
        {"a": 0.5, "b": 0.1, "c": 0.1},
        {"a": 0.9, "b": 0.2, "c": 0.3},
        {"a": 0.9, "b": None, "c": None},
        {"a": 0.1, "b": 0.1, "c": 0.1},
    ],
)
def test_otherwise_it_goes_after_all_of_it(pressures: dict[str, float | None]) -> None:
    service, call = pressed(pressures)
    assert service.due(call, call.due_at) is None
    assert call.due_at == NOW + DELAY
    assert call.notes is None
    assert service.due(call, call.due_at) is not None
    assert Reason.HEDGED in (call.notes or ())


def test_a_policy_may_do_without_the_kernel() -> None:
    _, call = pressed({"a": 0.9, "b": 0.0, "c": 0.0}, kernel_advance=False)
    assert call.due_at == NOW + DELAY


def test_a_retry_is_copied_after_all_of_the_delay() -> None:
    service, call = pressed({"a": 0.9, "b": 0.0, "c": 0.0}, retry=RetryPolicy())
    service.fail(call, NOW, Failure())
    again: Attempt = service.again(call, NOW + 1)
    assert again.number == 2
    assert call.due_at == NOW + 1 + DELAY


# ---- a learned delay ---------------------------------------------------------------------------


def window(*seconds: float) -> Window:
    found = Window()
    found.pending += seconds
    found.refresh(NOW)
    return found


TAIL = window(*[0.001] * 950, *[0.010] * 40, *[0.100] * 10)


@pytest.mark.parametrize(
    ("hedge", "latencies", "delay", "why"),
    [
        (HedgePolicy(), window(*[0.001] * 99), inf, Reason.TOO_FEW_SAMPLES),
        (HedgePolicy(), window(*[0.001] * 100), inf, Reason.TAIL_TOO_SHORT),
        (HedgePolicy(), TAIL, 0.001, None),
        (HedgePolicy(quantile=0.97), TAIL, 0.010, None),
        (HedgePolicy(quantile=0.97, min_delay=0.02), TAIL, 0.020, None),
        (HedgePolicy(quantile=0.995, max_delay=0.05), TAIL, 0.050, None),
        (HedgePolicy(delay=0.5), window(), 0.5, None),
        (HedgePolicy(tied=True, min_delay=0.002), window(), 0.002, None),
        (HedgePolicy(min_tail_ratio=0), window(*[0.001] * 100), 0.001, None),
    ],
)
def test_the_delay_is_a_quantile_of_what_attempts_took(
    hedge: HedgePolicy, latencies: Window, delay: float, why: Reason | None
) -> None:
    found, reason = learned_delay(hedge, 0.05, latencies)
    assert found == pytest.approx(delay, rel=0.01)
    assert reason is why


def test_why_no_delay_is_known_is_said_with_each_result() -> None:
    service = made(delay=None)
    outcome = service.finish(opened(service), None, NOW)
    assert outcome.reasons == (Reason.CHOSEN, Reason.TOO_FEW_SAMPLES)
    assert outcome.hedge_delay is None
