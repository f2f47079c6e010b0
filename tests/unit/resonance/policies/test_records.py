# SPDX-License-Identifier: MIT
from __future__ import annotations

import pickle
from math import inf, nan
from typing import Any

import pytest

from resonance.errors import PolicyError
from resonance.policies import (
    BatchPolicy,
    BudgetPolicy,
    ChoicePolicy,
    EjectionPolicy,
    HedgePolicy,
    LimitPolicy,
    Policy,
    RetryPolicy,
    TaskHint,
    ThrottlePolicy,
)

PARTS = (
    HedgePolicy,
    RetryPolicy,
    BudgetPolicy,
    ChoicePolicy,
    EjectionPolicy,
    LimitPolicy,
    ThrottlePolicy,
    BatchPolicy,
)
NO_SECONDS = [-1.0, nan, inf, "1", True]

WRONG: list[tuple[type, str, list[Any]]] = [
    (HedgePolicy, "delay", [0.0, 0, *NO_SECONDS]),
    (HedgePolicy, "min_delay", [0.0, *NO_SECONDS]),
    (HedgePolicy, "max_delay", [0.0005, *NO_SECONDS]),
    (HedgePolicy, "quantile", [0.49, 1.0, nan, "0.9"]),
    (HedgePolicy, "max_inflight_pct", [99.0, nan, "150"]),
    (HedgePolicy, "max_hedges", [0, 3, 1.5, True]),
    (HedgePolicy, "min_samples", [0, 1.5]),
    (HedgePolicy, "min_tail_ratio", [-1.0, nan]),
    (HedgePolicy, "pushback_silence", NO_SECONDS),
    (RetryPolicy, "strategy", ["jitter", None, 1]),
    (RetryPolicy, "base_delay", NO_SECONDS),
    (RetryPolicy, "max_delay", [0.001, *NO_SECONDS]),
    (RetryPolicy, "multiplier", [0.5, nan, "2"]),
    (RetryPolicy, "max_attempts", [0, -1, 1.5, True]),
    (RetryPolicy, "retry_on", [OSError, [OSError], ("OSError",), (int,), None]),
    (BudgetPolicy, "ratio", [-0.1, 1.1, nan]),
    (BudgetPolicy, "cap", [0.5, nan, inf]),
    (BudgetPolicy, "initial", [-1.0, 10.5, nan]),
    (EjectionPolicy, "consecutive_failures", [0, 1.5]),
    (EjectionPolicy, "failure_ratio", [0.0, 1.1]),
    (EjectionPolicy, "window", [0.0, *NO_SECONDS]),
    (EjectionPolicy, "max_seconds", [1.0, *NO_SECONDS]),
    (ChoicePolicy, "algorithm", ["p3c", None]),
    (ChoicePolicy, "ewma_seconds", [0.0, *NO_SECONDS]),
    (LimitPolicy, "algorithm", ["aimd"]),
    (LimitPolicy, "initial", [3, 1_001, 10.5]),
    (LimitPolicy, "smallest", [0]),
    (LimitPolicy, "largest", [3]),
    (ThrottlePolicy, "multiplier", [0.9, nan]),
    (ThrottlePolicy, "window", [0.0, *NO_SECONDS]),
    (BatchPolicy, "max_size", [0, 1.5]),
    (BatchPolicy, "max_latency", NO_SECONDS),
    (BatchPolicy, "until_pressure_below", [-0.1, 1.1]),
    (TaskHint, "importance", ["vital", None]),
    (TaskHint, "task_class", ["urgent"]),
    (TaskHint, "phase_affinity", ["peak"]),
    (TaskHint, "soft_deadline", [0.0, *NO_SECONDS]),
    (TaskHint, "max_batch_latency", NO_SECONDS),
    (TaskHint, "max_deferral", NO_SECONDS),
    (TaskHint, "idempotent", ["no", 1, 0]),
    (Policy, "timeout", [0.0, *NO_SECONDS]),
    (Policy, "hedge", [RetryPolicy(), True]),
    (Policy, "retry", [HedgePolicy()]),
    (Policy, "budget", [None, 0.05]),
    (Policy, "choice", [None, "p2c"]),
    (Policy, "batch", [None]),
]


@pytest.mark.parametrize(
    ("record", "field", "value"),
    [(record, field, value) for record, field, values in WRONG for value in values],
)
def test_what_cannot_be_is_refused_by_name(record: type, field: str, value: object) -> None:
    with pytest.raises(PolicyError, match=rf"^{record.__name__}\.{field}: must be ") as caught:
        record(**{field: value})
    assert caught.value.key == f"{record.__name__}.{field}"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("record", [*PARTS, Policy, TaskHint])
def test_an_unknown_field_is_refused(record: type) -> None:
    with pytest.raises(TypeError, match="Unexpected keyword argument 'dealy'"):
        record(dealy=1)


@pytest.mark.parametrize("record", [*PARTS, Policy, TaskHint])
def test_a_record_is_frozen_equal_hashable_and_survives_a_pickle(record: type) -> None:
    made = record()
    assert made == record() == pickle.loads(pickle.dumps(made))
    assert hash(made) == hash(record())
    with pytest.raises(AttributeError, match="immutable"):
        made.anything = 1


@pytest.mark.parametrize("part", [part for part in PARTS if part is not EjectionPolicy])
def test_a_part_takes_its_place_in_a_policy(part: Any) -> None:
    policy = Policy() | part()
    assert part() in [getattr(policy, field) for field in policy.__struct_fields__]


def test_parts_are_joined_into_a_policy_and_the_later_wins() -> None:
    policy = HedgePolicy(delay=1.0) | RetryPolicy() | HedgePolicy(delay=2.0)
    assert policy == Policy(hedge=HedgePolicy(delay=2.0), retry=RetryPolicy())


def test_how_replicas_are_ejected_is_part_of_how_they_are_chosen() -> None:
    policy = ChoicePolicy(algorithm="random") | EjectionPolicy(window=3.0)
    assert policy.choice == ChoicePolicy(algorithm="random", ejection=EjectionPolicy(window=3.0))


def test_of_another_policy_what_is_not_as_usual_is_taken() -> None:
    first = Policy(hedge=HedgePolicy(), timeout=1.0)
    second = Policy(retry=RetryPolicy(), timeout=2.0)
    assert first | second == Policy(hedge=HedgePolicy(), retry=RetryPolicy(), timeout=2.0)


def test_a_policy_is_joined_with_nothing_else() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        Policy() | TaskHint()  # type: ignore[operator]


def test_a_changed_record_is_checked_like_a_new_one() -> None:
    assert HedgePolicy().replace(delay=0.5) == HedgePolicy(delay=0.5)
    with pytest.raises(PolicyError, match="HedgePolicy.delay"):
        HedgePolicy().replace(delay=-0.5)


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (Policy(), 1),
        (Policy(hedge=HedgePolicy()), 2),
        (Policy(hedge=HedgePolicy(max_hedges=2)), 3),
        (Policy(retry=RetryPolicy(max_attempts=7)), 7),
        (Policy(hedge=HedgePolicy(), retry=RetryPolicy(max_attempts=1)), 2),
        (Policy(hedge=HedgePolicy(max_hedges=2), retry=RetryPolicy(max_attempts=7)), 3),
    ],
)
def test_attempts_of_a_call_are_bounded(policy: Policy, attempts: int) -> None:
    assert policy.max_attempts == attempts
