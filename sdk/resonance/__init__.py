# SPDX-License-Identifier: MIT
"""What applications import to see how busy the node is, and to be fast in spite of it.

::

    client        calls with fewer slow ones among them: replica choice, hedging, retries,
                  batching; `Client` for threads and `AsyncClient` for asyncio
    policies      what they are told, and all that is decided, without a clock or a socket
    deadlines     until when work is worth anything, carried along; `deadline` is its door
    server        what a server does for its own tail, and what it tells its clients
    integrations  httpx, aiohttp, requests, gRPC, Prometheus, OpenTelemetry
    histogram     how long things took, kept so that their tail can be read
    hints         how long tasks and sockets wait, per cgroup, told by the daemon on this host
    periodic      timers without drift whose phase the daemon may choose; `every` is its door,
                  and `next_valley` says when the node is least busy with such work
    embedded      the same choice without a daemon: `Core`
    bench         open-loop load, comparison, report: what did it gain?
    errors        what a call can end with
    cli           the command `resonance`

Nothing is loaded before it is used: ``import resonance`` costs a millisecond, gRPC is imported
when the daemon is first called, and numpy when a `Core` is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from resonance import (
        bench,
        client,
        deadlines,
        embedded,
        errors,
        hints,
        histogram,
        integrations,
        periodic,
        policies,
        server,
    )
    from resonance.client import AsyncClient, Client, current_attempt
    from resonance.deadlines import deadline
    from resonance.embedded import Core
    from resonance.periodic import every, next_valley
    from resonance.policies import (
        BatchPolicy,
        BudgetPolicy,
        ChoicePolicy,
        EjectionPolicy,
        Failure,
        HedgePolicy,
        LimitPolicy,
        Outcome,
        Policy,
        Reason,
        RetryPolicy,
        TaskHint,
        ThrottlePolicy,
    )

__all__ = [
    "AsyncClient",
    "BatchPolicy",
    "BudgetPolicy",
    "ChoicePolicy",
    "Client",
    "Core",
    "EjectionPolicy",
    "Failure",
    "HedgePolicy",
    "LimitPolicy",
    "Outcome",
    "Policy",
    "Reason",
    "RetryPolicy",
    "TaskHint",
    "ThrottlePolicy",
    "bench",
    "client",
    "current_attempt",
    "deadline",
    "deadlines",
    "embedded",
    "errors",
    "every",
    "hints",
    "histogram",
    "integrations",
    "next_valley",
    "periodic",
    "policies",
    "server",
]

_ROOMS: Final = {
    "AsyncClient": "client",
    "BatchPolicy": "policies",
    "BudgetPolicy": "policies",
    "ChoicePolicy": "policies",
    "Client": "client",
    "Core": "embedded",
    "EjectionPolicy": "policies",
    "Failure": "policies",
    "HedgePolicy": "policies",
    "LimitPolicy": "policies",
    "Outcome": "policies",
    "Policy": "policies",
    "Reason": "policies",
    "RetryPolicy": "policies",
    "TaskHint": "policies",
    "ThrottlePolicy": "policies",
    "current_attempt": "client",
    "deadline": "deadlines",
    "every": "periodic",
    "next_valley": "periodic",
}


def __getattr__(name: str) -> object:
    """Import a room of the SDK when it, or what it is known for, is first named (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module(f"{__name__}.{_ROOMS.get(name, name)}")
    value = getattr(room, name) if name in _ROOMS else room
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
