# SPDX-License-Identifier: MIT
"""Many applications that follow the state: ``watchers.py SOCKET COUNT``, ends with its input.

A process of its own, so that what it does with the states is not in the way of the bench.
Says ``ready`` when everyone has had the first state.
"""

from __future__ import annotations

import asyncio
import sys

from resonance.hints import aio


async def _follow(socket: str, first: asyncio.Barrier) -> None:
    async with aio.connect(socket) as hints:
        is_first = True
        async for state in hints.subscribe():
            if is_first and state is not None:
                is_first = False
                await first.wait()


async def _main(socket: str, count: int) -> None:
    first = asyncio.Barrier(count + 1)
    followers = [asyncio.create_task(_follow(socket, first)) for _ in range(count)]
    await first.wait()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for follower in followers:
        follower.cancel()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
