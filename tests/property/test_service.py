# SPDX-License-Identifier: MIT
"""The accounts of a service are right, in whatever order its attempts begin and end."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resonance.errors import NoReplicaError, OverloadedError
from resonance.policies import (
    Attempt,
    BudgetPolicy,
    Call,
    ChoicePolicy,
    EjectionPolicy,
    Failure,
    HedgePolicy,
    LimitPolicy,
    Policy,
    RetryPolicy,
    Service,
    Step,
    TaskHint,
    ThrottlePolicy,
)

DELAY = 0.010
TARGETS = ("a", "b", "c", "d")
LISTS = st.lists(st.sampled_from(TARGETS), max_size=4)
SELDOM = st.sampled_from([False] * 4 + [True])
MODES = st.sampled_from(["active"] * 6 + ["advise", "observe"])
FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(["retriable"] * 4 + ["unsent", "fatal"]),
    pushback=st.sampled_from([None] * 6 + [0.0, 0.050]),
    stop=st.sampled_from([False] * 7 + [True]),
)
HEDGES = st.builds(
    HedgePolicy,
    delay=st.just(DELAY),
    max_hedges=st.sampled_from([2, 1]),
    max_inflight_pct=st.sampled_from([1_000.0, 1_000.0, 150.0, 100.0]),
    saturation_guard=st.sampled_from([False, False, True]),
    pushback_silence=st.sampled_from([0.0, 1.0]),
    cancel_on_first=st.booleans(),
    idempotent_only=st.booleans(),
    tied=st.booleans(),
)
RETRIES = st.builds(
    RetryPolicy,
    max_attempts=st.sampled_from([3, 3, 4, 2, 1]),
    base_delay=st.just(0.020),
    strategy=st.sampled_from(["full_jitter", "fixed", "decorrelated_jitter"]),
)
BUDGETS = st.builds(
    BudgetPolicy,
    ratio=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    cap=st.just(10.0),
    initial=st.sampled_from([10.0, 10.0, 3.0, 0.0]),
)
CHOICES = st.builds(
    ChoicePolicy,
    algorithm=st.sampled_from(["p2c", "p2c", "round_robin", "random", "peak_ewma", "rendezvous"]),
    ejection=st.sampled_from([None, EjectionPolicy(consecutive_failures=2)]),
)
POLICIES = st.builds(
    Policy,
    hedge=st.sampled_from([True] * 5 + [False]).flatmap(lambda on: HEDGES if on else st.none()),
    retry=st.sampled_from([True] * 3 + [False]).flatmap(lambda on: RETRIES if on else st.none()),
    budget=BUDGETS,
    choice=CHOICES,
    limit=st.sampled_from([None] * 5 + [LimitPolicy(smallest=2, initial=3)]),
    throttle=st.sampled_from([None] * 5 + [ThrottlePolicy(window=1.0)]),
)

ACTIONS = (
    ("copy",) * 5
    + ("again", "fail", "reply", "acknowledge", "start") * 2
    + ("finish", "abandon", "end_again")
)


class Ledger:
    """What a test knows of a call without asking the service: the oracle."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.open: list[Attempt] = [call]
        self.ended: list[Attempt] = []
        self.begun = 1
        self.is_settled = False
        self.retries_at = inf

    def settle(self) -> None:
        assert not self.is_settled, "settled twice"
        self.is_settled = True
        self.retries_at = inf

    def end(self, attempt: Attempt) -> None:
        if attempt in self.open:
            self.open.remove(attempt)
            self.ended.append(attempt)

    @property
    def awaited(self) -> list[Attempt]:
        return [each for each in self.open if not each.is_cancelled]


