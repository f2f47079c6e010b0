# SPDX-License-Identifier: MIT
"""A small HTTP service, and its users.

``web serve SECONDS`` says its port, then answers each request with 0.3 ms of work. ``web ask PORT
SECONDS`` sends 300 requests a second at set moments, answered or not, and prints for each, as it
is answered, when it was due (CLOCK_MONOTONIC) and how long it took from then.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time

RATE_HZ = 300.0
WORK_SECONDS = 0.0003
CONNECTIONS = 32
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
QUESTION = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):  # a user who went away wants no answer
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            end = time.thread_time() + WORK_SECONDS
            while time.thread_time() < end:
                pass
            writer.write(ANSWER)
    writer.close()


async def _serve(seconds: float) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(seconds)


async def _ask(port: int, seconds: float) -> None:
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def ask(due: float) -> None:
        reader, writer = await free.get()
        writer.write(QUESTION)
        await reader.readexactly(len(ANSWER))
        print(f"{due:.6f} {time.monotonic() - due:.6f}", flush=True)
        free.put_nowait((reader, writer))

    start = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count():
            due = start + number / RATE_HZ
            if due >= start + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(ask(due))


def main() -> None:
    """Be one of the two."""
    if sys.argv[1] == "serve":
        asyncio.run(_serve(float(sys.argv[2])))
    else:
        asyncio.run(_ask(int(sys.argv[2]), float(sys.argv[3])))


if __name__ == "__main__":
    main()
