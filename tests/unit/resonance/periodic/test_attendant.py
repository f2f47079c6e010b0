# SPDX-License-Identifier: MIT
"""Timers and a daemon: what it is told, and what they do of what they are told."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import resonance
from fakes.phase_daemon import PATIENCE, PhaseDaemon, serve
from resonance.periodic import Tick, Ticks, Timer
from resonance.periodic import _attendant as attendants
from resonance_api.phase.v1 import phase_pb2

PERIOD = 0.01
STEP = 0.0007
"""Seven percent of it."""
SLACK = 1e-8


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    socket = tmp_path / "hints.sock"
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", str(socket))
    monkeypatch.setattr(attendants, "_LOOK_NS", 5_000_000)
    return socket


@pytest.fixture
def daemon(socket: Path) -> Iterator[PhaseDaemon]:
    daemon = PhaseDaemon()
    with serve(socket, daemon):
        yield daemon


def ticking(ticks: Ticks, holds: Callable[[], object]) -> list[Tick]:
    """Tick until something holds; return the ticks."""
    given = []
    deadline = time.monotonic() + PATIENCE
    while not holds():
        given.append(next(ticks))
        assert time.monotonic() < deadline, ticks.status
    return given


def flush(**declared: object) -> Ticks:
    arguments = {"name": "flush", "phase_free": True} | declared
    return iter(resonance.every(PERIOD, **arguments))  # type: ignore[arg-type]


def is_at(ticks: Ticks, offset: float) -> Callable[[], bool]:
    return lambda: abs(ticks.status.offset_seconds - offset) < SLACK


def is_attended(ticks: Ticks) -> bool:
    return ticks.status.attended_by == "daemon"


def test_a_timer_is_registered_as_declared(daemon: PhaseDaemon) -> None:
    with flush(slack=0.002, importance="high") as ticks:
        first = next(ticks)
        daemon.until(lambda: daemon.registrations)
        (told,) = daemon.registrations
        assert (told.name, told.period_seconds, told.phase_free) == ("flush", PERIOD, True)
        assert (told.slack_seconds, told.offset_seconds) == (0.002, 0.0)
        assert told.importance == phase_pb2.IMPORTANCE_HIGH
        assert told.origin_ns == round(first.scheduled_seconds * 1e9)
        ticking(ticks, lambda: is_attended(ticks))
        assert ticks.status.mode == "active"


def test_releases_are_reported_as_they_would_be_without_a_hold(daemon: PhaseDaemon) -> None:
    with flush(work=0.003) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "grant", 0.005)
        ticking(ticks, is_at(ticks, 0.005))
        ticking(ticks, lambda: daemon.releases and daemon.releases[-1].offset_seconds == 0.005)
        origin_ns = daemon.registrations[0].origin_ns
        for report in daemon.releases:
            assert all((at_ns - origin_ns) % 10_000_000 == 0 for at_ns in report.at_ns)
            assert all(one < other for one, other in pairwise(report.at_ns))
            assert list(report.work_seconds) == pytest.approx([0.003] * len(report.at_ns))
            assert len(report.completion_seconds) == len(report.at_ns)
            assert all(each >= 0.0 for each in report.completion_seconds)


def test_a_grant_is_taken_at_once(daemon: PhaseDaemon) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "grant", 0.008)
        given = ticking(ticks, is_at(ticks, 0.008))
        assert {tick.offset_seconds for tick in given} <= {0.0, 0.008}
        assert ticks.status.reason == "as the test wants it"


def test_a_grant_that_comes_late_is_slewed_to(
    daemon: PhaseDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance.periodic._source._GRANT_NS", 0)
    with flush() as ticks:
        given = ticking(ticks, lambda: is_attended(ticks))
        time.sleep(2 * PERIOD)
        daemon.place(1, "grant", 0.002)
        given += ticking(ticks, is_at(ticks, 0.002))
        steps = [b.offset_seconds - a.offset_seconds for a, b in pairwise(given)]
        assert max(steps) <= STEP + SLACK


def test_a_slew_is_never_faster_than_allowed_whatever_the_daemon_says(
    daemon: PhaseDaemon,
) -> None:
    with flush() as ticks:
        given = ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "slew", 0.003, step_seconds=1e6)
        given += ticking(ticks, is_at(ticks, 0.003))
        daemon.place(1, "slew", 0.0, step_seconds=1e6)
        given += ticking(ticks, is_at(ticks, 0.0))
        steps = [abs(b.offset_seconds - a.offset_seconds) for a, b in pairwise(given)]
        assert 0.0 < max(steps) <= STEP + SLACK


def test_home_is_at_once_even_while_it_waits(daemon: PhaseDaemon) -> None:
    ticks = iter(resonance.every(120.0, name="slow", phase_free=True))
    with ticks:
        next(ticks)
        daemon.until(lambda: daemon.registrations)
        daemon.place(1, "grant", 100.0)
        waiting = threading.Thread(target=lambda: next(ticks, None))
        waiting.start()
        source = ticks.source
        deadline = time.monotonic() + PATIENCE
        while source.wait_ns(time.monotonic_ns()) < 130e9:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        daemon.place(1, "home", 0.0)
        while source.wait_ns(time.monotonic_ns()) > 121e9:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    waiting.join()


def test_home_is_at_once(daemon: PhaseDaemon) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "grant", 0.008)
        ticking(ticks, is_at(ticks, 0.008))
        daemon.place(1, "home", 0.0)
        given = ticking(ticks, is_at(ticks, 0.0))
        assert {tick.offset_seconds for tick in given} <= {0.0, 0.008}


@pytest.mark.parametrize(
    "declared",
    [{"importance": "critical"}, {"phase_free": False}],
    ids=["critical", "anchored"],
)
def test_who_may_not_be_moved_is_not(daemon: PhaseDaemon, declared: dict[str, object]) -> None:
    with flush(**declared) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "grant", 0.008)
        ticking(ticks, lambda: ticks.status.target_seconds == 0.008)
        assert {next(ticks).offset_seconds for _ in range(5)} == {0.0}


def test_an_anchored_timer_is_held_by_its_slack_at_most(daemon: PhaseDaemon) -> None:
    with flush(phase_free=False, slack=0.0003) as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "slew", 0.008)
        ticking(ticks, is_at(ticks, 0.0003))
        assert {round(next(ticks).offset_seconds, 9) for _ in range(5)} == {0.0003}


@pytest.mark.parametrize("offset", [math.nan, math.inf, -0.001, PERIOD, 1e300])
def test_a_placement_that_cannot_be_is_left(daemon: PhaseDaemon, offset: float) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "grant", offset)
        ticking(ticks, lambda: "cannot be" in ticks.status.reason)
        assert {next(ticks).offset_seconds for _ in range(3)} == {0.0}


@pytest.mark.parametrize("step", [math.nan, math.inf, 0.0, -1.0])
def test_a_step_that_cannot_be_is_left(daemon: PhaseDaemon, step: float) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "slew", 0.005, step_seconds=step)
        ticking(ticks, lambda: "cannot be" in ticks.status.reason)
        assert {next(ticks).offset_seconds for _ in range(3)} == {0.0}


def test_an_order_for_a_timer_that_is_not_there_is_none(daemon: PhaseDaemon) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(77, "home", 0.0)
        daemon.refuse(78, "no")
        daemon.order(report_interval_seconds=math.nan, valid_for_seconds=math.nan)
        count = len(daemon.releases)
        ticking(ticks, lambda: len(daemon.releases) > count)
        assert is_attended(ticks)


def test_who_is_to_report_more_often_begins_with_it_at_once(daemon: PhaseDaemon) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.order(report_interval_seconds=50.0)
        ticking(ticks, lambda: is_attended(ticks))
        count = len(daemon.releases)
        daemon.order(report_interval_seconds=0.02)
        ticking(ticks, lambda: len(daemon.releases) > count + 2)


def test_a_refused_timer_ticks_on_at_its_own_points(daemon: PhaseDaemon) -> None:
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.refuse(1, "too many")
        ticking(ticks, lambda: ticks.status.attended_by == "nobody")
        assert ticks.status.reason == "too many"
        daemon.place(1, "slew", 0.005)
        daemon.order()
        assert {next(ticks).offset_seconds for _ in range(10)} == {0.0}
        assert ticks.status.attended_by == "nobody"


def test_a_hold_ends_in_steps_when_the_daemon_is_not_heard_any_more(daemon: PhaseDaemon) -> None:
    daemon.valid_for_seconds = 0.2
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
        daemon.place(1, "grant", 0.004)
        ticking(ticks, is_at(ticks, 0.004))
        given = ticking(ticks, is_at(ticks, 0.0))
        steps = [b.offset_seconds - a.offset_seconds for a, b in pairwise(given)]
        assert min(steps) == pytest.approx(-STEP)
        assert ticks.status.attended_by == "nobody"


def test_a_daemon_that_comes_back_finds_the_hold_and_the_timer_stays(socket: Path) -> None:
    before, after = PhaseDaemon(), PhaseDaemon()
    with flush() as ticks:
        with serve(socket, before):
            ticking(ticks, lambda: is_attended(ticks))
            before.place(1, "grant", 0.006)
            ticking(ticks, is_at(ticks, 0.006))
        with serve(socket, after):
            given = ticking(ticks, lambda: after.registrations)
            assert after.registrations[0].offset_seconds == pytest.approx(0.006)
            given += ticking(ticks, lambda: after.releases)
            assert {round(tick.offset_seconds, 9) for tick in given} == {0.006}


def test_a_daemon_that_starts_later_is_found(socket: Path) -> None:
    daemon = PhaseDaemon()
    with flush() as ticks:
        next(ticks)
        assert ticks.status.attended_by == "nobody"
        with serve(socket, daemon):
            ticking(ticks, lambda: is_attended(ticks))


def test_who_leaves_departs_and_who_comes_gets_a_key_of_its_own(daemon: PhaseDaemon) -> None:
    ticks = flush()
    ticking(ticks, lambda: daemon.registrations)
    del ticks
    gc.collect()
    daemon.until(lambda: daemon.departed == [1])
    with flush() as ticks:
        ticking(ticks, lambda: len(daemon.registrations) == 2)
    assert [each.key for each in daemon.registrations] == [1, 2]
    assert daemon.streams == 1


def test_all_timers_of_a_process_share_one_stream(daemon: PhaseDaemon) -> None:
    threads, timers = [], []
    for number in range(8):
        timer = resonance.every(PERIOD, name=f"in a thread {number}")
        timers.append(timer)
        threads.append(threading.Thread(target=_consume, args=(timer,)))
    for thread in threads:
        thread.start()

    async def tasks() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(_aconsume(resonance.every(PERIOD, name=f"in a task {number}")))

    async def _aconsume(timer: Timer) -> None:
        async for _ in timer:
            if len({each.key for each in daemon.releases}) == 16:
                return

    asyncio.run(tasks())
    for timer in timers:
        timer.close()
    for thread in threads:
        thread.join()
    assert daemon.streams == 1
    assert len({each.name for each in daemon.registrations}) == 16
    daemon.until(lambda: len(daemon.departed) == 16)


def _consume(timer: Timer) -> None:
    for _ in timer:
        pass


def test_many_timers_at_once_are_reported_in_small_messages(daemon: PhaseDaemon) -> None:
    everyone = [flush(name=f"{number:0128}") for number in range(300)]
    for ticks in everyone:
        next(ticks)
    daemon.until(lambda: len(daemon.registrations) == 300)
    assert daemon.largest_report <= 64 * 1024
    for ticks in everyone:
        ticks.close()
    daemon.until(lambda: len(daemon.departed) == 300)


def test_the_stream_ends_some_time_after_its_last_timer(
    daemon: PhaseDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resonance.periodic._wire._IDLE_SECONDS", 0.05)
    with flush() as ticks:
        ticking(ticks, lambda: is_attended(ticks))
    daemon.until(lambda: daemon.open_streams == 0)
    with flush() as ticks:
        ticking(ticks, lambda: len(daemon.registrations) == 2)
    assert daemon.streams == 2


def test_a_forked_child_registers_timers_of_its_own(daemon: PhaseDaemon, socket: Path) -> None:
    program = """
