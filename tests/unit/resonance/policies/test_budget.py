# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.errors import PolicyError
from resonance.policies._budget import Budget
from resonance.policies._records import BudgetPolicy


def budget(*, ratio: float = 0.1, cap: float = 10.0, initial: float = 0.0) -> Budget:
    return Budget(BudgetPolicy(ratio=ratio, cap=cap, initial=initial))


def test_it_begins_with_what_the_policy_gives() -> None:
    assert budget(initial=2.0).tokens == 2.0


def test_an_empty_one_grants_nothing() -> None:
    assert not budget().take()


def test_what_is_not_granted_costs_nothing() -> None:
    held = budget(initial=0.5)
    held.take()
    assert held.tokens == 0.5


@pytest.mark.parametrize(("ratio", "successes"), [(0.05, 20), (0.1, 10), (0.02, 50), (0.3, 4)])
def test_successes_pay_for_a_whole_attempt_exactly(ratio: float, successes: int) -> None:
    paid = budget(ratio=ratio)
    for so_far in range(successes):
        paid.earn(so_far)
        assert not paid.take()
    paid.earn(successes)
    assert paid.take()


def test_successes_may_be_told_all_at_once() -> None:
    paid = budget(ratio=0.1)
    paid.earn(25)
    assert (paid.take(), paid.take(), paid.take()) == (True, True, False)


def test_a_success_is_paid_for_once() -> None:
    paid = budget(ratio=0.5)
    paid.earn(2)
    paid.earn(2)
    assert paid.tokens == 1.0


def test_it_saves_no_more_than_its_cap() -> None:
    full = budget(ratio=1.0, cap=3.0)
    full.earn(10)
    assert (full.tokens, full.fullness) == (3.0, 1.0)


def test_a_ratio_of_zero_is_never_refilled() -> None:
    spent = budget(ratio=0.0, initial=1.0)
    spent.take()
    spent.earn(1000)
    assert not spent.take()


def test_a_cap_that_could_never_pay_for_one_attempt_is_refused() -> None:
    with pytest.raises(PolicyError, match="cap: must be between 1 and 10000, not 0"):
        budget(cap=0.0)


def test_no_ratio_and_nothing_to_begin_with_grant_nothing() -> None:
    nothing = budget(ratio=0.0, initial=0.0)
    nothing.earn(100)
    assert (nothing.take(), nothing.fullness) == (False, 0.0)


def test_its_fullness_is_the_share_of_its_cap() -> None:
    assert budget(cap=8.0, initial=2.0).fullness == 0.25


def test_a_scaled_refill_takes_as_many_more_successes() -> None:
    slowed = budget(ratio=0.5)
    slowed.scale(0.5)
    slowed.earn(3)
    assert not slowed.take()
    slowed.earn(4)
    assert slowed.take()


def test_a_scale_is_of_the_policy_and_not_of_the_last_scale() -> None:
    slowed = budget(ratio=0.5)
    slowed.scale(0.5)
    slowed.scale(1.0)
    slowed.earn(1)
    assert slowed.tokens == 0.5


def test_what_was_not_used_can_be_paid_back() -> None:
    held = budget(initial=1.0)
    held.take()
    held.pay_back()
    assert held.take()


def test_nothing_is_paid_back_beyond_the_cap() -> None:
    held = budget(cap=1.0, initial=1.0)
    held.pay_back()
    assert held.tokens == 1.0
