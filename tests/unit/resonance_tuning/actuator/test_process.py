# SPDX-License-Identifier: MIT
"""The real process, in shadow: it needs no privilege and has none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from resonance_tuning.actuator import wire
from resonance_tuning.actuator.process import BAD_CLIENT, NOT_STARTED
from resonance_tuning.settings import TuningSettings

MAX_RSS_KILOBYTES = 25 * 1_000_000 // 1024


class Process:
    """An actuator, and the raw other end of its connection."""

    def __init__(self, settings: TuningSettings) -> None:
        self.settings = settings
        self.connection, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(20)
        command = [sys.executable, "-m", "resonance_tuning.actuator", "--fd", str(its.fileno())]
        self.popen = subprocess.Popen(
            command, pass_fds=(its.fileno(),), stderr=subprocess.PIPE, text=True
        )
        its.close()
        self._lines = self.connection.makefile("rb")

    def send(self, *requests: wire.Request) -> None:
        self.connection.sendall(b"".join(map(wire.encode, requests)))

    def read(self) -> wire.Answer | wire.Event:
        return wire.decode_said(self._lines.readline())

    def begin(self) -> wire.Begun:
        self.send(wire.Begin(settings=self.settings, is_resident=True, is_shadow=True))
        begun = self.read()
        assert isinstance(begun, wire.Begun)
        return begun

    def close(self) -> None:
        self._lines.close()
        self.connection.close()

    def ended(self) -> tuple[int, str]:
        _, errors = self.popen.communicate(timeout=20)
        return self.popen.returncode, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def one() -> Process:
        settings = TuningSettings(journal_directory=str(tmp_path / "journal"))
        started.append(Process(settings))
        return started[-1]

    yield one
    for process in started:
        process.close()
        process.popen.kill()
        process.popen.communicate()


def test_it_ends_well_with_its_client(start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.close()
    assert process.ended() == (0, "")


def test_sigterm_ends_it_well(start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.popen.send_signal(signal.SIGTERM)
    assert process.ended() == (0, "")


def test_a_terminals_signals_are_not_for_it(start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.popen.send_signal(signal.SIGINT)
    process.popen.send_signal(signal.SIGHUP)
    process.send(wire.Live(2))
    assert process.read() == wire.Receipts(2, ())


def test_many_requests_at_once_are_answered_in_order(start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.send(*(wire.Live(number) for number in range(2, 50)))
    assert [process.read() for _ in range(2, 50)] == [
        wire.Receipts(number, ()) for number in range(2, 50)
    ]


@pytest.mark.parametrize(
    "raw",
    [b"nonsense\n", b'{"type":"write","id":2}\n', b"\0" * ((1 << 20) + 1)],
    ids=["nonsense", "unknown", "endless"],
)
def test_nonsense_ends_it_with_2(raw: bytes, start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.connection.sendall(raw)
    status, errors = process.ended()
    assert status == BAD_CLIENT
    assert errors.startswith("level=INFO event=client_refused reason=")
    assert errors.count("\n") == 1


def test_beginning_twice_ends_it_with_2(start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.send(wire.Begin(settings=process.settings, is_resident=True))
    assert process.ended()[0] == BAD_CLIENT


@pytest.mark.parametrize("first", [wire.Live(1), wire.Undo(1, (), "")])
def test_nothing_but_the_beginning_may_come_first(
    first: wire.Request, start: Callable[[], Process]
) -> None:
    process = start()
    process.send(first)
    assert process.ended() == (NOT_STARTED, "")


def test_a_client_that_ends_before_it_begins_is_no_crash(start: Callable[[], Process]) -> None:
    process = start()
    process.close()
    assert process.ended() == (NOT_STARTED, "")


def test_a_client_that_asks_too_much_and_does_not_read_holds_up_no_signal(
    start: Callable[[], Process],
) -> None:
    process = start()
    process.begin()
    process.connection.setblocking(False)
    flood = wire.encode(wire.PlanRequest(2)) * 10_000
    assert process.connection.send(flood) > 0
    time.sleep(0.2)
    process.popen.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.ended() == (0, "")
    assert time.monotonic() - started < 1.0


def test_it_is_small(start: Callable[[], Process]) -> None:
    process = start()
    process.begin()
    process.send(wire.PlanRequest(2))
    assert isinstance(process.read(), wire.Planned)
    status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii")
    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
    print(f"peak of resident memory: {kilobytes} kB")
    assert kilobytes <= MAX_RSS_KILOBYTES


@pytest.mark.parametrize("library", ["numpy", "grpc", "prometheus_client", "pyroute2", "asyncio"])
def test_it_loads_no_library_it_does_not_need(library: str) -> None:
    code = f"import resonance_tuning.actuator.process, sys; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_in_shadow_it_holds_no_capability_and_gains_none(start: Callable[[], Process]) -> None:
    process = start()
    assert process.begin().capabilities == ()
    lines = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    names = ["CapInh", "CapPrm", "CapEff", "CapAmb"] + ["CapBnd"] * (not os.geteuid())
    assert {name: int(status[name], 16) for name in names} == dict.fromkeys(names, 0)
    assert status["NoNewPrivs"] == "1"


def test_what_it_says_is_lines_of_json(start: Callable[[], Process]) -> None:
    process = start()
    process.send(wire.Begin(settings=process.settings, is_resident=True, is_shadow=True))
    answer = msgspec.json.decode(process._lines.readline())
    assert answer["type"] == "begun"
    assert answer["is_shadow"] is True
