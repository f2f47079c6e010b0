# SPDX-License-Identifier: MIT
"""What the kernel says of a process that sends, and waits that are exact."""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections.abc import Callable, Iterable

import pytest

from resonance.bench.load import waits
from resonance.bench.load.realtime import Overseer
from resonance.bench.load.sheets import Counter

SECOND = 1_000_000_000


def overseen(
    monkeypatch: pytest.MonkeyPatch, looks: Iterable[tuple[float, float, int]], warm_up: float = 0.0
) -> memoryview[int]:
    """Have the kernel say so much CPU, so much waiting and so many stalls, second by second."""
    counters = memoryview(array("q", bytes(8 * len(Counter))))
    counters[Counter.IS_REALTIME] = 1
    overseer = Overseer(counters, int(warm_up * SECOND))
    said = iter(looks)

    def look(now: int) -> object:
        cpu, wait, stalls = next(said)
        kind = type(overseer._first)
        return kind(now, int(cpu * SECOND), int(wait * SECOND), stalls)

    monkeypatch.setattr(overseer, "_look", look)
    overseer.begin()
    for second in range(1, 4):
        overseer.look(second * SECOND)
    return counters


def test_a_busy_process_that_was_kept_from_the_cpu_was_throttled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counters = overseen(monkeypatch, [(0, 0, 0), (0.5, 0, 0), (1.45, 0.05, 0), (2.0, 0.05, 0)])
    assert counters[Counter.IS_THROTTLED]
    assert counters[Counter.HIGHEST_CPU_PERMILLE] == 950
    assert counters[Counter.WAIT_NS] == 50_000_000


@pytest.mark.parametrize(
    "looks",
    [
        [(0, 0, 0), (0.95, 0.001, 0), (1.9, 0.002, 0), (2.8, 0.003, 0)],
        [(0, 0, 0), (0.5, 0.3, 1), (1.0, 0.6, 2), (1.5, 0.9, 3)],
    ],
)
def test_busy_or_kept_alone_is_not_throttled(
    monkeypatch: pytest.MonkeyPatch, looks: list[tuple[float, float, int]]
) -> None:
    assert not overseen(monkeypatch, looks)[Counter.IS_THROTTLED]


def test_the_warm_up_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [(0.0, 0.0, 0), (0.9, 0.09, 9), (1.0, 0.1, 9), (1.5, 0.1, 9)]
    counters = overseen(monkeypatch, looks, warm_up=2.0)
    assert counters[Counter.STALLS] == 0
    assert counters[Counter.CPU_NS] == pytest.approx(0.6 * SECOND)
    assert counters[Counter.TIME_NS] == 2 * SECOND


@pytest.mark.parametrize("make", [waits._exact, waits._selecting])
def test_a_wait_ends_with_bytes_or_with_its_time(
    make: Callable[[select.epoll], waits.Wait | None],
) -> None:
    ways = [socket.socketpair() for _ in range(3)]
    with select.epoll() as epoll:
        for _, there in ways:
            epoll.register(there, select.EPOLLIN)
        wait = make(epoll)
        if wait is None:
            pytest.skip("this kernel or C library has no epoll_pwait2")
        begun = time.monotonic_ns()
        assert wait(3_000_000) == []
        assert time.monotonic_ns() - begun >= 3_000_000
        assert wait(-5) == []
        ways[1][0].send(b"x")
        assert wait(60 * SECOND) == [(ways[1][1].fileno(), select.EPOLLIN)]
        ways[2][0].send(b"x")
        assert sorted(wait(0)) == sorted((there.fileno(), select.EPOLLIN) for _, there in ways[1:])
    for here, there in ways:
        here.close()
        there.close()
