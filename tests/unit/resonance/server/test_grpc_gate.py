# SPDX-License-Identifier: MIT
"""The door of a pool of threads, where requests wait for a thread before they come to it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from resonance.server import AdmissionPolicy, Refusal, Ticket
from resonance.server._grpc_gate import Arrival, PoolGate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock) -> PoolGate:
    made = PoolGate(AdmissionPolicy(limit=2, queue=2, target=0.01, interval=0.1))
    made._clock = clock
    return made


def stays(_gone: Callable[[], None]) -> bool:
    return True


def enter(door: PoolGate, arrived_at: float) -> Ticket:
    arrival = Arrival(arrived_at, door.arrive().waited)
    return door.enter_with(arrival, "normal", inf, stays)


def test_what_waited_for_an_interval_because_its_thread_was_at_another_is_refused() -> None:
    clock = Clock()
    door = gate(clock)
    first = enter(door, 0.0)
    clock.now = 1.0
    door.end(first)
    late = enter(door, 0.5)
    assert late.refusal is Refusal.QUEUED_TOO_LONG
    assert late.stage == "over"
    assert door.report().refused[Refusal.QUEUED_TOO_LONG] == 1


def test_what_waited_less_runs() -> None:
    clock = Clock()
    door = gate(clock)
    first = enter(door, 0.0)
    clock.now = 1.0
    door.end(first)
    assert enter(door, 0.95).stage == "running"


def test_what_a_free_thread_took_up_late_runs() -> None:
    clock = Clock()
    door = gate(clock)
    clock.now = 10.0
    assert enter(door, 0.0).stage == "running"


def test_a_refused_request_frees_its_thread_too() -> None:
    clock = Clock()
    door = gate(clock)
    door.end(enter(door, 0.0))
    clock.now = 5.0
    door.end(enter(door, -1.0))
    assert enter(door, 4.0).refusal is Refusal.QUEUED_TOO_LONG


def test_all_that_came_are_accounted_for() -> None:
    clock = Clock()
    door = gate(clock)
    door.end(enter(door, 0.0))
    clock.now = 1.0
    door.end(enter(door, 1.0))
    door.end(enter(door, 0.0), "failed")
    report = door.report()
    assert report.entered == report.done + sum(report.refused.values()) == 3
    assert report.inflight == 0
