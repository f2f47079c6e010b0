# SPDX-License-Identifier: MIT
from __future__ import annotations

from math import inf

import pytest

from fakes.submitting import FakeNode
from resonance.policies._batching import Departure, Gathering
from resonance.policies._holding import Holding
from resonance.policies._reasons import Reason
from resonance.policies._records import BatchPolicy, TaskHint

HELD = TaskHint(max_deferral=0.1, task_class="background")


def gathering(node: FakeNode | None = None, **policy: object) -> Gathering[str]:
    node = node or FakeNode()
    return Gathering(BatchPolicy().replace(**policy), node.own_pressure, node.next_valley)


def holding(node: FakeNode) -> Holding[str]:
    return Holding(node.own_pressure, node.next_valley)


def gone(reason: Reason, *members: str) -> tuple[Departure[str], ...]:
    return (Departure(reason, members),)


def test_a_batch_goes_when_it_is_full() -> None:
    batch = gathering(max_size=2)
    assert batch.add("a", None, 0.0) == ()
    assert batch.add("b", None, 0.0) == gone(Reason.BATCH_FULL, "a", "b")
    assert (len(batch), batch.due_at) == (0, inf)


def test_a_batch_goes_when_its_first_member_has_waited_as_long_as_it_may() -> None:
    batch = gathering(max_latency=0.025)
    batch.add("a", None, 1.0)
    batch.add("b", None, 1.02)
    assert batch.due_at == 1.025
    assert batch.due(1.0249) == ()
    assert batch.due(1.025) == gone(Reason.BATCH_LATENCY, "a", "b")


def test_a_later_member_may_make_the_wait_shorter_but_not_longer() -> None:
    batch = gathering()
    batch.add("a", None, 1.0)
    batch.add("b", TaskHint(max_batch_latency=0.002), 1.01)
    batch.add("c", TaskHint(max_batch_latency=10.0), 1.011)
    assert batch.due_at == pytest.approx(1.012)


def test_half_of_a_soft_deadline_is_left_for_the_run() -> None:
    batch = gathering(max_latency=1.0)
    batch.add("a", TaskHint(soft_deadline=0.1, max_batch_latency=1.0), 1.0)
    assert batch.due_at == pytest.approx(1.05)


def test_the_slower_batches_run_the_earlier_they_go() -> None:
    batch, hint = gathering(max_latency=1.0), TaskHint(soft_deadline=0.1, max_batch_latency=1.0)
    batch.ran(0.06)
    batch.add("a", hint, 1.0)
    assert batch.due_at == pytest.approx(1.02)
    batch.flush()
    for _ in range(100):
        batch.ran(0.0)
    batch.add("b", hint, 2.0)
    assert batch.due_at == pytest.approx(2.05, abs=1e-4)


def test_a_member_whose_deadline_cannot_be_kept_takes_the_batch_with_it_at_once() -> None:
    batch = gathering()
    batch.ran(5.0)
    batch.add("a", None, 1.0)
    late = TaskHint(soft_deadline=1.0)
    assert batch.add("b", late, 1.0) == gone(Reason.BATCH_LATENCY, "a", "b")
    assert batch.add("c", late, 1.0) == gone(Reason.RAN_AT_ONCE, "c")


def test_a_batch_goes_when_the_pressure_has_cleared() -> None:
    node = FakeNode(pressure=0.5)
    batch = gathering(node)
    batch.add("a", None, 1.0)
    assert batch.due_at == 1.005
    assert batch.due(1.005) == ()
    node.pressure = 0.49
    assert batch.due(batch.due_at) == gone(Reason.BATCH_PRESSURE_CLEARED, "a")


@pytest.mark.parametrize("pressure", [None, 0.0, 0.49, float("nan")])
def test_pressure_that_was_not_high_cannot_clear(pressure: float | None) -> None:
    batch = gathering(FakeNode(pressure))
    batch.add("a", None, 1.0)
    assert batch.due_at == 1.025


def test_pressure_that_is_not_known_any_more_has_not_cleared() -> None:
    node = FakeNode(pressure=0.9)
    batch = gathering(node)
    batch.add("a", None, 1.0)
    node.pressure = None
    assert batch.due(1.005) == ()
    assert batch.due_at == 1.025


def test_pressure_is_not_asked_for_where_nothing_is_below_the_bound() -> None:
    batch = gathering(FakeNode(pressure=1.0), until_pressure_below=0.0)
    batch.add("a", None, 1.0)
    assert batch.due_at == 1.025


def test_a_batch_goes_in_a_valley() -> None:
    batch = gathering(FakeNode(valley_seconds=0.01))
    batch.add("a", None, 1.0)
    assert batch.due(1.01) == gone(Reason.BATCH_VALLEY, "a")


