# SPDX-License-Identifier: MIT
"""An application's code: what type checkers see of the SDK. It is checked, never run."""

from typing import assert_type

import resonance
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
