# SPDX-License-Identifier: MIT
"""What both clients promise: one suite for threads with workers, threads inline, and asyncio."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes.attempts import (
    Act,
    Driver,
    FakeHints,
    Script,
    begun,
    driver,
    ended,
    hangs,
    raises,
    returns,
)
from resonance import deadlines
from resonance.errors import DeadlineExceededError, NoReplicaError, PolicyError
from resonance.policies import (
    BudgetPolicy,
    ChoicePolicy,
    Failure,
    HedgePolicy,
    Outcome,
    Policy,
    Reason,
    Replica,
    RetryPolicy,
    TaskHint,
)

SOON = 0.001
NEVER = 3600.0
TARGETS = ("a", "b")
IDEMPOTENT = TaskHint(idempotent=True)
HEDGE = Policy(hedge=HedgePolicy(delay=SOON))
RETRY = Policy(retry=RetryPolicy(base_delay=0.0, max_delay=0.0))
BOTH = HEDGE | RETRY
UNHURRIED = RETRY | HedgePolicy(delay=1.0)
"""What fails at once has failed long before it is copied, also on a machine that stalls."""

Make = Callable[..., Driver]


@pytest.fixture(params=["worker", "inline", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make a client of one kind; it is closed at the end."""
    opened: list[Any] = []

    def of_kind(*arguments: Any, **how: Any) -> Driver:
        how.setdefault("hints", FakeHints())
        opened.append(driver(request.param, *arguments, **how))
        made: Driver = opened[-1].__enter__()
        return made

    yield of_kind
    for each in opened:
        each.__exit__(None, None, None)


class FakeKernel:
    """Pressures of replicas, as the kernel would tell them."""

    def __init__(self, pressures: dict[str, float]) -> None:
        self.pressures = pressures

    def refresh(self, replicas: list[Replica], now: float) -> None:
        for replica in replicas:
            replica.pressure = self.pressures.get(str(replica.target))
            replica.pressure_until = now + NEVER

    def mode_ceiling(self, _: float) -> str:
        return "active"

    def close(self) -> None:
        pass


# ---- hedging -----------------------------------------------------------------------------------


def test_a_copy_that_answers_first_is_the_result(make: Make) -> None:
    made, script = make(HEDGE), Script(hangs(), returns("copy"))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert (outcome.result, outcome.attempts) == ("copy", 2)
    assert outcome.hedge_fired
    assert outcome.hedge_won
    assert outcome.hedge_delay == SOON
    assert outcome.target == script.targets[1] != script.targets[0]
    assert outcome.reasons == (
        Reason.CHOSEN,
        Reason.ROOM_BY_INFLIGHT,
        Reason.HEDGED,
        Reason.HEDGE_WON,
    )


def test_a_loser_is_cancelled_and_not_waited_for_by_the_accounts(make: Make) -> None:
    made, script = make(HEDGE), Script(hangs(), returns("copy"))
    made.call(TARGETS, script, hint=IDEMPOTENT)
    report = made.at_rest()
    assert script.left == [1]
    assert (report.hedges, report.hedges_won, report.cancelled) == (1, 1, 1)
    assert (report.calls, report.successes, report.failures, report.attempts) == (1, 1, 0, 2)


def test_a_copy_may_lose(make: Make) -> None:
    made, script = make(HEDGE), Script(returns("first", begun(2)), hangs())
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert (outcome.result, outcome.target) == ("first", script.targets[0])
    assert outcome.hedge_fired
    assert not outcome.hedge_won
    assert outcome.reasons[-1] is Reason.HEDGE_LOST
    made.at_rest()
    assert script.left == [2]


def test_others_run_on_where_the_policy_says_so(make: Make) -> None:
    policy = Policy(hedge=HedgePolicy(delay=SOON, cancel_on_first=False))
    made, is_over = make(policy), list[bool]()
    script = Script(returns("first", begun(2)), returns("copy", lambda _: bool(is_over)))
    assert made.call(TARGETS, script, hint=IDEMPOTENT).result == "first"
    is_over.append(True)
    report = made.at_rest()
    assert script.left == []
    assert (report.successes, report.attempts, report.cancelled) == (1, 2, 0)


