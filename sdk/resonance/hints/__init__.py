# SPDX-License-Identifier: MIT
"""How busy is the node? What the daemon on this host knows, at the cost of a memory read.

::

    with resonance.hints.connect() as hints:  # threads
        if (hints.pressure() or 0.0) < 0.5:
            warm_the_cache()

    async with resonance.hints.aio.connect() as hints:  # asyncio, same names
        async for state in hints.subscribe():
            ...

The layers, top first::

    _client, aio     Hints and AsyncHints: the same names for threads and for asyncio
    _link            when may the daemon be asked again, and why was there no answer
    _page            pressure from the shared page, without a system call
    _cgroup          which cgroup is this process in
    _records         what comes back
    _rhythm          the same of the node's rhythm

One rule holds everywhere: what is not known is ``None``. No daemon, an old daemon, a newer
daemon, a stale value, a cgroup that is not measured: ``None``, and ``status`` says why. Only a
mistake in the call itself, such as a wrong type, raises.
"""

from __future__ import annotations

from resonance.hints import aio
from resonance.hints._client import Hints, Subscription, connect
from resonance.hints._layout import PolicyCeiling
from resonance.hints._records import (
    CgroupState,
    Histogram,
    Kind,
    Latency,
    Reading,
    Resolution,
    State,
    Status,
)
from resonance.hints._rhythm import Neighbour, Rhythm
from resonance.hints.aio import AsyncHints

__all__ = [
    "AsyncHints",
    "CgroupState",
    "Hints",
    "Histogram",
    "Kind",
    "Latency",
    "Neighbour",
    "PolicyCeiling",
    "Reading",
    "Resolution",
    "Rhythm",
    "State",
    "Status",
    "Subscription",
    "aio",
    "connect",
]
