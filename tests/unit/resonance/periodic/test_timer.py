# SPDX-License-Identifier: MIT
"""Loops over a timer without a daemon: the same story for threads and for asyncio."""

from __future__ import annotations

import asyncio
import gc
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import resonance
from resonance.periodic import Tick, Timer
from resonance.periodic import _attendant as attendants
from resonance.periodic._source import Source

PERIOD = 0.002
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def no_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", str(tmp_path / "hints.sock"))


@pytest.fixture(params=["threads", "asyncio"])
def ticks_of(request: pytest.FixtureRequest) -> Callable[..., list[Tick]]:
    """Loop over a timer, and return the first so many ticks."""

    def in_a_thread(timer: Timer, count: int, body: Callable[[Tick], object] = id) -> list[Tick]:
        ticks = []
        for tick in timer:
            ticks.append(tick)
            body(tick)
            if len(ticks) == count:
                break
        return ticks

    def in_a_task(timer: Timer, count: int, body: Callable[[Tick], object] = id) -> list[Tick]:
        async def run() -> list[Tick]:
            ticks = []
            async for tick in timer:
                ticks.append(tick)
                body(tick)
                if len(ticks) == count:
                    break
            return ticks

        return asyncio.run(run())

    return in_a_task if request.param == "asyncio" else in_a_thread


def attended() -> list[Source]:
    return attendants.attendant_here().sources()


def test_ticks_lie_on_a_lattice_that_begins_with_the_loop(
    ticks_of: Callable[..., list[Tick]],
) -> None:
    before = time.monotonic()
    ticks = ticks_of(resonance.every(PERIOD, name="it"), 20)
    assert before <= ticks[0].scheduled_seconds
    assert ticks[0].number == ticks[0].missed
    for tick in ticks:
        at = ticks[0].scheduled_seconds + tick.number * PERIOD
        assert tick.scheduled_seconds == pytest.approx(at, abs=1e-9)
        assert (tick.offset_seconds, tick.late_seconds >= 0.0) == (0.0, True)
    for one, other in pairwise(ticks):
        assert other.number == one.number + 1 + other.missed


def test_a_tick_is_not_given_before_its_time(ticks_of: Callable[..., list[Tick]]) -> None:
    given: list[tuple[float, float]] = []
    ticks_of(
        resonance.every(PERIOD, name="it"),
        20,
        lambda tick: given.append((tick.scheduled_seconds, time.monotonic())),
    )
    assert all(scheduled <= at for scheduled, at in given)


def test_a_loop_that_was_too_slow_skips(ticks_of: Callable[..., list[Tick]]) -> None:
    def slow(tick: Tick) -> None:
        time.sleep(3.5 * PERIOD if tick.number == 0 else 0.0)

    _, second = ticks_of(resonance.every(PERIOD, name="it"), 2, slow)
    assert second.missed >= 2
    assert second.number == second.missed + 1


def test_a_loop_that_was_too_slow_catches_up_if_it_is_to(
    ticks_of: Callable[..., list[Tick]],
) -> None:
    def slow(tick: Tick) -> None:
        time.sleep(3.5 * PERIOD if tick.number == 0 else 0.0)

    ticks = ticks_of(resonance.every(PERIOD, name="it", on_late="catch_up"), 6, slow)
    assert [(tick.number, tick.missed) for tick in ticks] == [(each, 0) for each in range(6)]
    assert ticks[1].late_seconds >= 2.0 * PERIOD


def test_an_origin_is_kept_to(ticks_of: Callable[..., list[Tick]]) -> None:
    origin = math.floor(time.monotonic() / PERIOD) * PERIOD - 100 * PERIOD
    first, *_ = ticks_of(resonance.every(PERIOD, name="it", origin=origin), 2)
    assert first.number >= 100
    assert first.scheduled_seconds == pytest.approx(origin + first.number * PERIOD, abs=1e-8)


def test_each_loop_over_a_timer_begins_by_itself(ticks_of: Callable[..., list[Tick]]) -> None:
    timer = resonance.every(PERIOD, name="it")
    (one,), (other,) = ticks_of(timer, 1), ticks_of(timer, 1)
    assert (one.number, other.number) == (0, 0)
    assert other.scheduled_seconds > one.scheduled_seconds


def test_a_loop_that_is_left_departs(ticks_of: Callable[..., list[Tick]]) -> None:
    sources: list[list[Source]] = []
    ticks_of(resonance.every(PERIOD, name="it"), 2, lambda _: sources.append(attended()))
    assert [[each.spec.name for each in at] for at in sources] == [["it"], ["it"]]
    gc.collect()
    assert attended() == []


def test_a_loop_that_raises_departs(ticks_of: Callable[..., list[Tick]]) -> None:
    def fail(_: Tick) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ticks_of(resonance.every(PERIOD, name="it"), 2, fail)
    gc.collect()
    assert attended() == []


def test_closing_a_timer_ends_its_loops_and_those_that_begin_later(
    ticks_of: Callable[..., list[Tick]],
) -> None:
    timer = resonance.every(60.0, name="it")
    thread = threading.Timer(0.02, timer.close)
    thread.start()
    assert len(ticks_of(timer, 2)) == 1
    assert ticks_of(timer, 2) == []
    assert attended() == []
    thread.join()


def test_closing_the_ticks_ends_a_loop_in_a_thread() -> None:
    ticks = iter(resonance.every(60.0, name="it"))
    with ticks:
        assert next(ticks).number == 0
    with pytest.raises(StopIteration):
        next(ticks)
    assert attended() == []


