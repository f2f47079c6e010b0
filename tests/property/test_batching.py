# SPDX-License-Identifier: MIT
from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from resonance.policies._batching import Departure, Gathering, Queue, may_gather
from resonance.policies._holding import Holding, may_hold
from resonance.policies._reasons import Reason
from resonance.policies._records import BatchPolicy, TaskHint

ASK_SECONDS = 0.005
ROUNDING_SECONDS = 1e-9

SECONDS = st.floats(0.0, 0.1)
RARELY = st.integers(0, 9).map(lambda drawn: drawn == 9)
PRESSURES = st.sampled_from([None, 0.0, 0.3, 0.6, 0.9, 0.95, 1.0])
HINTS = st.builds(
    TaskHint,
    importance=st.sampled_from(["low", "normal", "normal", "high", "critical"]),
    soft_deadline=st.one_of(st.none(), st.floats(0.001, 0.05), st.floats(0.05, 10.0)),
    can_batch=st.booleans(),
    max_batch_latency=SECONDS,
    max_deferral=SECONDS,
    must_run_now=RARELY,
    phase_affinity=st.sampled_from(["none", "valley"]),
    task_class=st.sampled_from(["batchable", "background", "interactive"]),
)
POLICIES = st.builds(
    BatchPolicy,
    max_size=st.integers(1, 8),
    max_latency=SECONDS,
    until_pressure_below=st.floats(0.0, 1.0),
    in_valley=st.booleans(),
)
ADDED = st.tuples(st.just("add"), HINTS)
STORIES = st.lists(
    st.one_of(
        ADDED,
        ADDED,
        ADDED,
        ADDED,
        st.tuples(st.just("wait"), st.floats(0.0, 0.02)),
        st.tuples(st.just("wait"), st.floats(0.0, 0.02)),
        st.tuples(st.just("discard"), st.integers(0, 20)),
        st.tuples(RARELY.map(lambda drawn: "flush" if drawn else "add"), HINTS),
        st.tuples(RARELY.map(lambda drawn: "ran" if drawn else "wait"), st.floats(0.0, 0.1)),
    ),
    min_size=5,
    max_size=60,
)


class Node:
    """Pressures and valleys, as the story goes on."""

    def __init__(self, pressures: list[float | None], valley_share: float) -> None:
        self._pressures = pressures
        self._valley_share = valley_share
        self._asked = 0

    def own_pressure(self) -> float | None:
        self._asked += 1
        return self._pressures[self._asked % len(self._pressures)]

    def next_valley(self, within: float) -> float:
        return within * self._valley_share


NODES = st.builds(
    Node, st.lists(PRESSURES, min_size=1, max_size=6), st.just(0.0) | st.floats(0.0, 1.0)
)


class Told:
    """A story as it was lived by a queue whose driver asks whenever something is due."""

    def __init__(self, queue: Queue[int], story: list[tuple[str, Any]]) -> None:
        self.hints: list[TaskHint] = []
        self.joined_at: list[float] = []
        self.left: dict[int, tuple[Reason, float]] = {}
        self.sizes: list[int] = []
        self.asks = 0
        self._queue = queue
        self._now = 100.0
        for what, argument in story:
            getattr(self, f"_{what}")(argument)
        self.ended_at = self._now
        self._wait(inf)

    def _leave(self, departures: tuple[Departure[int], ...]) -> None:
        for reason, members in departures:
            self.sizes.append(len(members))
            assert members == tuple(sorted(members)), "not in the order in which they came"
            for member in members:
                assert member not in self.left, "it left before"
                self.left[member] = reason, self._now

    def _add(self, hint: TaskHint) -> None:
        member = len(self.hints)
        self.hints.append(hint)
        self.joined_at.append(self._now)
        self._leave(self._queue.add(member, hint, self._now))

    def _wait(self, seconds: float) -> None:
        until = self._now + seconds
        while self._queue.due_at <= until and self._queue.due_at < inf:
            self._now = max(self._now, self._queue.due_at)
            self.asks += 1
            self._leave(self._queue.due(self._now))
        if until < inf:
            self._now = until

    def _discard(self, member: int) -> None:
        waited = member < len(self.hints) and member not in self.left
        assert self._queue.discard(member) is waited
        if waited:
            self.left[member] = Reason.BATCH_FLUSHED, self._now

    def _flush(self, _: TaskHint) -> None:
        self._leave(self._queue.flush())
        assert len(self._queue) == 0

    def _ran(self, seconds: float) -> None:
        if isinstance(self._queue, Gathering):
            self._queue.ran(seconds)

    def waited(self, member: int) -> float:
        return self.left[member][1] - self.joined_at[member]


