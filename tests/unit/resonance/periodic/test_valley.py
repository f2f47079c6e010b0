# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resonance
from fakes.hint_daemon import HintDaemon, serve, state
from resonance.periodic._valley import Profile
from resonance_api.hints.v1 import hints_pb2

TENTHS = Profile([0.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0], 100.0, 1.0)

levels = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=64)
times = st.floats(0.0, 1e6)


def test_in_a_valley_there_is_nothing_to_wait_for() -> None:
    assert TENTHS.valley(100.75, 0.5) == (0.0, pytest.approx(0.35))
    assert TENTHS.delay(100.75, 0.5) == 0.0


def test_the_next_valley_is_waited_for() -> None:
    assert TENTHS.valley(200.15, 1.0) == pytest.approx((0.45, 0.95))
    assert {0.45 <= TENTHS.delay(200.15, 1.0) <= 0.95 for _ in range(100)} == {True}


def test_a_valley_too_far_ahead_is_not_but_the_lowest_until_then_is() -> None:
    assert TENTHS.valley(100.15, 0.3) == pytest.approx((0.25, 0.3))
    assert TENTHS.valley(100.15, 0.01) == (0.0, pytest.approx(0.01))


@pytest.mark.parametrize("within", [1e308, math.inf])
def test_who_may_wait_for_ever_waits_for_the_next_valley(within: float) -> None:
    assert TENTHS.valley(200.15, within) == TENTHS.valley(200.15, 1.0)


def test_what_is_nearly_as_low_is_as_low() -> None:
    profile = Profile([10.0, 0.4, 0.0, 10.0], 0.0, 0.4)
    assert profile.valley(0.0, 1.0) == pytest.approx((0.1, 0.3))


@pytest.mark.parametrize(
    "profile",
    [
        Profile([], 0.0, 1.0),
        Profile([1.0, 0.0], 0.0, 0.0),
        Profile([math.inf, math.inf], 0.0, 1.0),
        Profile([1.0, math.nan, 0.0], 0.0, 1.0),
        Profile([1.0, 0.0], 0.0, math.inf),
        Profile([1.0, 0.0], 0.0, 1e-300),
        Profile([1.0, 0.0], 0.0, 5e-324),
    ],
)
def test_what_is_not_known_is_not_waited_for(profile: Profile) -> None:
    assert profile.delay(0.2, 1.0) == 0.0


@pytest.mark.parametrize("within", [0.0, -1.0, math.nan])
def test_who_cannot_wait_does_not(within: float) -> None:
    assert TENTHS.delay(100.15, within) == 0.0


@given(levels, times, st.floats(1e-3, 1e3), times, st.floats(0.0, 10.0))
def test_no_wait_is_longer_than_allowed(
    backlog: list[float], origin: float, period: float, now: float, within: float
) -> None:
    begin, end = Profile(backlog, origin, period).valley(now, within)
    assert 0.0 <= begin <= end <= within


@given(levels, st.integers(0, 6_399), st.integers(0, 6_400))
def test_it_is_as_low_as_anything_that_lies_ahead(
    backlog: list[float], now: int, within: int
) -> None:
    part = 1.6 / len(backlog)
    # Between two multiples of a hundredth of a part, so that no time is at its edge.
    now_seconds, within_seconds = 7.0 + (now + 0.5) * part / 100, within * part / 100
    ours, _ = Profile(backlog, 7.0, 1.6).valley(now_seconds, within_seconds)
    first = now + 0.5
    ahead = [int(first + step) // 100 for step in range(math.ceil(within) + 1)]
    lowest = min(backlog[place % len(backlog)] for place in ahead)
    low = backlog[int((now_seconds - 7.0 + ours) / part + 1e-6) % len(backlog)]
    assert low <= lowest + 0.05 * (max(backlog) - min(backlog)) + 1e-12


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    socket = tmp_path / "hints.sock"
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", str(socket))
    return socket


def test_without_a_daemon_nothing_is_waited_for(socket: Path) -> None:
    assert resonance.next_valley() == 0.0
    socket.touch()
    assert resonance.next_valley() == 0.0


class Listening(HintDaemon):
    """A daemon that sends its first state to each watcher, and stays."""

    def Watch(self, request: object, context: object) -> object:  # noqa: N802 - gRPC's name
        yield hints_pb2.WatchResponse(state=self.states[0])
        while context.is_active():  # type: ignore[attr-defined]
            time.sleep(0.01)


def test_a_daemon_is_listened_to_and_a_child_listens_for_itself(socket: Path) -> None:
    rhythm = hints_pb2.Rhythm(
        mode="observe",
        profile_seconds=[1.0] * 63 + [0.0],
        profile_origin_ns=time.monotonic_ns(),
        profile_period_seconds=3600.0,
    )
    program = """
import os, time, resonance
def wait():
    while not (delay := resonance.next_valley(within=7200.0)):
        time.sleep(0.01)
    assert 3500.0 < delay <= 3600.0, delay
wait()
child = os.fork()
wait()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
os._exit(0)
"""
    now = state(rhythm=rhythm, monotonic_ns=time.monotonic_ns(), valid_for_seconds=60.0)
    with serve(socket, Listening([now])):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=os.environ)