def test_a_function_that_knows_where_to_go_is_copied_as_well(make: Make) -> None:
    made, script = make(), Script(hangs(), returns("copy"))
    outcome = made.hedge(script, HedgePolicy(delay=SOON), hint=IDEMPOTENT)
    assert (outcome.result, outcome.target) == ("copy", None)
    assert outcome.reasons == (Reason.HEDGED, Reason.HEDGE_WON)
    made.at_rest()


def test_critical_work_may_be_copied_twice(make: Make) -> None:
    made = make(
        Policy(
            hedge=HedgePolicy(delay=SOON, max_hedges=2, max_inflight_pct=300),
            budget=BudgetPolicy(initial=9),
        )
    )
    script = Script(hangs(), hangs(), returns("third"))
    hint = TaskHint(idempotent=True, importance="critical")
    outcome = made.call(("a", "b", "c"), script, hint=hint)
    assert (outcome.result, outcome.attempts) == ("third", 3)
    assert len(set(script.targets)) == 3
    made.at_rest()
    assert sorted(script.left) == [1, 2]


def is_late(script: Script) -> bool:
    """Tell whether a copy would have been sent long ago."""
    attempt = script.attempts[0]
    return time.monotonic() > attempt.started_at + 5 * SOON


def test_what_may_not_be_done_twice_runs_once_and_says_so(make: Make) -> None:
    made, script = make(HEDGE), Script(returns("late", is_late))
    outcome = made.call(TARGETS, script, hint=TaskHint(idempotent=False))
    assert (outcome.result, outcome.attempts) == ("late", 1)
    assert outcome.reasons == (Reason.CHOSEN, Reason.NOT_IDEMPOTENT)
    assert made.at_rest().refused == {Reason.NOT_IDEMPOTENT: 1}


@pytest.mark.parametrize(
    ("policy", "targets", "reason"),
    [
        (HedgePolicy(delay=SOON), ("a",), Reason.NO_OTHER_REPLICA),
        (
            Policy(hedge=HedgePolicy(delay=SOON), budget=BudgetPolicy(ratio=0, initial=0)),
            TARGETS,
            Reason.BUDGET_EMPTY,
        ),
    ],
)
def test_a_copy_that_is_not_sent_has_a_reason(
    make: Make, policy: Any, targets: tuple[str, ...], reason: Reason
) -> None:
    made = make()

    def is_refused(_: Script) -> bool:
        (report,) = made.client.report()
        return reason in report.refused

    script = Script(returns("first", is_refused))
    outcome = made.call(targets, script, Policy() | policy, hint=IDEMPOTENT)
    assert (outcome.attempts, outcome.hedge_fired) == (1, False)
    assert outcome.reasons[-1] is reason


# ---- failures ----------------------------------------------------------------------------------


def test_the_error_of_a_loser_is_not_raised(make: Make) -> None:
    made = make(HEDGE)
    script = Script(raises(OSError("first"), begun(2)), returns("copy", ended(1)))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert outcome.result == "copy"
    assert outcome.hedge_won
    assert made.at_rest().failures == 0


def test_a_copy_that_fails_leaves_the_first_to_answer(make: Make) -> None:
    made = make(HEDGE)
    script = Script(returns("first", ended(2)), raises(OSError("copy")))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert outcome.result == "first"
    assert outcome.hedge_fired
    assert not outcome.hedge_won
    made.at_rest()


def test_an_error_that_no_other_attempt_can_mend_is_raised_at_once(make: Make) -> None:
    made = make(HEDGE | RetryPolicy(retry_on=(OSError,)))
    script = Script(raises(ValueError("first"), begun(2)), hangs())
    with pytest.raises(ValueError, match="first"):
        made.call(TARGETS, script, hint=IDEMPOTENT)
    report = made.at_rest()
    assert script.left == [2]
    assert (report.failures, report.successes) == (1, 0)


