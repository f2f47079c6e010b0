# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from math import inf, nan
from random import Random
from time import monotonic, sleep
from typing import Any

import pytest

import resonance
from resonance.client import _base, _flight, _run, _threads, _wheel
from resonance.client._workers import Workers
from resonance.errors import (
    ClientClosedError,
    DeadlineExceededError,
    NoReplicaError,
    OverloadedError,
    PolicyError,
)
from resonance.policies import (
    BudgetPolicy,
    ChoicePolicy,
    EjectionPolicy,
    Failure,
    HedgePolicy,
    Policy,
    Reason,
    RetryPolicy,
    TaskHint,
)

PATIENCE = 60.0
HOUR = 3600.0
IDEMPOTENT = TaskHint(idempotent=True)
RICH = BudgetPolicy(ratio=1.0, cap=10_000.0, initial=10_000.0)
HEDGE = HedgePolicy(delay=0.001, max_inflight_pct=10_000.0, saturation_guard=False)
RETRY = RetryPolicy(base_delay=0.0, max_delay=0.0)
HEDGED = Policy(hedge=HEDGE, budget=RICH)
RETRIED = Policy(retry=RETRY, budget=RICH)
PLAIN = Policy()
BOTH_WAYS = pytest.mark.parametrize("inline", [False, True], ids=["in a worker", "inline"])


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Have SIGINT interrupt, which a shell ignores for what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What a program is told of exceptions that reach nobody."""
    heard: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(args.exc_value))
    return heard


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a clock that stands still, but for what is added to it by hand."""
    now = [monotonic()]

    def advance(seconds: float) -> None:
        now[0] += seconds

    for module in (_base, _flight, _run, _threads, _wheel):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return advance


def wait_for(is_so: Callable[[], object], what: str) -> None:
    """Wait until something is so; only a bound against hanging."""
    end = monotonic() + PATIENCE
    while not is_so():
        assert monotonic() < end, f"never: {what}"
        sleep(0.001)


def interrupt_until(heard: threading.Event, thread_id: int) -> None:
    """Press Ctrl-C, and again where it came in the instant before the main thread slept.

    CPython looks for signals between two instructions, and sleeps through one that came later.
    """
    for _ in range(int(PATIENCE)):
        signal.pthread_kill(thread_id, signal.SIGINT)
        if heard.wait(1.0):
            return
    pytest.fail("the interrupt was not heard")


def number() -> int:
    attempt = resonance.current_attempt()
    assert attempt is not None
    return attempt.number


def cancelled_as(callback: Callable[[], object]) -> None:
    attempt = resonance.current_attempt()
    assert attempt is not None
    attempt.on_cancel(callback)


def services(client: resonance.Client) -> Any:
    return client._services.values()


def timed_calls(client: resonance.Client) -> int:
    return sum(len(slot) for slot in client._wheel._slots.values())


def check_accounts(client: resonance.Client, calls: int) -> None:
    """Nothing is under way, and everything that was begun is counted once."""
    wait_for(lambda: not sum(each.inflight for each in services(client)), "all attempts ended")
    reports = client.report()
    assert sum(each.calls for each in reports) == calls
    assert timed_calls(client) == 0
    for each in reports:
        assert (each.inflight, each.calls_inflight) == (0, 0)
        assert each.successes + each.failures == each.calls
        assert each.attempts == each.calls + each.hedges + each.retries
        assert 0.0 <= each.budget_tokens <= RICH.cap