import os, resonance
ticks = iter(resonance.every(0.005, name="both", phase_free=True))
while ticks.status.attended_by != "daemon":
    next(ticks)
child = os.fork()
if not child:
    assert ticks.status.attended_by == "nobody"
    while ticks.status.attended_by != "daemon":
        next(ticks)
    ticks.close()
    os._exit(0)
waited = 0
while not waited:
    next(ticks)
    waited, status = os.waitpid(child, os.WNOHANG)
assert os.waitstatus_to_exitcode(status) == 0, status
assert ticks.status.attended_by == "daemon"
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"RESONANCE_HINTS_SOCKET": str(socket)},
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert len({each.pid for each in daemon.registrations}) == 2


def test_a_process_ends_at_once_and_without_a_word_while_its_timers_run(
    daemon: PhaseDaemon, socket: Path
) -> None:
    program = """
import threading, resonance
ticks = iter(resonance.every(0.005, name="it", phase_free=True))
while ticks.status.attended_by != "daemon":
    next(ticks)
def run():
    for _ in ticks:
        pass
threading.Thread(target=run, daemon=True).start()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"RESONANCE_HINTS_SOCKET": str(socket)},
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    daemon.until(lambda: daemon.open_streams == 0)


def test_a_daemon_without_the_service_is_none(socket: Path) -> None:
    from fakes.hint_daemon import HintDaemon, state
    from fakes.hint_daemon import serve as serve_hints

    with serve_hints(socket, HintDaemon([state()])), flush() as ticks:
        ticking(ticks, lambda: "another version" in ticks.status.reason)
        assert ticks.status.attended_by == "nobody"


def test_a_socket_nobody_listens_at_is_none(socket: Path) -> None:
    socket.touch()
    with flush() as ticks:
        ticking(ticks, lambda: str(socket) in ticks.status.reason)
        assert ticks.status.attended_by == "nobody"


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3_000, "x" * 120])
def test_a_path_at_which_nobody_can_listen_is_none(
    socket: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", f"/{name}")
    with flush() as ticks:
        assert {next(ticks).offset_seconds for _ in range(3)} == {0.0}
        assert ticks.status.attended_by == "nobody"
        assert ticks.status.reason
    assert resonance.next_valley() == 0.0


def test_a_directory_that_may_not_be_searched_is_none(socket: Path) -> None:
    """As somebody who is not root; root may search anything."""
    program = """
import os, grpc, resonance
# The code may lie where nobody but root can read it; gRPC reads some at the first channel.
import resonance.hints._wire, resonance.periodic._wire
grpc.insecure_channel("unix:/nowhere").close()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
ticks = iter(resonance.every(0.001, name="it"))
for _ in range(3):
    next(ticks)
print(ticks.status.reason)
assert resonance.next_valley() == 0.0
assert resonance.hints.connect().state() is None
"""
    if os.geteuid():
        program = program.replace("os.set", "# os.set")
    socket.parent.chmod(0o000)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"RESONANCE_HINTS_SOCKET": str(socket)},
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        socket.parent.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert "no daemon here" in done.stdout