def test_when_all_have_failed_the_last_error_is_raised_with_a_note(make: Make) -> None:
    made, last = make(HEDGE), OSError("copy")
    script = Script(raises(OSError("first"), begun(2)), raises(last, ended(1)))
    with pytest.raises(OSError, match="copy") as caught:
        made.call(TARGETS, script, hint=IDEMPOTENT)
    assert caught.value is last
    assert caught.value.__notes__ == ["resonance: failed after 2 attempts (not_retriable)"]
    assert made.at_rest().calls_inflight == 0


def test_an_error_is_itself_with_a_note(make: Make) -> None:
    made, error = make(RETRY), KeyError("gone")
    script = Script(*(raises(error) for _ in range(3)))
    with pytest.raises(KeyError) as caught:
        made.retry(script)
    assert caught.value is error
    assert error.__notes__ == ["resonance: failed after 3 attempts (attempts_used)"]
    assert made.at_rest().retries == 2


def test_a_retry_goes_to_another_replica(make: Make) -> None:
    made, script = make(RETRY), Script(raises(OSError()), returns("second"))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert (outcome.result, outcome.attempts) == ("second", 2)
    assert set(script.targets) == set(TARGETS)
    assert outcome.target == script.targets[1]
    assert outcome.reasons == (Reason.CHOSEN, Reason.RETRIED)


def test_a_retry_may_be_copied_in_its_turn(make: Make) -> None:
    made = make(UNHURRIED)
    script = Script(raises(OSError()), hangs(), returns("third"))
    outcome = made.call(("a", "b", "c"), script, hint=IDEMPOTENT)
    assert (outcome.result, outcome.attempts) == ("third", 3)
    assert outcome.hedge_won
    report = made.at_rest()
    assert (report.retries, report.hedges, report.attempts) == (1, 1, 3)


def test_hedges_and_retries_together_are_three_attempts(make: Make) -> None:
    made = make(BOTH | RetryPolicy(max_attempts=9, base_delay=0.0, max_delay=0.0))
    script = Script(raises(OSError("first"), begun(2)), raises(OSError()), raises(OSError("last")))
    with pytest.raises(OSError, match="last"):
        made.call(("a", "b", "c", "d"), script, hint=IDEMPOTENT)
    assert made.at_rest().attempts == 3


def test_a_result_that_is_a_failure_is_returned_when_attempts_are_used(make: Make) -> None:
    made = make(RETRY | RetryPolicy(max_attempts=2, base_delay=0.0, max_delay=0.0))
    script = Script(returns(503), returns(503))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT, classify=is_unavailable)
    assert (outcome.result, outcome.attempts) == (503, 2)
    assert outcome.target == script.targets[1]
    assert outcome.reasons[-1] is Reason.ATTEMPTS_USED
    assert not outcome.hedge_won
    assert made.at_rest().failures == 1


def is_unavailable(value: object) -> Failure | None:
    return Failure("retriable") if value == 503 else None


def test_a_result_that_is_a_failure_is_tried_again(make: Make) -> None:
    made, script = make(RETRY), Script(returns(503), returns(200))
    assert made.retry(script, classify=is_unavailable).result == 200


def test_what_is_said_of_a_failure_goes_before_its_type(make: Make) -> None:
    made = make(RETRY | RetryPolicy(retry_on=(OSError,), base_delay=0.0, max_delay=0.0))
    script = Script(raises(ValueError()), returns("second"))
    assert made.retry(script, classify=lambda _: None if _ == "second" else Failure()).attempts == 2


