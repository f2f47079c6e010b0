# SPDX-License-Identifier: MIT
"""Many clients of one server: ``python -m storm.clients SCENE``, tells what became of the calls.

Open loop: each client begins its calls at moments drawn beforehand (Poisson), whatever has
become of those before, as the users of a service do. The moments are the same in every arm.
An attempt that is given up is taken back only where the scene says so.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from asyncio import Future, StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from time import monotonic

from .arms import ARMS, TIMEOUT_SECONDS, Call
from .frames import Frame, Kind, frames, pack, worked
from .goodput import Told

__all__ = ["Connection", "Crowd", "RefusedError", "moments"]

_PAYLOAD = bytes(32)


class RefusedError(Exception):
    """The server said that it cannot."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who calls whom, when and how.

    Attributes
    ----------
    arm : str
    port : int
    seed : int
    clients : int
    rate_hz : float
        Of all clients together.
    begin_at, end_at : float
        On the monotonic clock in seconds. What is under way at the end gets no result.
    withdraws : bool
        What is given up is taken back from the server's queue.
    """

    arm: str
    port: int
    seed: int
    clients: int
    rate_hz: float
    begin_at: float
    end_at: float
    withdraws: bool = False


class Connection:
    """A connection with any number of requests under way."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, *, withdraws: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._withdraws = withdraws
        self._waiting: dict[int, Future[Frame]] = {}
        self._number = 0
        self._answer = worked(_PAYLOAD)

    async def request(self) -> None:
        """Send a request and wait for its answer.

        Raises
        ------
        RefusedError, TimeoutError
        """
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(pack(Frame(number, Kind.REQUEST, _PAYLOAD)))
            async with asyncio.timeout(TIMEOUT_SECONDS):
                frame = await answer
        except TimeoutError:
            if self._withdraws:
                self._writer.write(pack(Frame(number, Kind.WITHDRAWN, _PAYLOAD)))
            raise
        finally:
            del self._waiting[number]
        if frame.kind is Kind.REFUSED:
            raise RefusedError
        if frame.payload != self._answer:
            raise RuntimeError("the server did not do the work")

    async def listen(self) -> None:
        """Hand out the answers, until the connection ends."""
        received = bytearray()
        while chunk := await self._reader.read(1 << 16):
            received += chunk
            for frame in frames(received):
                answer = self._waiting.get(frame.number)
                if answer is not None and not answer.done():
                    answer.set_result(frame)

    async def close(self) -> None:
        """End it."""
        self._writer.close()
        with suppress(ConnectionError):  # answers were under way
            await self._writer.wait_closed()


def moments(crowd: Crowd, client: int) -> Iterator[float]:
    """Draw when a client begins its calls; the same for every arm."""
    draw = random.Random(f"{crowd.seed} {client}")
    at = crowd.begin_at
    while (at := at + draw.expovariate(crowd.rate_hz / crowd.clients)) < crowd.end_at:
        yield at


class _Client:
    """One client: its connection, its calls, and whatever its library keeps between them."""

    def __init__(self, call: Call, connection: Connection) -> None:
        self._call = call
        self._connection = connection
        self.calls: list[Told] = []
        self.late_seconds: list[float] = []

    async def run(self, crowd: Crowd, client: int) -> None:
        """Begin all calls, and end those that are under way at the end."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._connection.listen())]
            for at in moments(crowd, client):
                await asyncio.sleep(at - monotonic())
                self.late_seconds.append(monotonic() - at)
                tasks.append(group.create_task(self._one(at)))
            await asyncio.sleep(crowd.end_at - monotonic())
            for task in tasks:
                task.cancel()
        await self._connection.close()

    async def _one(self, begun_at: float) -> None:
        attempts: list[float] = []

        async def once() -> None:
            attempts.append(monotonic())
            await self._connection.request()

        is_good = False
        try:
            await self._call(once)
            is_good = True
        except (RefusedError, TimeoutError):
            pass  # which is what is counted
        finally:
            self.calls.append(Told(begun_at, monotonic(), is_good, tuple(attempts)))


async def _main(crowd: Crowd) -> None:
    async with AsyncExitStack() as stack:
        clients: list[_Client] = []
        for _ in range(crowd.clients):
            reader, writer = await asyncio.open_connection("127.0.0.1", crowd.port)
            call = await ARMS[crowd.arm](stack)
            connection = Connection(reader, writer, withdraws=crowd.withdraws)
            clients.append(_Client(call, connection))
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(client.run(crowd, number))
    late = [each for client in clients for each in client.late_seconds]
    calls = [told for client in clients for told in client.calls]
    print(json.dumps({"late_seconds": late, "calls": calls}))


if __name__ == "__main__":
    asyncio.run(_main(Crowd(**json.loads(sys.argv[1]))))
