# SPDX-License-Identifier: MIT
"""Threads at the door of a server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from resonance.server import AdmissionPolicy, Refusal, ThreadGate


def _gate(**changes: object) -> ThreadGate:
    return ThreadGate(AdmissionPolicy(**{"limit": 1, "interval": 30.0, **changes}))  # type: ignore[arg-type]


def test_never_more_threads_than_the_limit_are_in_service() -> None:
    gate, most, guard = _gate(limit=3), [0], threading.Lock()

    def serve(_: int) -> str:
        ticket = gate.enter()
        with guard:
            most[0] = max(most[0], gate.admission.inflight)
        gate.end(ticket)
        return ticket.stage

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(serve, range(2_000)))
    report = gate.report()
    assert 1 <= most[0] <= 3
    assert (report.done, report.inflight, report.queued) == (2_000, 0, 0)


def test_a_thread_that_waits_goes_on_when_another_leaves() -> None:
    gate = _gate()
    running = gate.enter()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.enter)
        while not gate.report().queued:
            pass
        gate.end(running)
        ticket = waiting.result(60)
    assert ticket.stage == "running"
    gate.end(ticket)


def test_a_thread_that_waits_too_long_is_refused() -> None:
    gate = _gate(target=0.001, interval=0.002)
    running = gate.enter()
    assert gate.enter().refusal is Refusal.QUEUED_TOO_LONG
    gate.end(running)


def test_a_thread_that_is_interrupted_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    gate = _gate()
    running = gate.enter()
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gate.enter()
    assert gate.admission.queued == 0
    gate.end(running)
    assert gate.report().withdrawn == 1


def test_the_clock_in_force_is_told() -> None:
    assert _gate().report().queue_clock == "application"


def test_a_request_that_another_thread_takes_back_waits_no_more() -> None:
    gate = _gate()
    running = gate.enter()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gate.enter)
        while not gate.report().queued:
            pass
        ticket = gate.admission._queue.next_up(0.0)
        gate.end(ticket)
        assert waiting.result(60).stage == "over"
    gate.end(running)
    assert gate.report().withdrawn == 1
