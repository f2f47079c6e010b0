# SPDX-License-Identifier: MIT
"""An application's code: what type checkers see of the SDK. It is checked, never run."""

from typing import assert_type

import resonance
from resonance.client import ServiceReport
from resonance.hints import Latency, PolicyCeiling, Reading, Resolution, State, Status
from resonance.periodic import AsyncTicks, Tick, Ticks
from resonance.periodic import Status as TimerStatus


def in_a_thread() -> None:
    with resonance.hints.connect() as hints:
        assert_type(hints.pressure(), float | None)
        assert_type(hints.pressure("/system.slice"), float | None)
        assert_type(hints.reading(4711), Reading | None)
        assert_type(hints.policy_ceiling(), PolicyCeiling | None)
        assert_type(hints.percentiles(kind="srtt"), Latency | None)
        assert_type(hints.resolve("127.0.0.1:80"), Resolution)
        assert_type(hints.state(), State | None)
        assert_type(hints.status, Status)
        hints.percentiles(kind="disk")  # expect: error


async def in_a_task() -> None:
    async with resonance.hints.aio.connect() as hints:
        assert_type(hints.pressure(), float | None)
        assert_type(await hints.percentiles(), Latency | None)
        assert_type(await hints.resolve(1), Resolution)
        async for state in hints.subscribe():
            assert_type(state, State | None)


def careless() -> float:
    with resonance.hints.connect() as hints:
        return hints.pressure()  # expect: error


def on_time_in_a_thread() -> None:
    with resonance.every(0.1, name="flush", phase_free=True) as timer:
        assert_type(iter(timer), Ticks)
        assert_type(timer.statuses, tuple[TimerStatus, ...])
        for tick in timer:
            assert_type(tick, Tick)
            assert_type(tick.number, int)
            tick.number = 1  # expect: error
    assert_type(resonance.next_valley(within=0.01), float)


async def on_time_in_a_task() -> None:
    timer = resonance.every(0.1, name="flush", importance="low", on_late="catch_up")
    assert_type(aiter(timer), AsyncTicks)
    async for tick in timer:
        assert_type(tick, Tick)


def with_a_core() -> None:
    with resonance.Core(r_band=(0.35, 0.65), k_min=0.05, k_max=1.0) as core:
        core.set_mode("active")
        core.set_mode("on")  # expect: error
        resonance.every(0.1, name="flush", core=core)
        for tick in core.every(0.1, name="flush", slack=0.001):
            assert_type(tick.offset_seconds, float)
        with core.arrived():
            core.record(0.001)
        assert_type(core.next_valley(), float)
        assert_type(core.explain(), dict[str, tuple[str, ...]])


def hasty() -> None:
    resonance.every(0.1)  # expect: error
    resonance.every(0.1, name="flush", importance="vital")  # expect: error
    resonance.every(0.1, name="flush", on_late="burst")  # expect: error


def connect(target: str) -> int:
    return len(target)


def with_a_client() -> None:
    hint = resonance.TaskHint(idempotent=True, importance="high")
    policy = resonance.HedgePolicy(delay=0.010) | resonance.RetryPolicy()
    assert_type(policy, resonance.Policy)
    with resonance.Client(policy, mode="advise") as client:
        outcome = client.call(["a", "b"], connect, hint=hint, timeout=1.0)
        assert_type(outcome, resonance.Outcome[int])
        assert_type(outcome.result, int)
        assert_type(outcome.hedge_delay, float | None)
        assert_type(outcome.reasons, tuple[resonance.Reason, ...])
        assert_type(client.hedge(lambda: "page").result, str)
        assert_type(client.retry(lambda: b"page", resonance.RetryPolicy()).result, bytes)
        assert_type(client.now(lambda: 1.5).result, float)
        assert_type(client.explain(outcome), str)
        assert_type(client.report(), tuple[ServiceReport, ...])
        client.call("a", "b")  # expect: error
        client.set_mode("on")  # expect: error
        client.retry(lambda: 1, "balanced")  # expect: error
        outcome.result = 2  # expect: error

        @client.hedged(resonance.HedgePolicy(delay=0.010), hint=hint)
        def read(key: str, *, fresh: bool = False) -> list[str]:
            return [key] if fresh else []

        assert_type(read("key", fresh=True), list[str])
        read(7)  # expect: error


async def with_an_async_client() -> None:
    async def read(target: str) -> bytes:
        attempt = resonance.current_attempt()
        if attempt is not None:
            assert_type(attempt.number, int)
            attempt.on_cancel(lambda: None)
        return target.encode()

    async with resonance.AsyncClient("balanced") as client:
        outcome = await client.call(["a", "b"], read)
        assert_type(outcome, resonance.Outcome[bytes])
        assert_type((await client.hedge(lambda: read("a"))).result, bytes)
        await client.retry(lambda: 1)  # expect: error

        @client.retried(resonance.RetryPolicy(max_attempts=5))
        async def write(row: int) -> str:
            return str(row)

        assert_type(await write(1), str)
        await write("row")  # expect: error


def forgetful() -> str:
    return resonance.current_attempt().target  # expect: error


def mistaken() -> None:
    resonance.TaskHint(importance="vital")  # expect: error
    resonance.RetryPolicy(strategy="jitter")  # expect: error
    resonance.HedgePolicy(dealy=0.010)  # expect: error
    resonance.Policy() | resonance.TaskHint()  # expect: error
    resonance.HedgePolicy().delay = 1.0  # expect: error


def classify(value: object) -> resonance.Failure | None:
    return resonance.Failure("retriable", pushback=0.5) if value == 503 else None


def with_a_deadline() -> None:
    with resonance.deadline(0.250), resonance.Client() as client:
        client.call(("a",), str, classify=classify)
        assert_type(resonance.deadlines.remaining(), float | None)
