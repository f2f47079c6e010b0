# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.changes import IDLE, PLAN
from resonance_tuning.actuator import async_link, link, wire
from resonance_tuning.actuator.async_link import AsyncActuator
from resonance_tuning.errors import ActuatorError, ActuatorRefusedError
from resonance_tuning.records import Receipt
from resonance_tuning.settings import TuningSettings

RECEIPT = Receipt(1, IDLE.setting, "applied", "1")
DRIFT = wire.Drifted((RECEIPT,))
Say = Callable[[socket.socket, wire.Request], None]


class Other(threading.Thread):
    """The actuator's end: answers as a test says, and remembers what it was asked."""

    def __init__(self, connection: socket.socket, say: Say) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.asked: list[wire.Request] = []
        self._say = say
        self.start()

    def run(self) -> None:
        with self.connection, self.connection.makefile("rb") as lines:
            for line in lines:
                request = wire.decode_request(line)
                self.asked.append(request)
                self._say(self.connection, request)


def _answer(connection: socket.socket, request: wire.Request) -> None:
    answer: wire.Answer
    match request:
        case wire.Begin():
            answer = wire.Begun(request.id, "boot", (), (), is_shadow=False)
        case wire.PlanRequest():
            answer = wire.Planned(request.id, PLAN)
        case wire.Undo():
            answer = wire.Failed(request.id, "no such disk", (RECEIPT,))
        case _:
            answer = wire.Receipts(request.id, (RECEIPT,))
    connection.sendall(wire.encode(DRIFT) + wire.encode(answer))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    yield ours, its
    ours.close()
    its.close()


@pytest.fixture
def actuator(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> Iterator[link.Actuator]:
    """A client whose actuator is a thread of ours."""
    ours, its = ends
    process = subprocess.Popen(["sleep", "0.01"])
    begun = wire.Begun(1, "boot", (), (), is_shadow=False)
    monkeypatch.setattr(link, "spawn", lambda *_, **__: (process, ours, begun))
    Other(its, _answer)
    with link.Actuator(TuningSettings()) as client:
        yield client


def test_its_process_can_be_watched(actuator: link.Actuator) -> None:
    assert Path(f"/proc/{actuator.pid}").exists()


def test_each_question_gets_its_answer_and_events_are_passed_over(
    actuator: link.Actuator,
) -> None:
    assert actuator.plan() == PLAN
    assert actuator.apply([IDLE.setting], "reason") == [RECEIPT]
    assert actuator.verify() == actuator.live() == [RECEIPT]


def test_a_refusal_is_an_error_with_its_receipts(actuator: link.Actuator) -> None:
    with pytest.raises(ActuatorRefusedError, match="^no such disk$") as caught:
        actuator.undo([], "reason")
    assert caught.value.receipts == (RECEIPT,)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.receipts) == (str(caught.value), (RECEIPT,))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "it is gone"),
        (b"nonsense\n", "it speaks nonsense"),
        (wire.encode(wire.Planned(2, PLAN)), "it answers what was not asked"),
    ],
)
def test_an_actuator_that_is_broken_is_an_error(
    said: bytes, reason: str, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, its = ends

    def break_off(connection: socket.socket, request: wire.Request) -> None:
        connection.sendall(said.replace(b'"id":2', b'"id":%d' % request.id))
        connection.shutdown(socket.SHUT_RDWR)

    Other(its, break_off)
    conversation = link._Conversation(ours)
    with pytest.raises(ActuatorError, match=reason):
        link.receipts_of(conversation.ask(wire.Verify(1)))


def test_one_that_does_not_answer_is_not_waited_for_for_ever(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "TIMEOUT_SECONDS", 0.05)
    with pytest.raises(ActuatorError, match="no answer"):
        link._Conversation(ends[0]).ask(wire.Verify(1))


def test_a_real_one_begins_in_shadow_holds_nothing_and_ends_with_its_client(
    tmp_path: Path,
) -> None:
    settings = TuningSettings(journal_directory=str(tmp_path / "journal"))
    with link.Actuator(settings, is_resident=True, is_shadow=True) as actuator:
        assert actuator.begun.is_shadow
        assert actuator.begun.capabilities == ()
        assert actuator.plan().profile == settings.profile
        assert actuator.live() == []
    assert actuator._process.returncode == 0


def test_a_real_one_that_cannot_begin_says_why_and_is_gone(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    settings = TuningSettings(profile="no-such", journal_directory=str(tmp_path / "journal"))
    with pytest.raises(ActuatorRefusedError, match="no such profile"):
        link.spawn(settings, is_resident=True, is_shadow=True)
    assert os.listdir("/proc/self/fd") == before


# ---- on an event loop ------------------------------------------------------------------------


async def test_on_a_loop_each_question_gets_its_answer_and_events_are_told(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    events: list[wire.Event] = []
    other = Other(ends[1], _answer)
    actuator = AsyncActuator(ends[0], events.append)
    plan, applied, verified, live, _ = await asyncio.gather(
        actuator.plan(),
        actuator.apply([IDLE.setting], "reason"),
        actuator.verify(),
        actuator.live(),
        actuator.record("verdict", {"gain": 0.5}),
    )
    assert (plan, applied, verified, live) == (PLAN, [RECEIPT], [RECEIPT], [RECEIPT])
    assert events == [DRIFT] * 5
    with pytest.raises(ActuatorRefusedError):
        await actuator.undo([], "reason")
    assert len({request.id for request in other.asked}) == 6
    actuator.close()


async def test_on_a_loop_its_end_is_told_once_and_fails_what_waits(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ended: list[bool] = []
    actuator = AsyncActuator(ends[0], _never, lambda: ended.append(True))
    question = asyncio.create_task(actuator.verify())
    await asyncio.sleep(0.01)
    ends[1].close()
    with pytest.raises(ActuatorError, match="gone"):
        await question
    with pytest.raises(ActuatorError, match="gone"):
        await actuator.plan()
    assert ended == [True]
    actuator.close()
    assert ended == [True]


async def test_on_a_loop_nonsense_is_its_end(ends: tuple[socket.socket, socket.socket]) -> None:
    ended = asyncio.Event()
    actuator = AsyncActuator(ends[0], _never, ended.set)
    ends[1].sendall(b"nonsense\n")
    async with asyncio.timeout(10):
        await ended.wait()
    actuator.close()


async def test_on_a_loop_no_answer_is_an_error_and_a_late_one_is_passed_over(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_link, "TIMEOUT_SECONDS", 0.05)
    asked: list[wire.Request] = []
    Other(ends[1], lambda _, request: asked.append(request))
    actuator = AsyncActuator(ends[0], _never)
    with pytest.raises(ActuatorError, match="no answer"):
        await actuator.verify()
    ends[1].sendall(wire.encode(wire.Receipts(asked[0].id, ())))
    await asyncio.sleep(0.01)
    actuator.close()


def _never(event: wire.Event) -> None:
    raise AssertionError(event)