class Calls(RuleBasedStateMachine):
    """Calls of one service, driven as a client might at its worst."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.targets = list(TARGETS)
        self.ledgers: list[Ledger] = []
        self.successes = self.failures = self.extras = self.paid_back = 0

    @initialize(policy=POLICIES, mode=MODES, seed=st.integers(0, 100))
    def begin(self, policy: Policy, mode: Any, seed: int) -> None:
        self.policy = policy
        self.service = Service(policy, mode=mode, random=Random(seed))

    # ---- what may happen at any time -----------------------------------------------------------

    @rule(data=st.data(), seconds=st.sampled_from([0.0, 0.001, 0.011, 0.2, 6.0, 70.0]))
    def meanwhile(self, data: st.DataObject, seconds: float) -> None:
        self.now += seconds
        if data.draw(SELDOM):
            self.service.set_mode(data.draw(MODES))
        if data.draw(SELDOM):  # while calls are under way that were given this very list
            self.targets[:] = data.draw(LISTS)
        self.sweep()

    def sweep(self) -> None:
        self.service.refresh(self.now)
        for ledger, attempt in self.open_attempts:
            if not attempt.is_open:  # cancelled long ago, and it never ended
                assert attempt.is_cancelled
                event("swept")
                ledger.end(attempt)

    @rule(
        count=st.integers(1, 3),
        idempotent=st.sampled_from([True, True, True, True, None, False]),
        importance=st.sampled_from(["normal", "critical"]),
        seconds=st.sampled_from([inf, inf, 0.100, 1.0]),
        is_asked_to_repeat=st.booleans(),
    )
    def begin_calls(
        self,
        count: int,
        idempotent: bool | None,
        importance: Any,
        seconds: float,
        *,
        is_asked_to_repeat: bool,
    ) -> None:
        hint = TaskHint(idempotent=idempotent, importance=importance)
        for _ in range(count):
            self.begin_call(hint, seconds, is_asked_to_repeat=is_asked_to_repeat)

    def begin_call(self, hint: TaskHint, seconds: float, *, is_asked_to_repeat: bool) -> None:
        self.sweep()
        try:
            call = self.service.open(self.targets, self.now, self.now + seconds, "key", hint)
        except OverloadedError:
            assert self.service.gate is not None
            return
        except NoReplicaError:
            assert not self.targets
            return
        call.is_asked_to_repeat = is_asked_to_repeat
        self.ledgers.append(Ledger(call))

    # ---- what may happen to a call -------------------------------------------------------------

    @precondition(lambda self: self.ledgers)
    @rule(
        what=st.lists(
            st.tuples(st.sampled_from(ACTIONS), st.integers(0, 9)), min_size=4, max_size=12
        ),
        failure=FAILURES,
    )
    def act(self, what: list[tuple[str, int]], failure: Failure) -> None:
        for action, number in what:
            self.now += 0.0005
            if action in {"copy", "again", "finish", "abandon"}:
                ledgers = {"copy": self.due, "again": self.retrying}.get(action, self.unsettled)
                if ledgers:
                    getattr(self, action)(ledgers[number % len(ledgers)])
            else:
                attempts = self.ended_attempts if action == "end_again" else self.open_attempts
                if attempts:
                    getattr(self, action)(*attempts[number % len(attempts)], failure)

    def copy(self, ledger: Ledger) -> None:
        self.now = max(self.now, ledger.call.due_at)
        would = self.service.counts.would_hedge
        copy = self.service.due(ledger.call, self.now)
        self.extras += self.service.counts.would_hedge - would
        if copy is not None:
            event(f"hedge {ledger.call.hedges}")
            assert self.service.is_active
            self.begin_extra(ledger, copy)

    def again(self, ledger: Ledger) -> None:
        event("retry")
        self.now = max(self.now, ledger.retries_at)
        ledger.retries_at = inf
        self.begin_extra(ledger, self.service.again(ledger.call, self.now))

    def finish(self, ledger: Ledger) -> None:
        if ledger.begun == 1 and ledger.call.is_open and not ledger.call.is_cancelled:
            outcome = self.service.finish(ledger.call, "result", self.now)
            assert outcome.result == "result"
            self.succeed(ledger, ledger.call)

    def abandon(self, ledger: Ledger) -> None:
        is_late = self.now >= ledger.call.deadline
        self.give_up(ledger)
        losers = self.service.abandon(ledger.call, self.now, is_late=is_late)
        assert set(losers) <= set(ledger.open)
        assert not ledger.awaited

    # ---- what may happen to an attempt ---------------------------------------------------------

    def reply(self, ledger: Ledger, attempt: Attempt, _: Failure) -> None:
        was_settled = ledger.is_settled
        is_news = self.service.reply(attempt, self.now)
        assert is_news is not was_settled
        ledger.end(attempt)
        if is_news:
            self.succeed(ledger, attempt)

    def fail(self, ledger: Ledger, attempt: Attempt, failure: Failure) -> None:
        would = self.service.counts.would_retry
        step = self.service.fail(attempt, self.now, failure)
        self.extras += self.service.counts.would_retry - would
        ledger.end(attempt)
        self.take(ledger, step)

    def acknowledge(self, ledger: Ledger, attempt: Attempt, _: Failure) -> None:
        would = self.service.counts.would_retry
        step = self.service.cancelled(attempt, self.now)
        self.extras += self.service.counts.would_retry - would
        ledger.end(attempt)
        self.take(ledger, step)

    def start(self, ledger: Ledger, attempt: Attempt, _: Failure) -> None:
        """Hear that the server has begun it."""
        was_awaited = ledger.awaited
        twins = self.service.started(attempt, self.now)
        event(f"{len(twins)} twins")
        assert not twins or attempt in was_awaited
        assert not twins or ledger.awaited == [attempt]
        self.paid_back += len(twins)

    def end_again(self, ledger: Ledger, attempt: Attempt, failure: Failure) -> None:
        if ledger.is_settled:
            assert self.service.reply(attempt, self.now) is False
            assert self.service.fail(attempt, self.now, failure).verdict == "wait"
            assert self.service.cancelled(attempt, self.now).verdict == "wait"

    # ---- the oracle ----------------------------------------------------------------------------

    @property
    def unsettled(self) -> list[Ledger]:
        return [ledger for ledger in self.ledgers if not ledger.is_settled]

    @property
    def due(self) -> list[Ledger]:
        return [ledger for ledger in self.unsettled if ledger.call.due_at < inf]

    @property
    def retrying(self) -> list[Ledger]:
        return [ledger for ledger in self.unsettled if ledger.retries_at < inf]

    @property
    def open_attempts(self) -> list[tuple[Ledger, Attempt]]:
        return [(ledger, attempt) for ledger in self.ledgers for attempt in ledger.open]

    @property
    def ended_attempts(self) -> list[tuple[Ledger, Attempt]]:
        return [(ledger, attempt) for ledger in self.ledgers for attempt in ledger.ended]

    def begin_extra(self, ledger: Ledger, attempt: Attempt) -> None:
        ledger.open.append(attempt)
        ledger.begun += 1
        self.extras += 1
        assert attempt.call is ledger.call
        assert attempt.number == ledger.begun

    def succeed(self, ledger: Ledger, winner: Attempt) -> None:
        ledger.end(winner)
        ledger.settle()
        self.successes += 1
        losers = self.service.losers(ledger.call, self.now)
        hedge = self.policy.hedge
        if hedge is not None and not hedge.cancel_on_first:
            assert losers == []
        else:
            assert not ledger.awaited

    def give_up(self, ledger: Ledger) -> None:
        ledger.settle()
        self.failures += 1

    def take(self, ledger: Ledger, step: Step) -> None:
        if ledger.is_settled or ledger.retries_at < inf:
            assert step.verdict == "wait"  # it is decided already
        if step.verdict == "raise":
            self.give_up(ledger)
            self.service.losers(ledger.call, self.now)
        elif step.verdict == "retry":
            assert not ledger.awaited
            assert self.service.is_active
            ledger.retries_at = self.now + step.delay

    @invariant()
    def in_flight_is_what_has_begun_and_not_ended(self) -> None:
        if not hasattr(self, "service"):
            return
        assert self.service.inflight == len(self.open_attempts)
        assert all(attempt.is_open for _, attempt in self.open_attempts)

    @invariant()
    def calls_add_up(self) -> None:
        if not hasattr(self, "service"):
            return
        service = self.service
        assert service.calls == len(self.ledgers)
        assert service.successes == self.successes
        assert service.counts.failures == self.failures
        assert service.calls_inflight == len(self.unsettled)
        assert service.attempts == sum(ledger.begun for ledger in self.ledgers)
        assert all(ledger.call.is_settled == ledger.is_settled for ledger in self.ledgers)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        for ledger in self.unsettled:
            assert ledger.awaited or ledger.retries_at < inf

    @invariant()
    def attempts_of_a_call_are_bounded(self) -> None:
        for ledger in self.ledgers:
            assert ledger.begun <= self.policy.max_attempts
            assert ledger.begun <= 3 or self.policy.hedge is None

    @invariant()
    def extras_were_paid_for(self) -> None:
        if not hasattr(self, "service"):
            return
        budget = self.policy.budget
        paid = budget.initial + budget.ratio * self.successes + self.paid_back
        assert self.extras <= paid + 1e-6
        assert 0.0 <= self.service.budget.tokens <= budget.cap

    def teardown(self) -> None:
        if not hasattr(self, "service"):
            return
        for ledger in self.unsettled:
            self.give_up(ledger)
            self.service.abandon(ledger.call, self.now)
        for ledger, attempt in self.open_attempts:
            self.service.cancelled(attempt, self.now)
            ledger.end(attempt)
        assert self.service.inflight == 0
        assert self.service.calls_inflight == 0
        assert self.service.calls == self.successes + self.failures


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


FAILED = [
    *[Failure("retriable")] * 6,
    *(Failure("unsent"), Failure("fatal"), Failure(stop=True), Failure(pushback=0.050)),
]


@given(POLICIES, st.integers(0, 2**32))
@settings(max_examples=150)
def test_accounts_stay_right_on_a_long_walk(policy: Policy, seed: int) -> None:
    chance, world = Random(seed), Calls()
    world.begin(policy, "active", seed)
    for _ in range(200):
        if chance.random() < 0.2:
            hint = TaskHint(
                idempotent=chance.random() < 0.9,
                importance="critical" if chance.random() < 0.5 else "normal",
            )
            world.begin_call(hint, chance.choice([inf, 0.1]), is_asked_to_repeat=True)
        if chance.random() < 0.05:
            world.targets[:] = chance.sample(TARGETS, chance.randint(0, 4))
        if world.ledgers:
            what = (chance.choice(ACTIONS), -chance.randint(1, 3))
            world.act([what], chance.choice(FAILED))
        world.in_flight_is_what_has_begun_and_not_ended()
        world.calls_add_up()
        world.nobody_waits_for_nothing()
        world.attempts_of_a_call_are_bounded()
        world.extras_were_paid_for()
    world.teardown()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "finish", "fail", "due", "wait"]), st.integers(0, 5)
    ),
    max_size=60,
)


def replay(
    events: list[tuple[str, int]], policy: Policy, open_call: Callable[[Service, float], Call]
) -> tuple[object, ...]:
    """Have a service live through some events; return its counts."""
    service = Service(policy, random=Random(1))
    now, calls = 1_000.0, list[Call]()
    for what, number in events:
        now += 0.0007
        if what == "open":
            calls.append(open_call(service, now))
        elif what == "wait":
            now += 0.02 * number
        elif calls:
            call = calls[number % len(calls)]
            if call.is_settled:
                continue
            if what == "due" and now >= call.due_at:
                service.due(call, now)
            elif what == "finish" and call.extras is None and call.is_open:
                service.finish(call, "result", now)
            elif what == "fail" and call.is_open:
                service.fail(call, now, Failure("retriable"))
    service.refresh(now + 1.0)
    counts = service.counts
    return (
        (service.calls, service.attempts, service.successes, service.calls_inflight),
        (service.inflight, counts.failures, counts.hedges, counts.refused, service.budget.tokens),
        (service.window.count, service.window.quantile(0.5), service.window.quantile(0.99)),
    )


@given(EVENTS, st.sampled_from([TARGETS[:1], TARGETS[:3], None]))
def test_without_a_lock_the_counts_are_the_same(
    events: list[tuple[str, int]], targets: tuple[str, ...] | None
) -> None:
    hint = TaskHint(idempotent=True)
    hedge = HedgePolicy(delay=DELAY, saturation_guard=False)
    policy = Policy(hedge=hedge, choice=ChoicePolicy(ejection=None))

    def open_call(service: Service, now: float) -> Call:
        return service.open(targets, now, inf, None, hint)

    def open_carefully(service: Service, now: float) -> Call:
        service._lane_until = -inf
        return service.open(targets, now, inf, None, hint)

    assert replay(events, policy, open_call) == replay(events, policy, open_carefully)