def test_what_classify_raises_is_the_end_of_the_call(make: Make) -> None:
    made = make(RETRY)

    def broken(_: object) -> Failure | None:
        raise LookupError("classify")

    for act in (returns("fine"), raises(OSError())):
        with pytest.raises(LookupError, match="classify"):
            made.retry(Script(act), classify=broken)
    report = made.at_rest()
    assert (report.attempts, report.failures, report.calls_inflight) == (2, 2, 0)


def test_what_classify_raises_for_a_copy_is_the_end_as_well(make: Make) -> None:
    made = make(HEDGE)

    def broken(value: object) -> Failure | None:
        raise LookupError(value)

    with pytest.raises(LookupError, match="copy"):
        made.call(TARGETS, Script(hangs(), returns("copy")), hint=IDEMPOTENT, classify=broken)
    assert made.at_rest().failures == 1


def test_what_was_never_sent_is_repeated_though_it_must_not_be_done_twice(make: Make) -> None:
    made = make(RETRY)
    script = Script(raises(ConnectionRefusedError()), returns("second"))
    assert made.retry(script, hint=TaskHint(idempotent=False)).result == "second"


def test_what_may_not_be_done_twice_is_not_repeated(make: Make) -> None:
    made = make(RETRY)
    with pytest.raises(ConnectionResetError) as caught:
        made.retry(Script(raises(ConnectionResetError())), hint=TaskHint(idempotent=False))
    assert caught.value.__notes__ == ["resonance: failed after 1 attempt (not_idempotent)"]


def test_only_a_call_that_asks_for_it_repeats_what_is_not_known_to_be_idempotent(
    make: Make,
) -> None:
    made = make(RETRY)
    with pytest.raises(OSError):
        made.call(TARGETS, Script(raises(OSError())))
    assert made.retry(Script(raises(OSError()), returns("second"))).result == "second"


def test_an_error_of_our_own_is_not_tried_again(make: Make) -> None:
    made = make(RETRY)
    with pytest.raises(NoReplicaError):
        made.retry(Script(raises(NoReplicaError("inner"))))
    assert made.at_rest().attempts == 1


# ---- deadlines ---------------------------------------------------------------------------------


def overdue(made: Driver, how: str, script: Script) -> None:
    """Make a call whose time will be over, by one of three ways to say so."""
    if how == "own":
        made.call(TARGETS, script, timeout=0.020)
    elif how == "policy":
        made.call(TARGETS, script, Policy(timeout=0.020))
    else:
        with deadlines.deadline(0.020):
            made.call(TARGETS, script, timeout=NEVER)


@pytest.mark.parametrize("how", ["own", "policy", "ambient"])
def test_a_call_ends_when_its_time_is_over(make: Make, how: str) -> None:
    made, script = make(Policy()), Script(hangs())
    with pytest.raises(DeadlineExceededError, match="with 1 attempt") as caught:
        overdue(made, how, script)
    assert 0.0 < caught.value.timeout_seconds <= 0.021
    report = made.at_rest()
    assert script.left == [1]
    assert (report.deadlines, report.failures, report.calls_inflight) == (1, 1, 0)


@pytest.mark.parametrize("how", ["own", "policy", "ambient"])
def test_a_function_sees_how_much_time_is_left(make: Make, how: str) -> None:
    made, seen = make(Policy()), list[float | None]()
    script = Script(returns("done", before=lambda: seen.append(deadlines.remaining())))
    if how == "own":
        made.call(TARGETS, script, timeout=NEVER)
    elif how == "policy":
        made.call(TARGETS, script, Policy(timeout=NEVER))
    else:
        with deadlines.deadline(NEVER):
            made.call(TARGETS, script)
    (left,) = seen
    assert left is not None
    assert NEVER - 60.0 < left <= NEVER


def test_a_copy_has_the_deadline_of_its_call(make: Make) -> None:
    made, seen = make(HEDGE), list[float | None]()
    looks = {"before": lambda: seen.append(deadlines.absolute())}
    script = Script(hangs(**looks), returns("copy", **looks))
    made.call(TARGETS, script, hint=IDEMPOTENT, timeout=NEVER)
    first, copy = seen
    assert first is not None
    assert copy == pytest.approx(first, abs=0.1)
    made.at_rest()


