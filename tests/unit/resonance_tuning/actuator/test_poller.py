# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator

import pytest

from resonance_tuning.actuator.poller import Poller, Wakeup


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


def test_whoever_waits_is_called_with_what_has_happened(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    poller, seen = Poller(), list[int]()
    poller.add(ends[0], seen.append)
    poller.wait(0)
    assert seen == []
    ends[1].send(b"x")
    poller.wait(5)
    assert seen == [select.POLLIN]
    poller.change(ends[0], select.POLLOUT)
    poller.wait(5)
    assert seen[1:] == [select.POLLOUT]


def test_one_that_another_has_just_removed_is_not_called(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    poller, seen = Poller(), list[str]()

    def first(_mask: int) -> None:
        seen.append("first")
        poller.remove(ends[1])

    poller.add(ends[0], first, select.POLLOUT)
    poller.add(ends[1], lambda _mask: seen.append("second"), select.POLLOUT)
    poller.wait(5)
    assert seen == ["first"]


def test_sigterm_wakes_and_a_terminals_signals_do_nothing() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    wakeup, poller, woken = Wakeup(), Poller(), list[int]()
    try:
        poller.add(wakeup, woken.append)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        poller.wait(0.05)
        assert woken == []
        os.kill(os.getpid(), signal.SIGTERM)
        poller.wait(5)
        assert woken == [select.POLLIN]
    finally:
        wakeup.close()
        for number, handler in before.items():
            signal.signal(number, handler)
