# SPDX-License-Identifier: MIT
"""What clients may do when a request fails: ours, and what people use.

All arms call the same function, which gives up waiting after `TIMEOUT_SECONDS`, with the same
number of attempts; stamina alone keeps its own ten, because its defaults are what the arm is
about. What is not said here is the library's default, so tenacity waits 1 s and then 2 s, its
random one between nothing and that. They have no state that calls share; ours has one budget
for each client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import stamina
import tenacity

from resonance import AsyncClient
from resonance.policies import Policy, load

__all__ = ["ARMS", "ATTEMPTS", "OURS", "TIMEOUT_SECONDS", "Call", "Once"]

TIMEOUT_SECONDS: Final = 1.0
"""Of one attempt, in every arm: fifty times what an idle server takes."""
ATTEMPTS: Final = 3
"""Of one call at most: what the profile ``balanced`` allows."""
OURS: Final = "ours"

Once = Callable[[], Awaitable[object]]
"""One attempt; raises what went wrong."""
Call = Callable[[Once], Awaitable[object]]
"""A call: one attempt or more."""


async def _no_retry(once: Once) -> object:
    return await once()


@tenacity.retry(
    stop=tenacity.stop_after_attempt(ATTEMPTS), wait=tenacity.wait_exponential(), reraise=True
)
async def _exponential(once: Once) -> object:
    return await once()


@tenacity.retry(
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    wait=tenacity.wait_random_exponential(),
    reraise=True,
)
async def _random_exponential(once: Once) -> object:
    return await once()


stamina.instrumentation.set_on_retry_hooks([])  # it logs each retry, which is not compared here


@stamina.retry(on=Exception)
async def _stamina(once: Once) -> object:
    return await once()


async def _ours(stack: AsyncExitStack, policy: Policy) -> Call:
    client = await stack.enter_async_context(AsyncClient(policy))
    return client.retry


async def _balanced(stack: AsyncExitStack) -> Call:
    return await _ours(stack, load("balanced"))


async def _without_brake(stack: AsyncExitStack) -> Call:
    policy = load("balanced")
    assert policy.retry is not None
    return await _ours(stack, policy | policy.retry.replace(brake=False))


def _stateless(call: Call) -> Callable[[AsyncExitStack], Awaitable[Call]]:
    async def make(_: AsyncExitStack) -> Call:
        return call

    return make


ARMS: Final[dict[str, Callable[[AsyncExitStack], Awaitable[Call]]]] = {
    "no retry": _stateless(_no_retry),
    "tenacity exponential": _stateless(_exponential),
    "tenacity random exponential": _stateless(_random_exponential),
    "stamina": _stateless(_stamina),
    OURS: _balanced,
    "ours again": _balanced,
    "ours, brake off": _without_brake,
}
"""By name; each makes what one client calls with."""