def test_both_are_cancelled_when_the_time_is_over(make: Make) -> None:
    made, script = make(HEDGE), Script(hangs(), hangs())
    with pytest.raises(DeadlineExceededError, match="with 2 attempts"):
        made.call(TARGETS, script, hint=IDEMPOTENT, timeout=0.2)
    made.at_rest()
    assert sorted(script.left) == [1, 2]


def test_what_has_no_time_left_is_not_begun(make: Make) -> None:
    made = make(Policy())
    with deadlines.deadline(0.0), pytest.raises(DeadlineExceededError, match="with 0 attempts"):
        made.call(TARGETS, Script())
    assert made.at_rest().attempts == 0


def test_a_retry_that_would_come_too_late_is_not_made(make: Make) -> None:
    made = make(Policy(retry=RetryPolicy(strategy="fixed", base_delay=NEVER, max_delay=NEVER)))
    with pytest.raises(OSError) as caught:
        made.retry(Script(raises(OSError())), timeout=60.0)
    assert caught.value.__notes__ == ["resonance: failed after 1 attempt (deadline_too_near)"]


def test_what_failed_before_is_the_cause_when_the_time_is_over(make: Make) -> None:
    made, error = make(BOTH), OSError("first")
    script = Script(raises(error), hangs(), hangs())
    with pytest.raises(DeadlineExceededError) as caught:
        made.call(TARGETS, script, hint=IDEMPOTENT, timeout=0.3)
    assert caught.value.__cause__ is error
    made.at_rest()


@pytest.mark.parametrize("timeout", [0, 0.0, -1.0, float("nan")])
def test_no_time_at_all_is_refused(make: Make, timeout: float) -> None:
    made = make()
    with pytest.raises(PolicyError, match="timeout: must be seconds, above 0"):
        made.call(TARGETS, Script(), timeout=timeout)


# ---- calls in calls ----------------------------------------------------------------------------


def test_what_is_retried_above_is_not_retried_below(make: Make) -> None:
    made = make(RETRY)
    inner = Script(raises(OSError()))
    outer = Script(*(made.nested("retry", inner, RetryPolicy(base_delay=0)) for _ in range(3)))
    with pytest.raises(OSError) as caught:
        made.retry(outer)
    assert len(inner.attempts) == 3
    assert (
        caught.value.__notes__
        == [
            "resonance: failed after 1 attempt (retried_above)",
            "resonance: failed after 3 attempts (attempts_used)",
        ]
        or len(caught.value.__notes__) == 2
    )


def test_what_is_only_hedged_above_is_retried_below(make: Make) -> None:
    made = make(HEDGE)
    inner = Script(raises(OSError()), returns("second"))
    outer = Script(made.nested("retry", inner, RetryPolicy(base_delay=0, max_delay=0)))
    assert made.hedge(outer, HedgePolicy(delay=NEVER), hint=IDEMPOTENT).result == "second"


def test_a_call_in_a_call_knows_its_own_attempt(make: Make) -> None:
    made = make(Policy())
    inner = Script(returns("inner"))
    outer = Script(made.nested("hedge", inner, HedgePolicy(delay=NEVER)))
    assert made.hedge(outer, HedgePolicy(delay=NEVER)).result == "inner"
    assert inner.attempts[0] is not outer.attempts[0]


def test_a_repeated_request_is_not_repeated_unless_there_is_plenty(make: Make) -> None:
    made = make(RETRY | BudgetPolicy(initial=4, cap=10))
    with deadlines.inbound(attempts=1), pytest.raises(OSError) as caught:
        made.retry(Script(raises(OSError())))
    assert caught.value.__notes__ == ["resonance: failed after 1 attempt (retried_above)"]
    plenty = make(RETRY | BudgetPolicy(initial=6, cap=10))
    with deadlines.inbound(attempts=1):
        assert plenty.retry(Script(raises(OSError()), returns("second"))).attempts == 2