@pytest.mark.parametrize("seconds", [0.0, 0.025, -1.0, float("nan")])
def test_a_valley_now_at_the_end_or_unknown_changes_nothing(seconds: float) -> None:
    batch = gathering(FakeNode(valley_seconds=seconds))
    batch.add("a", None, 1.0)
    assert batch.due(1.025) == gone(Reason.BATCH_LATENCY, "a")


def test_a_policy_may_leave_valleys_alone() -> None:
    batch = gathering(FakeNode(valley_seconds=0.01), in_valley=False)
    batch.add("a", None, 1.0)
    assert batch.due_at == 1.025


def test_a_batch_goes_when_it_is_flushed() -> None:
    batch = gathering()
    assert batch.flush() == ()
    batch.add("a", None, 1.0)
    assert batch.flush() == gone(Reason.BATCH_FLUSHED, "a")


def test_a_batch_whose_members_have_left_is_not_due() -> None:
    batch = gathering(max_size=2)
    batch.add("a", None, 1.0)
    assert batch.discard("a")
    assert not batch.discard("a")
    assert (len(batch), batch.due_at) == (0, inf)
    batch.add("b", None, 5.0)
    assert batch.due_at == 5.025


def test_what_must_run_now_goes_alone() -> None:
    batch = gathering()
    batch.add("a", None, 1.0)
    assert batch.add("b", TaskHint(must_run_now=True), 1.0) == gone(Reason.RAN_AT_ONCE, "b")
    assert len(batch) == 1


def test_a_task_is_held_until_the_node_is_not_busy() -> None:
    node = FakeNode(pressure=0.51)
    held = holding(node)
    assert held.add("a", HELD, 1.0) == ()
    assert held.add("b", HELD, 1.001) == ()
    assert held.due(1.005) == ()
    node.pressure = 0.5
    assert held.due_at == pytest.approx(1.01)
    assert held.due(1.01) == (
        *gone(Reason.DEFERRED_FOR_PRESSURE, "a"),
        *gone(Reason.DEFERRED_FOR_PRESSURE, "b"),
    )
    assert (len(held), held.due_at) == (0, inf)


def test_tasks_go_when_the_pressure_is_not_known_any_more() -> None:
    node = FakeNode(pressure=0.9)
    held = holding(node)
    held.add("a", HELD, 1.0)
    node.pressure = None
    assert held.due(1.005) == gone(Reason.DEFERRED_FOR_PRESSURE, "a")


@pytest.mark.parametrize(
    ("hint", "until"),
    [
        (HELD, 1.1),
        (HELD.replace(soft_deadline=1.0), 1.05),
        (HELD.replace(task_class="batchable"), 1.007),
        (HELD.replace(task_class="batchable", max_deferral=0.002), 1.002),
        (HELD.replace(task_class="batchable", soft_deadline=0.1), 1.005),
    ],
)
def test_a_busy_node_holds_a_task_no_longer_than_this(hint: TaskHint, until: float) -> None:
    held, now = holding(FakeNode(pressure=1.0)), 1.0
    held.add("a", hint, now)
    while len(held):
        now = held.due_at
        held.due(now)
    assert now == pytest.approx(until)


def test_a_task_waits_for_a_valley_whatever_the_pressure_is() -> None:
    held = holding(FakeNode(pressure=None, valley_seconds=0.05))
    held.add("a", HELD.replace(phase_affinity="valley", task_class="batchable"), 1.0)
    assert held.due_at == pytest.approx(1.05)
    assert held.due(1.05) == gone(Reason.DEFERRED_FOR_VALLEY, "a")


def test_a_valley_that_would_be_too_late_is_the_end_of_the_wait() -> None:
    held = Holding[str](lambda: None, lambda _: 3600.0)
    held.add("a", HELD.replace(phase_affinity="valley"), 1.0)
    assert held.due_at == pytest.approx(1.1)


def test_without_a_valley_to_come_the_pressure_decides() -> None:
    valley = HELD.replace(phase_affinity="valley")
    assert holding(FakeNode()).add("a", valley, 1.0) == gone(Reason.RAN_AT_ONCE, "a")
    held = holding(FakeNode(pressure=1.0))
    held.add("b", valley, 1.0)
    assert held.flush() == gone(Reason.DEFERRED_FOR_PRESSURE, "b")


def test_a_task_that_does_not_care_for_valleys_is_not_held_for_one() -> None:
    held = holding(FakeNode(valley_seconds=0.05))
    assert held.add("a", HELD, 1.0) == gone(Reason.RAN_AT_ONCE, "a")


def test_tasks_that_were_taken_out_are_forgotten_while_others_are_held() -> None:
    held = Holding[int](lambda: 1.0, lambda _: 0.0)
    held.add(0, HELD, 1.0)
    for each in range(1, 1_000):
        held.add(each, HELD, 1.0)
        assert held.discard(each)
    assert not held.discard(1)
    assert len(held) == 1
    assert len(held._order) <= 3
