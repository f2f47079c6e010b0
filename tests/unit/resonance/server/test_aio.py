# SPDX-License-Identifier: MIT
"""Tasks at the door of a server."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from resonance.server import AdmissionPolicy, AsyncGate, Refusal
from resonance.server._cpu_wait import ThreadWait


def _gate(**changes: object) -> AsyncGate:
    return AsyncGate(AdmissionPolicy(**{"limit": 1, **changes}))  # type: ignore[arg-type]


async def _serve(gate: AsyncGate, served: list[str], name: str, importance: str = "normal") -> None:
    ticket = gate.enter(importance)  # type: ignore[arg-type]
    try:
        if ticket.stage == "queued":
            await gate.wait(ticket)
        if ticket.stage == "running":
            await asyncio.sleep(0)
            served.append(name)
        else:
            served.append(str(ticket.refusal))
    finally:
        gate.end(ticket)


async def test_tasks_are_served_one_after_another_by_importance() -> None:
    gate, served = _gate(), list[str]()
    async with asyncio.TaskGroup() as group:
        for name, importance in [("a", "low"), ("b", "low"), ("c", "normal"), ("d", "critical")]:
            group.create_task(_serve(gate, served, name, importance))
    assert served == ["a", "d", "c", "b"]
    assert (gate.admission.inflight, gate.admission.queued) == (0, 0)


async def test_a_cancelled_task_leaves_the_queue() -> None:
    gate, served = _gate(), list[str]()
    running = gate.enter()
    waiting = asyncio.create_task(_serve(gate, served, "never"))
    await asyncio.sleep(0)
    assert gate.admission.queued == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate.admission.queued == 0
    gate.end(running)
    assert (served, gate.admission.inflight) == ([], 0)
    assert gate.report().withdrawn == 1


async def test_a_task_cancelled_in_the_moment_it_is_begun_gives_its_place_back() -> None:
    gate, served = _gate(), list[str]()
    running = gate.enter()
    waiting = asyncio.create_task(_serve(gate, served, "never"))
    await asyncio.sleep(0)
    gate.end(running)
    assert gate.admission.inflight == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate.admission.inflight == 0


async def test_a_task_begun_in_the_moment_it_is_cancelled_gives_its_place_back() -> None:
    gate, served = _gate(), list[str]()
    running = gate.enter()
    waiting = asyncio.create_task(_serve(gate, served, "never"))
    await asyncio.sleep(0)
    waiting.cancel()
    gate.end(running)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate.admission.inflight == 0


async def test_who_waits_too_long_is_told_without_anybody_leaving() -> None:
    gate, served = _gate(target=0.001, interval=0.002), list[str]()
    running = gate.enter()
    async with asyncio.timeout(60):
        await _serve(gate, served, "never")
    assert served == [Refusal.QUEUED_TOO_LONG]
    gate.end(running)


async def test_a_younger_request_makes_the_timer_earlier() -> None:
    gate, served = _gate(target=0.001, interval=0.05), list[str]()
    running = gate.enter()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(_serve(gate, served, "never"))
            await asyncio.sleep(0.0005)
    assert set(served) == {Refusal.QUEUED_TOO_LONG}
    gate.end(running)


async def test_ending_twice_does_nothing() -> None:
    gate = _gate()
    ticket = gate.enter()
    gate.end(ticket)
    gate.end(ticket)
    assert gate.report().done == 1


def test_a_loop_that_closes_with_tasks_at_the_door_leaves_nobody_in_service() -> None:
    gate, served = _gate(), list[str]()

    async def leave_behind() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(_serve(gate, served, "x")) for _ in range(5)]
        await asyncio.sleep(0)
        return tasks

    tasks = asyncio.run(leave_behind())
    assert all(task.done() for task in tasks)
    assert (gate.admission.inflight, gate.admission.queued) == (0, 0)


def test_a_gate_serves_a_second_loop_after_the_first() -> None:
    gate = _gate(target=0.001, interval=0.002)

    async def overload() -> list[str]:
        served = list[str]()
        running = gate.enter()
        async with asyncio.timeout(60):
            await _serve(gate, served, "never")
        gate.end(running)
        return served

    assert asyncio.run(overload()) == asyncio.run(overload()) == [Refusal.QUEUED_TOO_LONG]


def test_waiters_of_a_loop_that_is_no_more_are_passed_over() -> None:
    gate = _gate()
    loop = asyncio.new_event_loop()
    running, waiting = gate.enter(), gate.enter()
    waiter = gate.wait(waiting)

    async def begin() -> None:
        waiter.send(None)

    loop.run_until_complete(begin())
    loop.close()
    gate.end(running)
    assert waiting.stage == "running"
    waiter.close()
    gate.end(waiting)
    gc.collect()
    assert gate.admission.inflight == 0


async def test_the_report_says_which_clock_is_in_force(tmp_path: Path) -> None:
    known = AsyncGate(AdmissionPolicy(limit=1))
    unknown = AsyncGate(AdmissionPolicy(limit=1), cpu_wait=ThreadWait(tmp_path / "none"))
    assert known.report().queue_clock == "application"
    assert unknown.report().queue_clock == "sojourn"


def test_callers_are_asked_back_between_one_and_two_times_the_drain() -> None:
    bounds = list[tuple[float, float]]()

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    gate = AsyncGate(AdmissionPolicy(limit=1, interval=0.1), uniform=uniform)
    assert gate.retry_after_seconds() == 0.2
    assert bounds == [(1.0, 2.0)]
