# SPDX-License-Identifier: MIT
from __future__ import annotations

from random import Random

import pytest

from resonance.client._explain import explain
from resonance.client._report import report_of
from resonance.policies import (
    ChoicePolicy,
    EjectionPolicy,
    Failure,
    HedgePolicy,
    LimitPolicy,
    Outcome,
    Policy,
    Reason,
    Service,
)

NOW = 1_000.0


def test_a_service_that_was_never_called_has_done_nothing() -> None:
    report = report_of(Service(Policy(), name="search"), NOW)
    assert (report.name, report.mode) == ("search", "active")
    assert (report.calls, report.attempts, report.inflight) == (0, 0, 0)
    assert report.hedge_delay_seconds is None
    assert report.limit is None
    assert report.latency_seconds == {}
    assert report.refused == {}


def test_a_report_knows_what_was_answered_a_moment_ago() -> None:
    service = Service(Policy(), random=Random(1))
    for number in range(100):
        call = service.open(["a", "b"], NOW)
        service.finish(call, None, NOW + (number + 1) / 1_000)
    report = report_of(service, NOW + 1)
    assert report.calls == report.successes == 100
    assert report.latency_seconds[0.5] == pytest.approx(0.050, rel=0.01)
    assert report.latency_seconds[0.99] == pytest.approx(0.099, rel=0.01)


def test_a_report_shows_each_replica() -> None:
    ejection = EjectionPolicy(consecutive_failures=1)
    service = Service(Policy(choice=ChoicePolicy(ejection=ejection)), random=Random(1))
    for _ in range(20):
        service.finish(service.open(["a", "b"], NOW), None, NOW)
    service.refresh(NOW)
    while (call := service.open(["a", "b"], NOW)).target == "b":
        service.finish(call, None, NOW)
    service.fail(call, NOW, Failure())
    service.open(["a", "b"], NOW)
    service.cluster.report("b", 0.25, 0.5, NOW)
    by_target = {each.target: each for each in report_of(service, NOW).replicas}
    assert by_target["a"].is_ejected
    assert not by_target["b"].is_ejected
    assert (by_target["a"].inflight, by_target["b"].inflight) == (0, 1)
    assert (by_target["a"].utilization, by_target["b"].utilization) == (None, 0.5)
    assert (by_target["a"].pressure, by_target["b"].pressure) == (None, 0.25)


def test_a_report_shows_what_the_policy_works_with() -> None:
    policy = Policy(hedge=HedgePolicy(delay=0.5), limit=LimitPolicy(initial=7))
    report = report_of(Service(policy), NOW)
    assert (report.hedge_delay_seconds, report.limit) == (0.5, 7)
    assert report.budget_tokens == policy.budget.initial


# ---- in sentences ------------------------------------------------------------------------------


def test_an_outcome_without_a_replica_is_done() -> None:
    assert explain(Outcome("page", None, 0.5)) == "done in 500.0 ms, with 1 attempt"


def test_every_reason_has_its_sentence() -> None:
    lines = explain(Outcome("page", "b", 0.0, tuple(Reason))).splitlines()
    assert len(lines) == 1 + len(Reason)
    for reason, line in zip(Reason, lines[1:], strict=True):
        assert line.startswith(f"  {reason.value}: ")


def test_what_is_not_done_says_so() -> None:
    class Waiting:
        outcome = None
        reasons = (Reason.DEFERRED_FOR_VALLEY,)

    lines = explain(Waiting()).splitlines()
    assert lines[0] == "not done"
    assert lines[1].startswith("  deferred_for_valley: ")
