# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from prometheus_client import REGISTRY

from fakes.snapshots import WEB, snapshot
from resonance_api.hints.v1.hints_pb2 import WatchResponse
from resonanced.hints.messages import Header, Publication, Question
from resonanced.hints.streams import Board

HEADER = Header(1, 0.5, 10.0, "core", "core", "v2")
LONG = 1_000.0


def publication(sequence: int, *, pressure: float | None = None) -> Publication:
    values: dict[str, Any] = {"sequence": sequence}
    if pressure is not None:
        values["pressure"] = np.full(64, pressure)
    return Publication(snapshot(**values), HEADER)


class Reader:
    """A reader that takes a message whenever the test lets it."""

    def __init__(self) -> None:
        self.messages: list[WatchResponse] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def write(self, message: bytes) -> None:
        self.messages.append(WatchResponse.FromString(message))
        await self.may_go_on.wait()

    @property
    def sequences(self) -> list[int]:
        return [message.state.sequence for message in self.messages]


@asynccontextmanager
async def following(
    board: Board, question: Question | None = None, interval_seconds: float = 1e-6
) -> AsyncIterator[Reader]:
    reader = Reader()
    stream = asyncio.create_task(
        board.follow(question or Question(), interval_seconds, reader.write)
    )
    await settle()
    yield reader
    reader.may_go_on.set()
    board.close()
    await stream


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.001)


def dropped() -> float:
    return REGISTRY.get_sample_value("resonance_hints_dropped_total") or 0.0


async def test_the_state_comes_first_and_then_each_change() -> None:
    board = Board(LONG)
    board.put(publication(1, pressure=0.1))
    async with following(board) as reader:
        assert reader.sequences == [1]
        board.put(publication(2, pressure=0.2))
        await eventually(lambda: reader.sequences == [1, 2])
    assert not any(message.is_heartbeat for message in reader.messages)


async def test_who_comes_before_the_first_state_waits_for_it() -> None:
    board = Board(LONG)
    async with following(board) as reader:
        assert reader.messages == []
        board.put(publication(1))
        await eventually(lambda: reader.sequences == [1])


async def test_what_did_not_change_is_not_sent() -> None:
    board = Board(LONG)
    board.put(publication(1, pressure=0.1))
    async with following(board) as reader:
        board.put(publication(2, pressure=0.1))
        await settle()
        assert reader.sequences == [1]


async def test_a_change_of_others_is_not_sent() -> None:
    board = Board(LONG)
    board.put(publication(1, pressure=0.1))
    async with following(board, Question(("/nothing",))) as reader:
        board.put(publication(2, pressure=0.9))
        await settle()
        assert reader.sequences == [1]


async def test_silence_is_broken_by_heartbeats_with_the_newest_reading() -> None:
    board = Board(0.3)
    board.put(publication(1, pressure=0.1))
    async with following(board) as reader:
        board.put(publication(2, pressure=0.1))
        await eventually(lambda: len(reader.messages) > 2)
    assert [message.is_heartbeat for message in reader.messages[:3]] == [False, True, True]
    assert reader.sequences[1] == 2
    assert reader.messages[1].state.cgroups[1].cgroup == WEB.cgroup


async def test_a_slow_reader_gets_the_latest_and_its_losses_are_counted() -> None:
    board = Board(LONG)
    board.put(publication(1, pressure=0.01))
    before = dropped()
    async with following(board) as reader:
        reader.may_go_on.clear()
        board.put(publication(2, pressure=0.02))
        await eventually(lambda: reader.sequences == [1, 2])
        for sequence in range(3, 53):
            board.put(publication(sequence, pressure=sequence / 100))
            await asyncio.sleep(0)
        reader.may_go_on.set()
        await eventually(lambda: reader.sequences == [1, 2, 52])
    assert dropped() - before == 49


async def test_changes_within_the_interval_are_one_message() -> None:
    board = Board(LONG)
    board.put(publication(1, pressure=0.01))
    async with following(board, interval_seconds=0.2) as reader:
        for sequence in range(2, 12):
            board.put(publication(sequence, pressure=sequence / 100))
        await eventually(lambda: reader.sequences == [1, 11])


async def test_what_nobody_asks_for_is_not_built() -> None:
    board = Board(LONG)
    idle = publication(1), publication(2)
    for each in idle:
        board.put(each)
    assert not any(each.asked for each in idle)


async def test_what_the_last_one_was_asked_is_made_ready_once_and_not_for_ever() -> None:
    board = Board(LONG)
    asked, next_one, after = publication(1), publication(2), publication(3)
    board.put(asked)
    asked.answer(Question())
    board.put(next_one)
    assert next_one.is_ready(Question())
    board.put(after)
    assert not after.is_ready(Question())


async def test_streams_are_counted_until_they_end() -> None:
    board = Board(LONG)
    async with following(board), following(board):
        assert board.streams == 2
    assert board.streams == 0