# ---- modes -------------------------------------------------------------------------------------


def would_hedge(made: Driver) -> Callable[[Script], bool]:
    return lambda _: made.client.report()[0].would_hedge == 1


@pytest.mark.parametrize(
    ("mode", "reasons"),
    [
        ("observe", (Reason.CHOSEN, Reason.OBSERVED)),
        ("advise", (Reason.CHOSEN, Reason.ADVISED, Reason.ROOM_BY_INFLIGHT, Reason.HEDGED)),
    ],
)
def test_a_copy_is_only_counted_or_advised(
    make: Make, mode: Any, reasons: tuple[Reason, ...]
) -> None:
    made = make(HEDGE, mode=mode)
    script = Script(returns("first", would_hedge(made)))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert (outcome.attempts, outcome.hedge_fired) == (1, False)
    assert outcome.reasons == reasons
    report = made.at_rest()
    assert (report.mode, report.hedges, report.would_hedge) == (mode, 0, 1)
    assert 0.0 <= report.would_win <= 1.0


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_a_retry_is_only_counted(make: Make, mode: Any) -> None:
    made = make(RETRY, mode=mode)
    with pytest.raises(OSError):
        made.retry(Script(raises(OSError())))
    report = made.at_rest()
    assert (report.retries, report.would_retry, report.attempts) == (0, 1, 1)


def test_a_mode_that_changes_meanwhile_counts_at_once(make: Make) -> None:
    made = make(UNHURRIED)
    script = Script(
        raises(OSError(), would_hedge(made), before=lambda: made.client.set_mode("observe"))
    )
    with pytest.raises(OSError):
        made.call(TARGETS, script, hint=IDEMPOTENT)
    assert len(script.attempts) == 1
    assert made.at_rest().would_retry == 1


@pytest.mark.parametrize("ceiling", ["observe", "advise"])
def test_the_operator_can_switch_it_off(make: Make, ceiling: Any) -> None:
    made = make(RETRY, hints=FakeHints(ceiling))
    with pytest.raises(OSError):
        made.retry(Script(raises(OSError())))
    report = made.at_rest()
    assert (report.mode, report.retries, report.would_retry) == (ceiling, 0, 1)
    assert Reason.KILLED in made.retry(Script(returns("fine"))).reasons


def test_the_operator_can_only_lower_a_mode(make: Make) -> None:
    made = make(RETRY, hints=FakeHints("active"), mode="observe")
    assert made.retry(Script(returns("fine"))).reasons == (Reason.OBSERVED,)


def test_a_mode_nobody_knows_is_refused(make: Make) -> None:
    made = make()
    with pytest.raises(PolicyError, match="mode: must be one of observe, advise, active"):
        made.client.set_mode("on")
    assert made.client.mode == "active"


# ---- the kernel --------------------------------------------------------------------------------


def test_a_copy_goes_earlier_when_the_first_replica_is_stuck(make: Make) -> None:
    made = make(Policy(hedge=HedgePolicy(delay=1.0)))
    kernel = FakeKernel({"a": 0.0, "b": 0.0})
    made.client._kernel = kernel
    made.call(TARGETS, Script(returns("known")), hint=IDEMPOTENT)
    made.at_rest()
    script = Script(
        hangs(before=lambda: kernel.pressures.update({str(script.targets[0]): 0.9})),
        returns("copy"),
    )
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    assert outcome.reasons == (
        Reason.CHOSEN,
        Reason.ROOM_BY_PRESSURE,
        Reason.HEDGED_EARLY,
        Reason.HEDGE_WON,
    )
    made.at_rest()


