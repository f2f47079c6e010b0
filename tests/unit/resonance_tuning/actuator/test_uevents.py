# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from resonance_tuning.actuator.uevents import CpuEvent, Uevents, parse


@pytest.mark.parametrize(
    ("action", "meaning"),
    [("online", "online"), ("offline", "offline"), ("add", "online"), ("remove", "offline")],
)
def test_a_cpu_that_comes_or_goes_is_told_with_its_number(action: str, meaning: str) -> None:
    packet = f"{action}@/devices/system/cpu/cpu13\0ACTION={action}\0SUBSYSTEM=cpu\0".encode()
    event = parse(packet)
    assert event is not None
    assert (event.cpu, event.action) == (13, meaning)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        b"offline",
        b"offline@/devices/system/cpu/cpu",
        b"offline@/devices/system/cpu/cpufreq",
        b"offline@/devices/system/memory/memory1",
        b"change@/devices/system/cpu/cpu1",
        b"offline@/devices/virtual/evil/devices/system/cpu/cpu1",
        b"\xff\xfe@\xff/cpu1",
    ],
)
def test_anything_else_says_nothing_of_a_cpu(packet: bytes) -> None:
    assert parse(packet) is None


class _Announcements:
    """A netlink socket that gives what it is told to."""

    def __init__(self, *received: tuple[bytes, tuple[int, int]] | OSError) -> None:
        self._received: Iterator[tuple[bytes, tuple[int, int]] | OSError] = iter(received)

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
        answer = next(self._received, BlockingIOError())
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self) -> None:
        pass


def _hear(
    monkeypatch: pytest.MonkeyPatch, *received: tuple[bytes, tuple[int, int]] | OSError
) -> tuple[list[CpuEvent], bool]:
    uevents = Uevents()
    uevents.close()
    monkeypatch.setattr(uevents, "_socket", _Announcements(*received))
    return uevents.take()


OFFLINE = b"offline@/devices/system/cpu/cpu1\0"


def test_only_the_kernel_itself_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = _hear(monkeypatch, (OFFLINE, (4_711, 1)), (OFFLINE, (0, 1)))
    assert heard == ([CpuEvent(1, "offline")], False)


def test_lost_announcements_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = _hear(monkeypatch, OSError(errno.ENOBUFS, "full"), (OFFLINE, (0, 1)))
    assert heard == ([CpuEvent(1, "offline")], True)


def test_a_broken_socket_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="bad"):
        _hear(monkeypatch, OSError(errno.EBADF, "bad"))


def test_without_privilege_the_kernel_is_heard() -> None:
    uevents = Uevents()
    assert uevents.take() == ([], False)
    uevents.close()
