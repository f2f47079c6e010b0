# SPDX-License-Identifier: MIT
"""When is it time? Timers without drift, whose phase the daemon may choose.

::

    async for tick in resonance.every(0.1, name="flush", phase_free=True):  # asyncio
        await flush()

    for tick in resonance.every(0.1, name="flush", phase_free=True):  # threads
        flush()

Work that repeats on many timers of a node drifts into step and builds queues. A timer that
declares itself ``phase_free`` is told by the daemon when in its period to run, so that such
work does not meet. The layers, top first::

    _timer             what an application writes
    _async, _threads   waiting, in a task and in a thread
    _valley            how long until the node is least busy with such work
    _attendant         who speaks with the daemon for all timers of this process
    _wire              one stream to it and back
    _roll              who came and who went since it was last told
    _source            one running timer: what it did, and where it is to be
    _schedule          when the next release is due; pure
    _records           what a timer is told to be, and what it tells its loop

One rule holds everywhere, as for the hints: nothing raises because of the daemon, and without
one a timer ticks at its own points. What a daemon may do to a timer is bounded here, whatever
it says: never before its own point, by 7 ms and 7 % of the period per tick at most, never for
``importance="critical"``; and back home in the same steps when it is not heard any more.
"""

from __future__ import annotations

from resonance.periodic._async import AsyncTicks
from resonance.periodic._records import Importance, OnLate, Status, Tick
from resonance.periodic._source import Authority
from resonance.periodic._threads import Ticks
from resonance.periodic._timer import Timer, every
from resonance.periodic._valley import next_valley

__all__ = [
    "AsyncTicks",
    "Authority",
    "Importance",
    "OnLate",
    "Status",
    "Tick",
    "Ticks",
    "Timer",
    "every",
    "next_valley",
]