async def test_a_close_between_two_looks_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = aiter(resonance.every(60.0, name="it"))
    await anext(ticks)
    loop = asyncio.get_running_loop()
    create_future = loop.create_future

    def closed_meanwhile() -> asyncio.Future[Any]:
        thread = threading.Thread(target=ticks.close)
        thread.start()
        thread.join()
        return create_future()

    monkeypatch.setattr(loop, "create_future", closed_meanwhile)
    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(PATIENCE):
            await anext(ticks)


async def test_closing_the_ticks_ends_a_loop_in_a_task() -> None:
    ticks = aiter(resonance.every(60.0, name="it"))
    async with ticks:
        assert (await anext(ticks)).number == 0
    with pytest.raises(StopAsyncIteration):
        await anext(ticks)
    await ticks.aclose()


async def test_a_cancelled_wait_departs_and_the_next_one_goes_on_with_the_lattice() -> None:
    ticks = aiter(resonance.every(0.05, name="it"))
    first = await anext(ticks)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(ticks), 0.001)
    assert attended() == []
    second = await anext(ticks)
    assert [each.spec.name for each in attended()] == ["it"]
    apart = second.scheduled_seconds - first.scheduled_seconds
    assert apart == pytest.approx((second.number - first.number) * 0.05, abs=1e-8)
    ticks.close()


async def test_a_loop_that_is_always_late_lets_other_tasks_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for tick in resonance.every(0.0001, name="it", on_late="catch_up"):
        time.sleep(0.0003)  # noqa: ASYNC251 - it is to be late
        if tick.number == 20:
            break
    task.cancel()
    assert turns >= 20


def test_a_loop_ends_though_its_event_loop_is_closed() -> None:
    timer = resonance.every(60.0, name="it")

    async def begin() -> Any:
        ticks = aiter(timer)
        await anext(ticks)
        waiting = asyncio.ensure_future(anext(ticks))
        await asyncio.sleep(0)
        return ticks, waiting

    ticks, waiting = asyncio.run(begin())
    assert waiting.cancelled()
    timer.close()
    assert ticks.source.is_closed


def test_the_work_of_a_burst_is_the_cpu_time_of_its_thread() -> None:
    ticks = iter(resonance.every(0.001, name="it"))
    next(ticks)
    began = time.thread_time()
    while time.thread_time() - began < 0.02:
        pass
    next(ticks)
    (done,) = ticks.source.take()
    assert 0.02 <= done.work_seconds < 0.2
    assert done.completion_seconds >= done.work_seconds
    ticks.close()


def test_declared_work_is_taken_as_it_is() -> None:
    ticks = iter(resonance.every(0.001, name="it", work=0.25))
    next(ticks)
    next(ticks)
    assert [done.work_seconds for done in ticks.source.take()] == [0.25]
    ticks.close()


def test_the_work_of_a_burst_that_moves_between_threads_is_not_known() -> None:
    ticks = iter(resonance.every(0.001, name="it"))
    thread = threading.Thread(target=lambda: next(ticks))
    thread.start()
    thread.join()
    next(ticks)
    (done,) = ticks.source.take()
    assert math.isnan(done.work_seconds)
    ticks.close()


def test_releases_nobody_asks_for_are_kept_in_bounds() -> None:
    ticks = iter(resonance.every(0.0001, name="it", on_late="catch_up", origin=0.0))
    for _ in range(2_000):
        next(ticks)
    assert len(ticks.source.take()) == 1_024
    ticks.close()


def test_without_a_daemon_the_status_says_so(tmp_path: Path) -> None:
    timer = resonance.every(PERIOD, name="it")
    ticks = iter(timer)
    next(ticks)
    (status,) = timer.statuses
    assert (status.attended_by, status.mode, status.offset_seconds) == ("nobody", "", 0.0)
    assert status.reason == f"{tmp_path}/hints.sock: no daemon here; start `resonanced run`"
    ticks.close()


def test_without_a_daemon_there_is_no_thread_and_no_grpc() -> None:
    program = """
import sys, threading, resonance
for tick in resonance.every(0.001, name="it", phase_free=True):
    if tick.number >= 20:
        break
assert resonance.next_valley() == 0.0
assert threading.active_count() == 1, threading.enumerate()
print(*sys.modules)
"""
    environment = {"RESONANCE_HINTS_SOCKET": "/nowhere/hints.sock"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    loaded = set(done.stdout.split())
    assert "resonance.periodic" in loaded
    assert {"grpc", "numpy", "google.protobuf", "resonance_core"} & loaded == set()


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan, math.inf, 1e-9, 1e300])
def test_a_period_that_cannot_be_is_refused(period: float) -> None:
    with pytest.raises(ValueError, match="period must be"):
        resonance.every(period, name="it")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": ""}, "name must be"),
        ({"name": "a\nb"}, "name must be"),
        ({"name": "x" * 129}, "name must be"),
        ({"slack": -0.1}, "slack must be"),
        ({"slack": 0.1}, "slack must be"),
        ({"slack": math.nan}, "slack must be"),
        ({"importance": "vital"}, "importance must be one of low, normal, high, critical"),
        ({"on_late": "burst"}, "on_late must be one of skip, catch_up"),
        ({"origin": math.nan}, "origin must be"),
        ({"work": -1.0}, "work must be"),
        ({"work": math.inf}, "work must be"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(wrong: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"period": 0.1, "name": "it"} | wrong
    with pytest.raises(ValueError, match=says):
        resonance.every(**arguments)