@given(POLICIES, NODES, STORIES)
def test_each_member_of_a_batch_leaves_once_and_none_waits_longer_than_it_may(
    policy: BatchPolicy, node: Node, story: list[tuple[str, Any]]
) -> None:
    batch = Gathering[int](policy, node.own_pressure, node.next_valley)
    told = Told(batch, story)
    assert sorted(told.left) == list(range(len(told.hints)))
    assert (len(batch), batch.due_at) == (0, inf)
    for member, hint in enumerate(told.hints):
        longest = min(policy.max_latency, hint.max_batch_latency)
        if hint.soft_deadline is not None:
            longest = min(longest, hint.soft_deadline / 2)
        if hint.must_run_now:
            longest = 0.0
        assert told.waited(member) <= longest + ROUNDING_SECONDS


@given(POLICIES, NODES, STORIES)
def test_no_batch_is_larger_than_its_policy_allows(
    policy: BatchPolicy, node: Node, story: list[tuple[str, Any]]
) -> None:
    told = Told(Gathering[int](policy, node.own_pressure, node.next_valley), story)
    assert all(size <= policy.max_size for size in told.sizes)


@given(NODES, STORIES)
def test_each_held_task_leaves_once_and_none_is_held_longer_than_it_may(
    node: Node, story: list[tuple[str, Any]]
) -> None:
    held = Holding[int](node.own_pressure, node.next_valley)
    told = Told(held, story)
    assert sorted(told.left) == list(range(len(told.hints)))
    assert (len(held), held.due_at) == (0, inf)
    for member, hint in enumerate(told.hints):
        longest = hint.max_deferral if may_hold(hint) else 0.0
        if hint.soft_deadline is not None:
            longest = min(longest, 0.05 * hint.soft_deadline)
        if told.left[member][0] is Reason.DEFERRED_FOR_PRESSURE and hint.task_class == "batchable":
            longest = min(longest, 0.007)
        assert told.waited(member) <= longest + ROUNDING_SECONDS


@given(NODES, STORIES)
def test_what_must_run_now_is_critical_or_interactive_is_never_held(
    node: Node, story: list[tuple[str, Any]]
) -> None:
    told = Told(Holding[int](node.own_pressure, node.next_valley), story)
    for member, hint in enumerate(told.hints):
        if hint.must_run_now or hint.importance == "critical" or hint.task_class == "interactive":
            assert told.left[member] == (Reason.RAN_AT_ONCE, told.joined_at[member])


@given(POLICIES, STORIES)
def test_where_nothing_is_known_of_the_node_nothing_is_held_because_of_it(
    policy: BatchPolicy, story: list[tuple[str, Any]]
) -> None:
    node = Node([None], 0.0)
    held = Told(Holding[int](node.own_pressure, node.next_valley), story)
    assert {reason for reason, _ in held.left.values()} <= {Reason.RAN_AT_ONCE}
    batch = Told(Gathering[int](policy, node.own_pressure, node.next_valley), story)
    assert not {reason for reason, _ in batch.left.values()} & {
        Reason.BATCH_PRESSURE_CLEARED,
        Reason.BATCH_VALLEY,
    }


@given(st.sampled_from([Gathering, Holding]), NODES, STORIES)
def test_a_driver_that_waits_for_what_is_due_wakes_rarely(
    kind: type, node: Node, story: list[tuple[str, Any]]
) -> None:
    queue = (
        Gathering[int](BatchPolicy(), node.own_pressure, node.next_valley)
        if kind is Gathering
        else Holding[int](node.own_pressure, node.next_valley)
    )
    told = Told(queue, story)
    longest_seconds = told.ended_at - 100.0 + 0.1
    assert told.asks <= 2 * len(told.hints) + longest_seconds / ASK_SECONDS + 1


@given(HINTS)
def test_only_what_allows_both_waits_for_others(hint: TaskHint) -> None:
    assert may_gather(hint) is (
        hint.can_batch and not hint.must_run_now and hint.max_batch_latency > 0.0
    )