@contextlib.contextmanager
def no_thread_left() -> Iterator[None]:
    """No thread of ours outlives what is closed inside."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread.name


# ---- replicas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [[], ()])
def test_a_call_without_replicas_is_refused_by_name(targets: Any) -> None:
    with resonance.Client(HEDGED) as client:
        with pytest.raises(NoReplicaError, match="orders has no replicas"):
            client.call(targets, str, service="orders")
        check_accounts(client, 0)


@pytest.mark.parametrize("targets", ["ab", b"ab", {"a", "b"}, iter("ab"), 7])
def test_what_is_no_list_of_replicas_is_refused(targets: Any) -> None:
    with resonance.Client(HEDGED) as client:
        with pytest.raises(PolicyError, match="targets: must be a list or tuple"):
            client.call(targets, str)
        check_accounts(client, 0)


def test_a_replica_that_cannot_be_a_key_is_refused_before_anything_is_sent() -> None:
    with resonance.Client(HEDGED) as client:
        with pytest.raises(TypeError, match="unhashable"):
            client.call([["a"]], str)  # type: ignore[list-item]
        check_accounts(client, 0)


@BOTH_WAYS
def test_one_replica_gets_no_copy_and_the_reason_says_so(inline: bool) -> None:
    asked = threading.Event()

    def fn(target: str) -> str:
        wait_for(lambda: any(s.counts.refused for s in services(client)), "it was asked")
        asked.set()
        return target

    with resonance.Client(HEDGED) as client:
        outcome = client.call(["a"], fn, hint=IDEMPOTENT, inline=inline)
        assert (outcome.result, outcome.attempts, outcome.hedge_fired) == ("a", 1, False)
        assert Reason.NO_OTHER_REPLICA in outcome.reasons
        assert Reason.ONLY_REPLICA in outcome.reasons
        check_accounts(client, 1)


def test_calls_go_on_when_every_replica_fails() -> None:
    ejection = EjectionPolicy(consecutive_failures=1, base_seconds=HOUR, max_seconds=HOUR)
    policy = Policy(choice=ChoicePolicy(ejection=ejection))
    seen: set[str] = set()

    def fails(target: str) -> None:
        seen.add(target)
        raise ConnectionResetError(target)

    with resonance.Client(policy, seed=1) as client:
        for _ in range(60):
            with pytest.raises(ConnectionResetError):
                client.call(["a", "b", "c", "d"], fails)
        assert len(seen) >= 2, "never more than half are ejected"
        assert client.call(["a", "b", "c", "d"], str).result in {"a", "b", "c", "d"}
        for _ in range(10):
            with pytest.raises(ConnectionResetError):
                client.call(["a"], fails, service="alone")
        check_accounts(client, 71)


@BOTH_WAYS
@pytest.mark.parametrize("change", ["emptied", "replaced", "grown"])
def test_the_list_of_replicas_may_change_during_a_call(change: str, inline: bool) -> None:
    targets = ["a", "b"]
    changes: dict[str, Callable[[], object]] = {
        "emptied": targets.clear,
        "replaced": lambda: targets.__setitem__(slice(None), ["c", "d"]),
        "grown": lambda: targets.append("c"),
    }
    calls = iter(range(10))

    def fn(target: str) -> str:
        if next(calls) == 0:
            changes[change]()
            raise ConnectionResetError
        return target

    with resonance.Client(RETRIED) as client:
        outcome = client.call(targets, fn, hint=IDEMPOTENT, timeout=HOUR, inline=inline)
        assert outcome.attempts == 2
        assert outcome.result in (targets or ["a", "b"])
        check_accounts(client, 1)


@BOTH_WAYS
def test_a_list_that_becomes_nonsense_ends_the_call_with_its_own_error(inline: bool) -> None:
    targets: list[Any] = ["a", "b"]

    def fn(_: str) -> None:
        targets[:] = [["not hashable"]]
        raise ConnectionResetError

    with resonance.Client(RETRIED) as client:
        with pytest.raises(TypeError, match="unhashable"):
            client.call(targets, fn, hint=IDEMPOTENT, timeout=HOUR, inline=inline)
        check_accounts(client, 1)


def test_a_deadline_is_kept_though_the_list_has_become_nonsense_when_a_copy_is_due(
    told: list[BaseException | None],
) -> None:
    targets: list[Any] = ["a", "b"]
    over = threading.Event()

    def fn(_: str) -> None:
        cancelled_as(over.set)
        targets[:] = [["not hashable"]]
        assert over.wait(PATIENCE)

    policy = HEDGED.replace(hedge=HEDGE.replace(delay=0.020))
    with resonance.Client(policy) as client:
        with pytest.raises(DeadlineExceededError):
            client.call(targets, fn, hint=IDEMPOTENT, timeout=0.1, inline=True)
        check_accounts(client, 1)
    assert [type(each) for each in told] == [TypeError]


# ---- numbers that cannot be ---------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.0, -1.0, nan, -inf])
def test_a_timeout_that_is_no_time_is_refused_before_anything_is_sent(timeout: float) -> None:
    with resonance.Client(PLAIN) as client:
        with pytest.raises(PolicyError, match="timeout: must be seconds, above 0"):
            client.call(["a"], str, timeout=timeout)
        check_accounts(client, 0)


def test_an_endless_timeout_is_none() -> None:
    with resonance.Client(PLAIN) as client:
        assert client.call(["a"], str, timeout=inf).result == "a"
        check_accounts(client, 1)


@pytest.mark.parametrize("seconds", [0.0, -1.0, nan, inf])
def test_a_hedge_delay_that_is_no_time_cannot_be_said(seconds: float) -> None:
    with pytest.raises(PolicyError, match="HedgePolicy.delay"):
        HedgePolicy(delay=seconds)


@pytest.mark.parametrize("seconds", [-1.0, nan, inf])
def test_a_retry_delay_that_is_no_time_cannot_be_said(seconds: float) -> None:
    with pytest.raises(PolicyError, match="RetryPolicy.base_delay"):
        RetryPolicy(base_delay=seconds)


@BOTH_WAYS
@pytest.mark.parametrize("seconds", [nan, -1.0])
def test_a_pushback_that_is_no_time_ends_the_call_and_says_so(inline: bool, seconds: float) -> None:
    with resonance.Client(RETRIED) as client:
        with pytest.raises(PolicyError, match=r"Failure.pushback: must be seconds, 0 or more"):
            client.call(
                ["a", "b"],
                str,
                hint=IDEMPOTENT,
                classify=lambda _: Failure(pushback=seconds),
                inline=inline,
            )
        check_accounts(client, 1)


def test_an_endless_pushback_is_no_retry() -> None:
    with resonance.Client(RETRIED) as client:
        outcome = client.call(
            ["a", "b"], str, hint=IDEMPOTENT, classify=lambda _: Failure(pushback=inf)
        )
        assert outcome.attempts == 1
        assert Reason.DEADLINE_TOO_NEAR in outcome.reasons
        check_accounts(client, 1)


def test_a_budget_of_nothing_allows_no_copy() -> None:
    def fn(target: str) -> str:
        wait_for(lambda: any(s.counts.refused for s in services(client)), "it was asked")
        return target

    policy = HEDGED.replace(budget=BudgetPolicy(ratio=0.0, initial=0.0))
    with resonance.Client(policy) as client:
        outcome = client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert (outcome.attempts, outcome.hedge_fired) == (1, False)
        assert Reason.BUDGET_EMPTY in outcome.reasons
        check_accounts(client, 1)
        assert client.report()[0].budget_tokens == 0.0


def test_a_budget_of_nothing_allows_no_retry() -> None:
    def fails() -> None:
        raise ConnectionResetError

    policy = RETRIED.replace(budget=BudgetPolicy(ratio=0.0, initial=0.0))
    with resonance.Client(policy) as client:
        with pytest.raises(ConnectionResetError) as caught:
            client.retry(fails)
        assert caught.value.__notes__ == ["resonance: failed after 1 attempt (budget_empty)"]
        check_accounts(client, 1)


# ---- what must not be done twice ----------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize(
    ("hint", "hedge"),
    [
        (TaskHint(), HEDGE),
        (TaskHint(idempotent=False), HEDGE),
        (TaskHint(idempotent=False), HEDGE.replace(idempotent_only=False)),
    ],
)
def test_what_is_not_idempotent_runs_once_and_the_reason_says_why(
    hint: TaskHint, hedge: HedgePolicy, inline: bool, frozen: Callable[[float], None]
) -> None:
    runs: list[str] = []

    def fn(target: str) -> str:
        runs.append(target)
        frozen(1.0)  # far longer than the delay
        return target

    with resonance.Client(HEDGED.replace(hedge=hedge)) as client:
        outcome = client.call(["a", "b"], fn, hint=hint, inline=inline)
        assert runs == [outcome.result]
        assert (outcome.attempts, outcome.hedge_fired, outcome.hedge_delay) == (1, False, 0.001)
        assert Reason.NOT_IDEMPOTENT in outcome.reasons
        assert client.report()[0].refused == {"not_idempotent": 1}
        check_accounts(client, 1)


# ---- callables ----------------------------------------------------------------------------------


def test_a_worker_that_ignores_its_cancellation_holds_nobody_up() -> None:
    leave = threading.Event()

    def fn(target: str) -> str:
        if number() == 1:
            assert leave.wait(PATIENCE)
        return target

    with resonance.Client(HEDGED) as client, no_thread_left():
        outcome = client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert (outcome.attempts, outcome.hedge_won) == (2, True)
        (service,) = services(client)
        assert (service.inflight, service.cancelled_inflight, service.calls_inflight) == (1, 1, 0)
        leave.set()
        check_accounts(client, 1)
        assert service.counts.late == 1
        client.close()


def test_an_inline_attempt_that_ignores_its_cancellation_still_loses() -> None:
    def fn(target: str) -> str:
        if number() == 1:
            wait_for(lambda: next(iter(services(client))).counts.hedges_won, "the copy has won")
            return "too late"
        return target

    with resonance.Client(HEDGED) as client:
        outcome = client.call(["a", "b"], fn, hint=IDEMPOTENT, inline=True)
        assert (outcome.attempts, outcome.hedge_won) == (2, True)
        assert outcome.result == outcome.target
        check_accounts(client, 1)


@BOTH_WAYS
def test_what_a_loser_raises_after_it_was_left_reaches_nobody(
    inline: bool, told: list[BaseException | None]
) -> None:
    closed = threading.Event()

    def fn(target: str) -> str:
        if number() == 1:
            cancelled_as(closed.set)
            assert closed.wait(PATIENCE)
            raise ConnectionAbortedError("its socket was closed")
        return target

    with resonance.Client(HEDGED) as client:
        assert client.call(["a", "b"], fn, hint=IDEMPOTENT, inline=inline).hedge_won
        check_accounts(client, 1)
        assert client.report()[0].cancelled == 1
    assert told == []


@BOTH_WAYS
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError])
def test_what_a_cancel_callback_raises_is_told_and_all_others_are_cancelled(
    inline: bool, error: type[BaseException], told: list[BaseException | None]
) -> None:
    losers = threading.Barrier(3)
    cancelled: list[int] = []
    freed = threading.Event()

    def fn(target: str) -> str:
        mine = number()

        def on_cancel() -> None:
            cancelled.append(mine)
            if len(cancelled) == 2:
                freed.set()
            raise error(mine)

        if mine < 3:
            cancelled_as(on_cancel)
            losers.wait(PATIENCE)
            assert freed.wait(PATIENCE)
        else:
            losers.wait(PATIENCE)
        return target

    policy = HEDGED.replace(hedge=HEDGE.replace(max_hedges=2))
    hint = TaskHint(idempotent=True, importance="critical")
    with resonance.Client(policy) as client, no_thread_left():
        outcome = client.call(["a", "b", "c"], fn, hint=hint, inline=inline)
        assert outcome.attempts == 3
        check_accounts(client, 1)
        assert sorted(cancelled) == [1, 2]
        wait_for(lambda: len(told) == 2, "both were told")
        assert {type(each) for each in told} == {error}
        client.close()


def test_an_interrupt_among_cancel_callbacks_is_obeyed_when_all_were_told() -> None:
    cancelled: list[int] = []
    hung = threading.Event()

    def fn(_: str) -> None:
        mine = number()

        def on_cancel() -> None:
            cancelled.append(mine)
            if mine == 1:
                raise KeyboardInterrupt
            hung.set()

        cancelled_as(on_cancel)
        if mine == 1:
            begun.set()
        else:
            begun_too.set()
        assert hung.wait(PATIENCE)

    begun, begun_too = threading.Event(), threading.Event()
    with resonance.Client(HEDGED) as client:
        thread_id = threading.get_ident()

        def interrupt() -> None:
            assert begun.wait(PATIENCE)
            assert begun_too.wait(PATIENCE)
            interrupt_until(hung, thread_id)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert cancelled == [1, 2]
        check_accounts(client, 1)


@BOTH_WAYS
@pytest.mark.parametrize("garbage", [True, "retriable", ConnectionResetError()])
def test_a_classification_that_is_none_is_a_clear_error(inline: bool, garbage: Any) -> None:
    with resonance.Client(HEDGED) as client:
        with pytest.raises(TypeError, match="classify must return a Failure or None"):
            client.call(["a", "b"], str, hint=IDEMPOTENT, classify=lambda _: garbage, inline=inline)
        check_accounts(client, 1)


@BOTH_WAYS
def test_what_a_classification_raises_is_the_end_of_the_call(inline: bool) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    with resonance.Client(HEDGED) as client:
        with pytest.raises(ZeroDivisionError):
            client.call(["a", "b"], str, hint=IDEMPOTENT, classify=broken, inline=inline)
        check_accounts(client, 1)


async def coroutine_function() -> None: ...


def generator_function() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("fn", [coroutine_function, generator_function])
def test_what_does_not_run_when_it_is_called_is_refused(fn: Any) -> None:
    with resonance.Client(PLAIN) as client:
        with pytest.raises(TypeError, match="AsyncClient for a coroutine function"):
            client.retry(fn)
        check_accounts(client, 0)


def test_a_job_that_raises_is_told_and_costs_no_worker(
    told: list[BaseException | None],
) -> None:
    def broken() -> None:
        raise SystemExit(3)

    workers = Workers(most=1)
    done = threading.Event()
    for _ in range(3):
        wait_for(lambda: workers.submit(broken), "a free worker")
    wait_for(lambda: workers.submit(done.set), "a free worker")
    assert done.wait(PATIENCE)
    assert [type(each) for each in told] == [SystemExit] * 3
    workers.close()


# ---- Ctrl-C -------------------------------------------------------------------------------------


def interrupt_me() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    wait_for(lambda: False, "the interrupt")


def test_an_interrupt_reaches_who_waits_for_a_worker_and_the_attempt_is_cancelled() -> None:
    left = threading.Event()
    thread_id = threading.get_ident()

    def fn(_: str) -> None:
        cancelled_as(left.set)
        interrupt_until(left, thread_id)

    with resonance.Client(PLAIN) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call(["a", "b"], fn, timeout=HOUR)
        check_accounts(client, 1)
        assert client.report()[0].failures == 1


def test_an_interrupt_while_a_worker_begins_leaves_no_attempt_and_no_worker_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(threading.Thread):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    client = resonance.Client(PLAIN)
    with no_thread_left():
        assert client.call(["a"], str).result == "a"  # so that only a worker begins below
        with monkeypatch.context() as patched:
            patched.setattr(threading, "Thread", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.call(["a"], str, timeout=HOUR)
        check_accounts(client, 2)
        assert client.call(["a"], str, timeout=HOUR).result == "a"
        client.close()


@pytest.mark.parametrize("policy", [PLAIN, HEDGED, RETRIED])
@pytest.mark.parametrize("timeout", [None, HOUR])
def test_an_interrupt_of_an_inline_attempt_is_not_tried_again(
    policy: Policy, timeout: float | None
) -> None:
    def fn(_: str) -> None:
        if number() == 1:
            interrupt_me()
        assert left.wait(PATIENCE)

    left = threading.Event()
    with resonance.Client(policy) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call(["a", "b"], fn, timeout=timeout, hint=IDEMPOTENT, inline=True)
        left.set()
        check_accounts(client, 1)
        assert client.report()[0].retries == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_of_an_inline_attempt_is_obeyed_though_a_copy_has_won(
    error: type[BaseException],
) -> None:
    def fn(target: str) -> str:
        if number() == 1:
            wait_for(lambda: next(iter(services(client))).counts.hedges_won, "the copy has won")
            raise error
        return target

    with resonance.Client(HEDGED) as client:
        with pytest.raises(error):
            client.call(["a", "b"], fn, hint=IDEMPOTENT, inline=True)
        check_accounts(client, 1)


def test_an_interrupt_of_an_inline_retry_is_obeyed_though_a_copy_has_won() -> None:
    tries = 0

    def fn(target: str) -> str:
        attempt = resonance.current_attempt()
        assert attempt is not None
        if attempt.number == 3 and attempt.is_hedge:
            return target
        if attempt.number == 2 and not attempt.is_hedge:
            wait_for(lambda: next(iter(services(client))).counts.hedges_won, "the copy has won")
            raise KeyboardInterrupt
        raise ConnectionResetError

    policy = Policy(hedge=HEDGE, retry=RETRY, budget=RICH)
    with resonance.Client(policy) as client:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - by chance not the first time
            while tries < 1_000:  # the first attempt may take so long that it gets the copy
                tries += 1
                with contextlib.suppress(ConnectionResetError):
                    client.call(["a", "b", "c"], fn, hint=IDEMPOTENT, inline=True)
        check_accounts(client, tries)


def test_an_interrupt_after_the_deadline_is_obeyed() -> None:
    late = threading.Event()

    def fn(_: str) -> None:
        cancelled_as(late.set)
        assert late.wait(PATIENCE)
        raise KeyboardInterrupt

    with resonance.Client(PLAIN) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call(["a"], fn, timeout=0.010, inline=True)
        check_accounts(client, 1)


# ---- the clock ----------------------------------------------------------------------------------


def test_a_copy_is_sent_and_wins_though_the_clock_stands_still(
    frozen: Callable[[float], None],
) -> None:
    leave = threading.Event()

    def fn(target: str) -> str:
        if number() == 1:
            assert leave.wait(PATIENCE)
        return target

    with resonance.Client(HEDGED) as client:
        outcome = client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert (outcome.hedge_won, outcome.elapsed_seconds) == (True, 0.0)
        leave.set()
        check_accounts(client, 1)


def test_a_deadline_comes_though_the_clock_stands_still(frozen: Callable[[float], None]) -> None:
    left = threading.Event()

    def fn(_: str) -> None:
        cancelled_as(left.set)
        assert left.wait(PATIENCE)

    with resonance.Client(PLAIN) as client:
        with pytest.raises(DeadlineExceededError):
            client.call(["a", "b"], fn, timeout=0.010)
        check_accounts(client, 1)


def test_a_copy_of_an_inline_attempt_is_sent_though_the_clock_stands_still(
    frozen: Callable[[float], None],
) -> None:
    left = threading.Event()

    def fn(target: str) -> str:
        if number() == 1:
            cancelled_as(left.set)
            assert left.wait(PATIENCE)
        return target

    with resonance.Client(HEDGED) as client, no_thread_left():
        assert client.call(["a", "b"], fn, hint=IDEMPOTENT, inline=True).hedge_won
        check_accounts(client, 1)
        client.close()


@BOTH_WAYS
def test_a_retry_is_made_though_the_clock_stands_still(
    inline: bool, frozen: Callable[[float], None]
) -> None:
    def fn(target: str) -> str:
        if number() == 1:
            raise ConnectionResetError
        return target

    policy = RETRIED.replace(retry=RetryPolicy(strategy="fixed", base_delay=0.010))
    with resonance.Client(policy) as client:
        outcome = client.call(["a", "b"], fn, hint=IDEMPOTENT, timeout=HOUR, inline=inline)
        assert outcome.attempts == 2
        check_accounts(client, 1)


# ---- the end ------------------------------------------------------------------------------------


def test_a_closed_client_says_so_whatever_it_is_asked() -> None:
    client = resonance.Client(HEDGED)
    assert client.call(["a"], str).result == "a"
    client.close()
    client.close()
    asks: list[Callable[[], object]] = [
        lambda: client.call(["a"], str),
        lambda: client.call(["a"], str, hint=IDEMPOTENT),
        lambda: client.hedge(list),
        lambda: client.retry(list),
        lambda: client.submit(list),
        lambda: client.submit(list, TaskHint(can_batch=True)),
    ]
    for ask in asks:
        with pytest.raises(ClientClosedError, match="the client is closed"):
            ask()
    check_accounts(client, 1)


@BOTH_WAYS
def test_closing_lets_calls_end_but_begins_no_more_attempts(inline: bool) -> None:
    begun, leave = threading.Event(), threading.Event()

    def fn(target: str) -> str:
        begun.set()
        assert leave.wait(PATIENCE)
        raise ConnectionResetError(target)

    def call() -> None:
        try:
            client.call(["a", "b"], fn, hint=IDEMPOTENT, timeout=HOUR, inline=inline)
        except ConnectionResetError as error:
            ends.append(error)

    ends: list[Exception] = []
    with no_thread_left():
        client = resonance.Client(Policy(retry=RETRY, budget=RICH))
        caller = threading.Thread(target=call)
        caller.start()
        assert begun.wait(PATIENCE)
        client.close()
        leave.set()
        caller.join(PATIENCE)
    assert len(ends) == 1
    check_accounts(client, 1)
    assert client.report()[0].retries == 0


def test_the_timer_ends_with_its_client_though_a_deadline_was_far_away() -> None:
    with no_thread_left(), resonance.Client(PLAIN) as client:
        assert client.call(["a"], str, timeout=HOUR, inline=True).result == "a"


def test_the_timer_ends_when_nothing_is_on_it_though_a_deadline_was_far_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_wheel, "_IDLE_SECONDS", 0.010)
    with resonance.Client(PLAIN) as client:
        for _ in range(2):  # and begins anew
            assert client.call(["a"], str, timeout=HOUR, inline=True).result == "a"
            wait_for(lambda: client._wheel._thread is None, "the timer's thread has ended")


def test_all_that_was_submitted_is_run_though_there_are_fewer_workers_and_the_client_closes() -> (
    None
):
    client = resonance.Client(PLAIN)
    client._workers._most = 2
    with no_thread_left():
        tasks = [client.submit(partial(int, n)) for n in range(200)]
        batched = [client.submit(partial(int, n), TaskHint(can_batch=True)) for n in range(50)]
        client.close()
        assert [task.result(PATIENCE) for task in tasks] == list(range(200))
        assert [task.result(PATIENCE) for task in batched] == list(range(50))


def test_a_call_without_a_worker_for_it_is_refused_and_counted() -> None:
    leave = threading.Event()
    with resonance.Client(PLAIN) as client:
        client._workers._most = 1
        task = client.submit(lambda: leave.wait(PATIENCE))
        with pytest.raises(OverloadedError, match="no_worker"):
            client.call(["a"], str, timeout=HOUR)
        leave.set()
        assert task.result(PATIENCE)
        check_accounts(client, 1)


def test_a_copy_without_a_worker_for_it_costs_nothing() -> None:
    def fn(target: str) -> str:
        refused = next(iter(services(client))).counts.refused
        wait_for(lambda: Reason.NO_WORKER in refused, "there was none")
        return target

    with resonance.Client(HEDGED) as client:
        client._workers._most = 1
        outcome = client.call(["a", "b"], fn, hint=IDEMPOTENT)
        assert not outcome.hedge_won
        assert Reason.NO_WORKER in outcome.reasons
        assert client.report()[0].budget_tokens == RICH.cap
        check_accounts(client, 1)


# ---- many at once -------------------------------------------------------------------------------


@BOTH_WAYS
def test_a_call_may_be_made_inside_a_call_of_the_same_client(inline: bool) -> None:
    def outer(target: str) -> str:
        return client.call([f"{target}1"], inner, timeout=HOUR, inline=inline).result

    def inner(target: str) -> str:
        return client.retry(lambda: target).result

    with resonance.Client(PLAIN) as client:
        assert client.call(["a"], outer, timeout=HOUR, inline=inline).result == "a1"
        check_accounts(client, 3)


def test_a_cancel_callback_may_call_the_same_client() -> None:
    heard = threading.Event()

    def fn(target: str) -> str:
        if number() == 1:
            cancelled_as(lambda: client.retry(heard.set))
            assert heard.wait(PATIENCE)
        return target

    with resonance.Client(HEDGED) as client:
        assert client.call(["a", "b"], fn, hint=IDEMPOTENT).hedge_won
        check_accounts(client, 2)


def hammered(seed: int, target: str) -> str:
    """Answer, fail, or take long, as chance has it."""
    chance = Random(f"{seed} {number()} {target}").random()
    left = threading.Event()
    if number() == 1 or chance < 0.5:
        cancelled_as(left.set)
    if chance < 0.3:
        raise ConnectionResetError
    if chance < 0.6:
        left.wait(0.004)
    return target


def hammer(client: resonance.Client, thread: int, calls: int, ends: list[object]) -> None:
    for n in range(calls):
        seed = thread * 1_000 + n
        try:
            ends.append(
                client.call(
                    ["a", "b", "c", "d"],
                    partial(hammered, seed),
                    hint=IDEMPOTENT,
                    timeout=0.002 if seed % 7 == 0 else None,
                    inline=seed % 2 == 0,
                )
            )
        except (ConnectionResetError, DeadlineExceededError, OverloadedError) as error:
            ends.append(error)


def test_fifty_threads_with_failures_hedges_and_retries_leave_nothing_behind() -> None:
    policy = Policy(hedge=HEDGE, retry=RETRY, budget=RICH)
    ends: list[object] = []
    with no_thread_left():
        client = resonance.Client(policy, seed=7)
        threads = [
            threading.Thread(target=hammer, args=(client, thread, 20, ends)) for thread in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(ends) == 1_000, "each call has ended, and in no other way"
        check_accounts(client, 1_000)
        (report,) = client.report()
        assert report.hedges > 0
        assert report.retries > 0
        assert report.failures == sum(isinstance(each, Exception) for each in ends)
        assert report.hedges + report.retries <= RICH.initial + RICH.ratio * report.successes
        client.close()


# ---- fork ---------------------------------------------------------------------------------------

FORKED = """
import os, signal, sys, threading
from resonance import Client
from resonance.policies import BudgetPolicy, HedgePolicy, Policy, TaskHint
import resonance

