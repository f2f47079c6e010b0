# SPDX-License-Identifier: MIT
from __future__ import annotations

from random import Random

from resonance.policies import LimitPolicy, Policy, Reason, ThrottlePolicy
from resonance.policies._gate import Gate

NOW = 1_000.0


def test_no_more_calls_than_the_limit_are_sent() -> None:
    gate = Gate(Policy(limit=LimitPolicy(initial=4)), Random(1))
    assert gate.limit == 4
    assert gate.refusal(3, NOW) is None
    assert gate.refusal(4, NOW) is Reason.LIMITED


def test_without_a_limit_any_number_is_sent() -> None:
    gate = Gate(Policy(throttle=ThrottlePolicy()), Random(1))
    assert gate.limit is None
    assert gate.refusal(10**6, NOW) is None


def test_what_is_limited_was_not_asked_of_the_service() -> None:
    both = Policy(limit=LimitPolicy(initial=4), throttle=ThrottlePolicy(window=60.0))
    gate = Gate(both, Random(1))
    for _ in range(1_000):
        assert gate.refusal(4, NOW) is Reason.LIMITED
    assert gate.refusal(0, NOW + 5) is None


def test_a_service_that_refuses_is_asked_less() -> None:
    gate = Gate(Policy(throttle=ThrottlePolicy(window=60.0)), Random(1))
    for number in range(1_000):
        gate.refusal(0, NOW + number * 0.01)
        gate.learn(0.001, 1, NOW + number * 0.01, is_refused=True)
    refusals = [gate.refusal(0, NOW + 12) for _ in range(100)]
    assert refusals.count(Reason.THROTTLED) > 80


def test_a_service_that_accepts_is_never_throttled() -> None:
    gate = Gate(Policy(throttle=ThrottlePolicy(window=60.0)), Random(1))
    for number in range(1_000):
        now = NOW + number * 0.01
        assert gate.refusal(0, now) is None
        gate.learn(0.001, 1, now, is_refused=False)


def test_a_limit_grows_with_what_is_answered_fast() -> None:
    gate = Gate(Policy(limit=LimitPolicy(initial=10, largest=100)), Random(1))
    for number in range(500):
        gate.learn(0.001, gate.limit or 0, NOW + number, is_refused=False)
    assert gate.limit is not None
    assert gate.limit > 20
