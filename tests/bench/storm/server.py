# SPDX-License-Identifier: MIT
"""A server that can do so much and no more: ``python -m storm.server``, ends with its input.

It has some slots, and one FIFO queue in front of them. A request takes a slot for a fixed time
by the clock, with real work in it; so the capacity is what it is said to be however busy the
machine is, and the load the same share of it in every arm. A slot that is woken late does not
lose that time. Whether somebody still waits for an answer the server does not know, as most
servers do not: what was abandoned in the queue takes its slot like everything else, unless the
client takes it back.

While it is out, what arrives is by turns refused with an error at once and never answered.

Says its port when it listens, then reads when it is out; tells at the end how late answers were.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import Queue, StreamReader, StreamWriter
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Final

from .frames import Frame, Kind, frames, pack, worked

__all__ = ["CAPACITY_HZ", "SERVICE_SECONDS", "Server"]

SLOTS: Final = 2
SERVICE_SECONDS: Final = 0.020
CAPACITY_HZ: Final = SLOTS / SERVICE_SECONDS


class Server:
    """The slots, the queue before them and the outage.

    Parameters
    ----------
    out_from, out_until : float
        When it is out, on the monotonic clock in seconds.

    Attributes
    ----------
    late_seconds : list of float
        How long after the end of its slot each answer was sent.
    """

    def __init__(self, out_from: float = inf, out_until: float = inf) -> None:
        self.out_from = out_from
        self.out_until = out_until
        self.late_seconds: list[float] = []
        self._is_ignored = False
        self._queue: Queue[tuple[float, Frame, StreamWriter]] = Queue()
        self._withdrawn: set[tuple[StreamWriter, int]] = set()

    async def receive(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Take the requests of a connection until it ends."""
        received = bytearray()
        with suppress(ConnectionError):  # the end, where answers are under way to it
            while chunk := await reader.read(1 << 16):
                received += chunk
                for frame in frames(received):
                    if frame.kind is Kind.WITHDRAWN:
                        self._withdrawn.add((writer, frame.number))
                    else:
                        self._take(frame, writer)
        writer.close()

    def _take(self, request: Frame, writer: StreamWriter) -> None:
        now = monotonic()
        if not self.out_from <= now < self.out_until:
            self._queue.put_nowait((now, request, writer))
            return
        if not self._is_ignored:
            writer.write(pack(request._replace(kind=Kind.REFUSED)))
        self._is_ignored = not self._is_ignored

    async def serve(self) -> None:
        """Be one slot, for ever."""
        free_at = -inf
        while True:
            arrived_at, request, writer = await self._queue.get()
            if (writer, request.number) in self._withdrawn:
                continue
            free_at = max(free_at, arrived_at) + SERVICE_SECONDS
            answer = Frame(request.number, Kind.SERVED, worked(request.payload))
            await asyncio.sleep(free_at - monotonic())
            self.late_seconds.append(monotonic() - free_at)
            if not writer.is_closing():
                writer.write(pack(answer))


async def _main() -> None:
    server = Server()
    listening = await asyncio.start_server(server.receive, "127.0.0.1", 0)
    slots = [asyncio.create_task(server.serve()) for _ in range(SLOTS)]
    print(listening.sockets[0].getsockname()[1], flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    server.out_from, server.out_until = map(float, line.split())
    await asyncio.to_thread(sys.stdin.read)
    for slot in slots:
        slot.cancel()
    listening.close()
    print(json.dumps({"late_seconds": server.late_seconds}))


if __name__ == "__main__":
    asyncio.run(_main())
