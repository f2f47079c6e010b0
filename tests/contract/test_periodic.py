# SPDX-License-Identifier: MIT
"""The SDK's timers against the daemon's service and the shipped controller."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import resonance
from fakes.phase_service import PhaseService
from resonance.periodic import Status, Timer
from resonance.periodic import _attendant as attendants
from resonance_core.control.parameters import Parameters

PERIOD = 0.02
SOURCES = 4
PATIENCE = 30.0


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", str(tmp_path / "hints.sock"))
    monkeypatch.setattr(attendants, "_LOOK_NS", 20_000_000)
    return tmp_path


@pytest.fixture
def service(directory: Path) -> Iterator[PhaseService]:
    # One core, and bursts that fill most of it: aligned, they are worth moving.
    with PhaseService(directory, "observe", Parameters(cores=1.0)) as service:
        yield service


@pytest.fixture
def timers() -> Iterator[list[Timer]]:
    """Timers in step, each in a thread of its own."""
    origin = time.monotonic()
    timers = [
        resonance.every(
            PERIOD,
            name=f"flush {each}",
            phase_free=True,
            origin=origin,
            work=0.8 * PERIOD / SOURCES,
        )
        for each in range(SOURCES)
    ]
    threads = [threading.Thread(target=_run, args=(timer,)) for timer in timers]
    for thread in threads:
        thread.start()
    yield timers
    for timer in timers:
        timer.close()
    for thread in threads:
        thread.join()


def _run(timer: Timer) -> None:
    for _ in timer:
        pass


def statuses(timers: list[Timer]) -> list[Status]:
    return [status for timer in timers for status in timer.statuses]


def eventually(holds: Callable[[], bool], timers: list[Timer]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, statuses(timers)
        time.sleep(0.01)


def offsets(timers: list[Timer]) -> list[float]:
    return sorted(status.offset_seconds for status in statuses(timers))


def are_apart(timers: list[Timer]) -> bool:
    """Whether all are within a fifth of the distance of an even spread."""
    even = PERIOD / SOURCES
    found = offsets(timers)
    gaps = [after - before for before, after in itertools.pairwise(found)]
    return len(gaps) == SOURCES - 1 and all(abs(gap - even) < 0.2 * even for gap in gaps)


def test_timers_are_attended_and_observed_in_place(
    service: PhaseService, timers: list[Timer]
) -> None:
    eventually(lambda: service.registry.counts()["eligible"] == SOURCES, timers)
    assert {status.attended_by for status in statuses(timers)} == {"daemon"}
    assert {status.mode for status in statuses(timers)} == {"observe"}
    assert offsets(timers) == [0.0] * SOURCES


def test_in_active_mode_timers_in_step_are_taken_apart_and_sent_home_by_the_kill_switch(
    service: PhaseService, timers: list[Timer]
) -> None:
    service.registry.set_mode("active", time.monotonic())
    eventually(lambda: are_apart(timers), timers)
    service.registry.stop(time.monotonic())
    eventually(lambda: offsets(timers) == [0.0] * SOURCES, timers)
    eventually(lambda: {each.mode for each in statuses(timers)} == {"observe"}, timers)


def test_timers_that_end_are_forgotten(service: PhaseService, timers: list[Timer]) -> None:
    eventually(lambda: len(service.registry) == SOURCES, timers)
    for timer in timers:
        timer.close()
    eventually(lambda: len(service.registry) == 0, timers)


def test_a_daemon_that_restarts_finds_them_again(directory: Path, timers: list[Timer]) -> None:
    for _ in range(2):
        with PhaseService(directory) as service:
            eventually(lambda: len(service.registry) == SOURCES, timers)


def test_more_timers_than_a_stream_may_have_tick_on_and_are_told_so(
    service: PhaseService,
) -> None:
    everyone = [iter(resonance.every(60.0, name=f"{each}")) for each in range(260)]
    for ticks in everyone:
        next(ticks)
    deadline = time.monotonic() + PATIENCE
    while sum("no more fit" in ticks.status.reason for ticks in everyone) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    attended = [ticks.status.attended_by for ticks in everyone]
    assert sorted(attended) == ["daemon"] * 256 + ["nobody"] * 4
    for ticks in everyone:
        ticks.close()