signal.alarm(50)
leave = threading.Event()
policy = Policy(
    hedge=HedgePolicy(delay=0.001, saturation_guard=False, max_inflight_pct=10_000.0),
    budget=BudgetPolicy(ratio=1.0, initial=10.0),
)

def hangs(target):
    begun.release()
    assert leave.wait(45)
    return target

def first_hangs(target):
    if resonance.current_attempt().number == 1:
        assert gone.wait(45)
    return target

def under_way():
    return sum(each.inflight for each in client.report())

begun, gone = threading.Semaphore(0), threading.Event()
client = Client(policy)
hint = TaskHint(idempotent=True)
assert client.call(["a", "b"], str, hint=hint).result in "ab"
callers = [
    threading.Thread(
        target=client.call,
        args=(["a", "b"], hangs),
        kwargs=dict(hint=hint, inline=n % 2 == 0, timeout=3600.0),
    )
    for n in range(4)
]
for each in callers:
    each.start()
for _ in range(4):
    begun.acquire()
child = os.fork()
if child == 0:
    try:
        assert client.report() == (), "nothing of the parent is under way here"
        assert len(client._workers) == 0, "nor are its workers here"
        assert not client._wheel._slots
        outcome = client.call(["a", "b"], first_hangs, hint=hint)
        assert outcome.hedge_won, outcome
        assert len(client._workers) == 2
        gone.set()
        while under_way():
            pass
        gone.clear()
        cancelled = client.call(["a", "b"], first_hangs, hint=hint, inline=False)
        assert cancelled.hedge_won
        gone.set()
        assert client.call(["a"], str, inline=True, timeout=5.0).result == "a"
        assert client.submit(lambda: 7).result(5.0) == 7
        client.close()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0, "the child failed"
assert under_way() >= 4, "the parent's calls go on"
leave.set()
for each in callers:
    each.join(45)
while under_way():
    pass
client.close()
print("done", flush=True)
"""


def test_a_forked_child_begins_anew_while_its_parent_goes_on() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
