# SPDX-License-Identifier: MIT
"""The parts of the storm bench: what a client may send, and what its server does with it."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf

import pytest

from bench.storm.arms import ARMS, ATTEMPTS
from bench.storm.clients import Connection, Crowd, RefusedError, moments
from bench.storm.frames import Frame, Kind, frames, pack, worked
from bench.storm.server import Server

PAYLOAD = bytes(range(32))


@asynccontextmanager
async def _connected(server: Server, *, withdraws: bool = False) -> AsyncIterator[Connection]:
    """Connect a client to a server with one slot."""
    has_ended = asyncio.Event()

    async def receive(reader: StreamReader, writer: StreamWriter) -> None:
        await server.receive(reader, writer)
        await writer.wait_closed()
        has_ended.set()

    listening = await asyncio.start_server(receive, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port), withdraws=withdraws)
    tasks = [asyncio.create_task(each) for each in (server.serve(), connection.listen())]
    try:
        yield connection
    finally:
        for task in tasks:
            task.cancel()
        await connection.close()
        await has_ended.wait()
        listening.close()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let back-off take no time."""
    sleep = asyncio.sleep

    async def at_once(_: float, result: object = None) -> object:
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", at_once)


def test_frames_come_out_whole_however_they_came_in() -> None:
    sent = [Frame(1, Kind.REQUEST, PAYLOAD), Frame(2, Kind.SERVED, worked(PAYLOAD))]
    received, came = bytearray(), list[Frame]()
    for byte in b"".join(map(pack, sent)):
        received.append(byte)
        came += frames(received)
    assert came == sent
    assert not received


def test_all_arms_begin_their_calls_at_the_same_moments() -> None:
    first, second = (Crowd(arm, 1, 7, 20, 75.0, 10.0, 20.0) for arm in ("no retry", "ours"))
    drawn = [list(moments(first, client)) for client in range(20)]
    assert drawn == [list(moments(second, client)) for client in range(20)]
    assert 600 < sum(map(len, drawn)) < 900
    assert all(10.0 < at < 20.0 for each in drawn for at in each)


@pytest.mark.parametrize(
    ("arm", "allowed"),
    [(arm, {"no retry": 1, "stamina": 10}.get(arm, ATTEMPTS)) for arm in ARMS],
)
async def test_each_arm_makes_the_attempts_it_is_said_to_make(
    arm: str, allowed: int, no_pauses: None
) -> None:
    attempts = 0

    async def once() -> None:
        nonlocal attempts
        attempts += 1
        raise RefusedError

    async with AsyncExitStack() as stack:
        call = await ARMS[arm](stack)
        with pytest.raises(RefusedError):
            await call(once)
    assert attempts == allowed


async def test_the_server_does_the_work() -> None:
    async with _connected(Server()) as connection:
        await connection.request()


async def test_while_it_is_out_it_refuses_and_ignores_by_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.storm.clients.TIMEOUT_SECONDS", 0.01)
    async with _connected(Server(-inf, inf)) as connection:
        for _ in range(2):
            with pytest.raises(RefusedError):
                await connection.request()
            with pytest.raises(TimeoutError):
                await connection.request()


@pytest.mark.parametrize(("withdraws", "served"), [(False, 2), (True, 1)])
async def test_what_is_given_up_is_served_unless_it_is_taken_back(
    withdraws: bool, served: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, held = Server(), asyncio.Event()

    async def slot() -> None:
        await held.wait()
        await Server.serve(server)

    monkeypatch.setattr(server, "serve", slot)
    monkeypatch.setattr("bench.storm.clients.TIMEOUT_SECONDS", 0.01)
    async with _connected(server, withdraws=withdraws) as connection:
        with pytest.raises(TimeoutError):
            await connection.request()
        monkeypatch.setattr("bench.storm.clients.TIMEOUT_SECONDS", 60.0)
        last = asyncio.create_task(connection.request())
        while server._queue.qsize() < 2:  # noqa: ASYNC110 - the queue tells nobody
            await asyncio.sleep(0)
        held.set()
        await last
    assert len(server.late_seconds) == served