def test_no_copy_goes_where_there_is_no_room(make: Make) -> None:
    made = make(HEDGE)
    made.client._kernel = FakeKernel({"a": 0.9, "b": 0.9})

    def is_refused(_: Script) -> bool:
        return Reason.SATURATED_BY_PRESSURE in made.client.report()[0].refused

    outcome = made.call(TARGETS, Script(returns("first", is_refused)), hint=IDEMPOTENT)
    assert outcome.reasons == (Reason.CHOSEN, Reason.SATURATED_BY_PRESSURE)


# ---- saying what is wanted ---------------------------------------------------------------------


def test_another_policy_is_used_inside_for_what_names_none(make: Make) -> None:
    made = make(RETRY)
    with made.client.using(RetryPolicy(max_attempts=1)):
        with pytest.raises(OSError):
            made.retry(Script(raises(OSError())))
        named = made.retry(Script(raises(OSError()), returns("second")), RETRY)
    assert named.attempts == 2
    assert made.retry(Script(raises(OSError()), returns("second"))).attempts == 2


def test_another_policy_is_used_by_this_client_only(make: Make) -> None:
    made, other = make(RETRY), make(RETRY)
    with made.client.using(RetryPolicy(max_attempts=1)), other.client.using(RETRY):
        assert other.retry(Script(raises(OSError()), returns("second"))).attempts == 2
        with pytest.raises(OSError):
            made.retry(Script(raises(OSError())))


def test_a_decorated_function_is_called_with_its_policy(make: Make) -> None:
    made = make()
    hedged = made.client.hedged(HedgePolicy(delay=SOON), hint=IDEMPOTENT, timeout=NEVER)
    retried = made.client.retried(RetryPolicy(max_attempts=2), timeout=NEVER)
    function = made.plain("done")
    assert made.run(hedged(function)(1)) == "done"
    assert made.run(retried(function)(1, 2)) == "done"
    assert hedged(function).__name__ == "function"
    assert {report.name for report in made.client.report()} == {function.__qualname__}


def test_a_call_without_a_policy_is_not_counted(make: Make) -> None:
    made = make()
    outcome: Outcome[Any] = made.run(made.client.now(made.plain("done")))
    assert (outcome.result, outcome.reasons, outcome.attempts) == ("done", (Reason.BYPASSED,), 1)
    assert made.client.report() == ()


def test_an_outcome_is_explained_in_sentences(make: Make) -> None:
    made, script = make(HEDGE), Script(hangs(), returns("copy"))
    outcome = made.call(TARGETS, script, hint=IDEMPOTENT)
    lines = made.client.explain(outcome).splitlines()
    assert lines[0].startswith(f"answered by {outcome.target} in ")
    assert lines[0].endswith("with 2 attempts, a copy after 1.0 ms")
    assert [line.split(":")[0].strip() for line in lines[1:]] == [*outcome.reasons]
    made.at_rest()


def test_an_outcome_survives_a_pickle(make: Make) -> None:
    outcome = make(Policy()).retry(Script(returns("done")))
    assert pickle.loads(pickle.dumps(outcome)) == outcome


@pytest.mark.parametrize("profile", ["conservative", "balanced", "aggressive"])
def test_each_profile_works(make: Make, profile: str) -> None:
    made = make(profile)
    assert made.call(TARGETS, Script(returns("done")), hint=IDEMPOTENT).result == "done"


# ---- the report --------------------------------------------------------------------------------


