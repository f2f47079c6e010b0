# SPDX-License-Identifier: MIT
"""A replica of a small HTTP service, and the neighbour that disturbs it.

``replica serve SECONDS`` says its port, then answers each request with 3 ms of work. ``replica
disturb SECONDS`` has twelve processes compute together for 0.15 s, on every other second that
the clock of the machine tells, so that neighbours of several replicas come together as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import Final

WORK_SECONDS: Final = 0.003
PERIOD_SECONDS: Final = 2.0
"""So seldom that few requests are slow, even where all three replicas have neighbours."""
BURST_SECONDS: Final = 0.15
"""Shorter than what ejects a replica as starved."""
NEIGHBOURS: Final = 12
"""So many more than CPUs that a request waits for its turn several times."""
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def compute(seconds: float) -> None:
    """Use so much CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):  # who had an answer elsewhere wants none here
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            compute(WORK_SECONDS)
            writer.write(ANSWER)
    writer.close()


async def _serve(seconds: float) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(seconds)


def _disturb(seconds: float) -> None:
    first = os.getpid()
    for _ in range(NEIGHBOURS - 1):
        if not os.fork():
            break
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(PERIOD_SECONDS - time.time() % PERIOD_SECONDS)
        if first not in {os.getpid(), os.getppid()}:
            return  # nobody ends the others with the first
        until = time.monotonic() + BURST_SECONDS
        while time.monotonic() < until:
            pass


def main() -> None:
    """Be one of the two."""
    seconds = float(sys.argv[2])
    if sys.argv[1] == "serve":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(_serve(seconds))
    else:
        _disturb(seconds)


if __name__ == "__main__":
    main()
