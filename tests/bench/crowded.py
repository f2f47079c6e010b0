# SPDX-License-Identifier: MIT
"""What does a call cost while ten thousand are under way in one event loop?

The application has a task for each of its calls, and all wait for the same event. What is told
is what a library adds to that: tasks, memory, time. A copy of ours is armed after a minute, so
that none is sent while we look: those have tasks, as the docs say.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import hyx.retry
import pyresilience
import stamina
import tenacity

from resonance import AsyncClient, HedgePolicy
from resonance.policies import load
from sdk_overhead import ARMED, ATTEMPTS, HINT, TARGETS

__all__ = ["CALLS", "CROWDED", "OURS", "Crowded", "crowded", "seconds"]

CALLS: Final = 10_000
OURS: Final = ARMED
CROWDED: Final = ("plain", OURS, "tenacity", "stamina", "hyx", "pyresilience")
_DELAY_SECONDS: Final = 60.0


class Crowded(NamedTuple):
    """What there is while all calls are under way.

    Attributes
    ----------
    tasks : int
        That are not the application's.
    bytes : float
        Memory for each call, the application's task included.
    """

    tasks: int
    bytes: float


class _Crowd:
    """An application with all its calls under way."""

    def __init__(self, arm: str, client: AsyncClient) -> None:
        self._event = asyncio.Event()
        self._waiting = 0
        self._all_wait = asyncio.Event()
        self._call = self._calling(arm, client)

    async def gather(self) -> list[asyncio.Task[object]]:
        """Begin the calls; return the application's tasks when all of them wait."""
        tasks = [asyncio.ensure_future(self._task()) for _ in range(CALLS)]
        await self._all_wait.wait()
        return tasks

    async def release(self, tasks: list[asyncio.Task[object]]) -> None:
        """Let all calls end."""
        self._event.set()
        await asyncio.gather(*tasks)

    async def _task(self) -> object:
        return await self._call()

    async def _wait(self) -> int:
        self._waiting += 1
        if self._waiting == CALLS:
            self._all_wait.set()
        await self._event.wait()
        return 1

    async def _wait_there(self, target: str) -> int:
        return await self._wait()

    def _calling(self, arm: str, client: AsyncClient) -> Callable[[], Awaitable[object]]:
        match arm:
            case "plain":
                return self._wait
            case "tenacity":
                return tenacity.retry(stop=tenacity.stop_after_attempt(ATTEMPTS))(self._wait)
            case "stamina":
                return stamina.retry(on=Exception, attempts=ATTEMPTS)(self._wait)
            case "hyx":
                return hyx.retry.retry(on=Exception, attempts=ATTEMPTS)(self._wait)
            case "pyresilience":
                retry = pyresilience.RetryConfig(max_attempts=ATTEMPTS)
                return pyresilience.resilient(retry=retry)(self._wait)
            case _:
                return lambda: client.call(TARGETS, self._wait_there, hint=HINT)


def crowded(arm: str) -> Crowded:
    """Look at the tasks and the memory of an arm."""
    return asyncio.run(_looked_at(arm))


def seconds(arm: str) -> float:
    """Return CPU seconds for each call of an arm, from its beginning to its end."""
    return asyncio.run(_timed(arm))


def _client() -> AsyncClient:
    return AsyncClient(load("balanced") | HedgePolicy(delay=_DELAY_SECONDS))


async def _looked_at(arm: str) -> Crowded:
    async with _client() as client:
        crowd = _Crowd(arm, client)
        others = len(asyncio.all_tasks())
        gc.collect()
        tracemalloc.start()
        try:
            tasks = await crowd.gather()
            found = len(asyncio.all_tasks()) - others - len(tasks)
            size = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        await crowd.release(tasks)
    return Crowded(found, size / CALLS)


async def _timed(arm: str) -> float:
    async with _client() as client:
        crowd = _Crowd(arm, client)
        gc.collect()
        started = time.process_time_ns()
        await crowd.release(await crowd.gather())
        return (time.process_time_ns() - started) / 1e9 / CALLS