def test_a_report_adds_up(make: Make) -> None:
    made, how = make(BOTH), {"hint": IDEMPOTENT, "service": "search"}
    # With one replica there is nowhere to send a copy, however slow the machine.
    made.call(TARGETS[:1], Script(returns("plain")), **how)
    made.call(TARGETS[:1], Script(raises(OSError()), returns("second")), **how)
    with pytest.raises(ZeroDivisionError):
        made.call(
            TARGETS[:1],
            Script(raises(ZeroDivisionError())),
            classify=lambda _: Failure("fatal"),
            **how,
        )
    for script in (
        Script(hangs(), returns("copy")),
        Script(returns("first", begun(2)), hangs()),
        Script(raises(OSError(), begun(2)), returns("copy", ended(1))),
    ):
        made.call(TARGETS, script, **how)
        made.at_rest()
    report = made.at_rest()
    assert report.name == "search"
    assert report.calls == 6 == report.successes + report.failures
    assert report.attempts == report.calls + report.hedges + report.retries == 10
    assert (report.hedges, report.hedges_won, report.retries) == (3, 2, 1)
    assert (report.inflight, report.calls_inflight) == (0, 0)
    assert report.hedge_delay_seconds == SOON
    assert {each.target for each in report.replicas} == set(TARGETS)
    assert all(each.inflight == 0 for each in report.replicas)
    assert set(report.latency_seconds) >= {0.5, 0.99}


# ---- bad input ---------------------------------------------------------------------------------


def test_without_replicas_nothing_is_called(make: Make) -> None:
    made = make()
    with pytest.raises(NoReplicaError, match="has no replicas: pass at least one target"):
        made.call([], Script())
    assert made.client.report()[0].calls == 0


@pytest.mark.parametrize("targets", ["abc", b"abc", {"a", "b"}, iter(["a"]), 7])
def test_what_is_no_list_of_replicas_is_refused(make: Make, targets: Any) -> None:
    made = make()
    with pytest.raises(PolicyError, match="targets: must be a list or tuple of replicas"):
        made.call(targets, Script())


def test_a_target_that_cannot_be_told_from_others_is_refused(make: Make) -> None:
    made = make()
    with pytest.raises(TypeError, match="unhashable"):
        made.call([{"host": "a"}], Script())
    assert made.call(["a"], Script(returns("done"))).result == "done"


def test_one_replica_named_twice_is_one(make: Make) -> None:
    made = make()
    outcome = made.call(["a", "a"], Script(returns("done")))
    assert outcome.reasons[0] is Reason.ONLY_REPLICA


@pytest.mark.parametrize("after", [[], ["c"], ["a", "b", "c", "d"]])
def test_the_list_of_replicas_may_change_meanwhile(make: Make, after: list[str]) -> None:
    made, targets = make(RETRY), ["a", "b"]

    def change() -> None:
        targets[:] = after

    script = Script(raises(OSError(), before=change), returns("second"), returns("third"))
    outcome = made.call(targets, script, hint=IDEMPOTENT)
    assert outcome.attempts == 2
    assert script.targets[1] in (after or script.targets[:1])
    assert made.at_rest().inflight == 0


def test_when_all_are_ejected_one_is_called_all_the_same(make: Make) -> None:
    made = make(Policy())
    for _ in range(20):
        with pytest.raises(OSError):
            made.call(TARGETS, Script(raises(OSError())), service="down")
    outcome = made.call(TARGETS, Script(returns("up")), service="down")
    assert outcome.result == "up"


def test_chance_can_be_made_to_repeat_itself(make: Make) -> None:
    policy = Policy(choice=ChoicePolicy(algorithm="random"))
    both = [make(policy, seed=7), make(policy, seed=7)]
    chosen = [[made.call(TARGETS, Script(returns(0))).target for _ in range(32)] for made in both]
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == set(TARGETS)


def test_functions_that_share_code_are_services_of_their_own(make: Make) -> None:
    made = make(Policy())

    def named(name: str) -> Any:
        function = made.plain(name)
        function.__qualname__ = name
        return function

    for name in ("read", "write", "read"):
        outcome = made.run(made.client.retry(named(name)))
        assert outcome.result == name
    assert {each.name: each.calls for each in made.client.report()} == {"read": 2, "write": 1}


def test_functions_with_the_same_name_are_services_of_their_own(make: Make) -> None:
    made = make(Policy())
    for act in (Act(lambda: 1), Act(lambda: 2)):
        made.retry(Script(act))
    assert len(made.client.report()) == 1
    made.run(made.client.retry(made.plain(1)))
    assert len(made.client.report()) == 2
