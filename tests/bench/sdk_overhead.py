# SPDX-License-Identifier: MIT
"""The arms of `bench_policies`: one thing called through ours, through others, and by itself.

Every arm calls a function that does nothing and succeeds. What ours is told:

* ``call, armed``: choice among three replicas, a copy due after a learned delay (10 ms here,
  the bound below which it must not fall, because nothing takes next to no time), retries,
  budget, latency window;
* ``call, no hedge``: the profile ``balanced`` without its hedging;
* ``hedge`` and ``retry``: as a caller who named only that.

The others retry three times at most, and do nothing else: no copies, choice or budget. Where
they can be told a delay it does not matter, since nothing fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import hyx.retry
import pyresilience
import stamina
import tenacity

from resonance import AsyncClient, Client, HedgePolicy, TaskHint
from resonance.policies import Policy, load

__all__ = [
    "AGAIN",
    "ARE_ARMED",
    "ARMED",
    "ATTEMPTS",
    "HINT",
    "TARGETS",
    "WORKER",
    "WORKER_PEER",
    "async_arms",
    "awaited",
    "called",
    "learn",
    "policies",
    "require_armed",
    "sync_arms",
]

ATTEMPTS: Final = 3
TARGETS: Final = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
HINT: Final = TaskHint(idempotent=True)
ARMED: Final = "call, armed"
AGAIN: Final = "call, armed, again"
WORKER: Final = "call, in a worker"
WORKER_PEER: Final = "pyresilience, in a worker"
ARE_ARMED: Final = (ARMED, AGAIN, WORKER, "hedge")
DELAY_SECONDS: Final = 0.010
_LEARNING_CALLS: Final = 3_000
_LEARNING_SECONDS: Final = 0.6
"""What a window takes in, and draws its quantiles from, it does within half a second."""
_TURN_CALLS: Final = 100
"""*Chosen*: the loop turns after so many calls, as it does in a program that also waits."""

Run = Callable[[], object]
AsyncRun = Callable[[], Awaitable[object]]


def policies() -> tuple[Policy, Policy]:
    """Return the policy whose copies are armed, and the one without hedging."""
    balanced = load("balanced")
    hedge = HedgePolicy(min_tail_ratio=0.0, min_delay=DELAY_SECONDS)
    return balanced | hedge, balanced.replace(hedge=None)


def _nothing() -> int:
    return 1


def _nothing_there(target: str) -> int:
    return 1


async def _nothing_soon() -> int:
    return 1


async def _nothing_there_soon(target: str) -> int:
    return 1


def require_armed(outcome: Any) -> None:
    """Complain where no copy was armed, and so less was done than the arm says."""
    if outcome.hedge_delay is None:
        raise RuntimeError(f"no copy is due: {outcome.reasons}")


def _learn(call: Run) -> None:
    """Let a service of ours learn its delay."""
    for _ in range(_LEARNING_CALLS):
        call()
    time.sleep(_LEARNING_SECONDS)
    require_armed(call())


@contextmanager
def sync_arms() -> Generator[dict[str, Run]]:
    """Give the arms for threads, ours having learned its delay."""
    armed_policy, plain_policy = policies()
    with Client(armed_policy) as armed, Client(plain_policy) as plain:
        arms: dict[str, Run] = {
            "plain": _nothing,
            ARMED: lambda: armed.call(TARGETS, _nothing_there, hint=HINT, inline=True),
            AGAIN: lambda: armed.call(TARGETS, _nothing_there, hint=HINT, inline=True),
            "call, no hedge": lambda: plain.call(TARGETS, _nothing_there, inline=True),
            WORKER: lambda: armed.call(TARGETS, _nothing_there, hint=HINT, service="worker"),
            "hedge": lambda: armed.hedge(_nothing, hint=HINT, inline=True),
            "retry": lambda: armed.retry(_nothing),
            "tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(ATTEMPTS))(_nothing),
            "stamina": stamina.retry(on=Exception, attempts=ATTEMPTS)(_nothing),
            "pyresilience": pyresilience.resilient(
                retry=pyresilience.RetryConfig(max_attempts=ATTEMPTS)
            )(_nothing),
            WORKER_PEER: pyresilience.resilient(
                retry=pyresilience.RetryConfig(max_attempts=ATTEMPTS),
                timeout=pyresilience.TimeoutConfig(1.0),
            )(_nothing),
        }
        for name in (ARMED, WORKER, "hedge"):
            _learn(arms[name])
        yield arms


def async_arms(armed: AsyncClient, plain: AsyncClient) -> dict[str, AsyncRun]:
    """Return the arms for asyncio; ours has not learned its delay yet."""
    return {
        "plain": _nothing_soon,
        ARMED: lambda: armed.call(TARGETS, _nothing_there_soon, hint=HINT),
        AGAIN: lambda: armed.call(TARGETS, _nothing_there_soon, hint=HINT),
        "call, no hedge": lambda: plain.call(TARGETS, _nothing_there_soon),
        "hedge": lambda: armed.hedge(_nothing_soon, hint=HINT),
        "retry": lambda: armed.retry(_nothing_soon),
        "tenacity": tenacity.retry(stop=tenacity.stop_after_attempt(ATTEMPTS))(_nothing_soon),
        "stamina": stamina.retry(on=Exception, attempts=ATTEMPTS)(_nothing_soon),
        "hyx": hyx.retry.retry(on=Exception, attempts=ATTEMPTS)(_nothing_soon),
        "pyresilience": pyresilience.resilient(
            retry=pyresilience.RetryConfig(max_attempts=ATTEMPTS)
        )(_nothing_soon),
    }


async def learn(call: AsyncRun) -> None:
    """Let a service of ours learn its delay."""
    for _ in range(_LEARNING_CALLS):
        await call()
    await asyncio.sleep(_LEARNING_SECONDS)
    require_armed(await call())


def called(call: Run, count: int) -> float:
    """Return nanoseconds of CPU for each of so many calls, one after the other."""
    started = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - started) / count


async def awaited(call: AsyncRun, count: int) -> float:
    """Return nanoseconds of CPU for each of so many calls, one after the other."""
    started = time.process_time_ns()
    for _ in range(count // _TURN_CALLS):
        for _ in range(_TURN_CALLS):
            await call()
        await asyncio.sleep(0)
    return (time.process_time_ns() - started) / count
