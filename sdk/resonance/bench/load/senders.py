# SPDX-License-Identifier: MIT
"""What does one process do all the time? It sends what is due, and notes when what came.

One thread waits for two things at once, the next call that is due and the next bytes that come. A
call that is due goes first; what has come is read and gets its time before any of it is parsed.

It is sent on a connection on which nothing is under way, the one that has been idle the longest:
the calls of an open loop are those of many users, and who always took the last one back would
bring them all to the one server process that accepted it. Where none is idle, another one is
opened; until it is there the call waits here, and its time runs on. Only protocols that carry
several calls at once carry them on one connection, and then on the one with the fewest.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final

from resonance.bench.digest import Outcome
from resonance.bench.load.connections import BLOCKED, ROOM_BYTES, Connection, Share
from resonance.bench.load.pools import Pool
from resonance.bench.load.realtime import Overseer
from resonance.bench.load.sheets import Signal
from resonance.bench.load.waits import waiter
from resonance.bench.load.wires import WireError

__all__ = ["Sender"]

_FAR_NS: Final = 1 << 62
_STALL_NS: Final = 10_000_000
_EARLY_NS: Final = 200_000
"""*Chosen*: what it may take to be woken in a virtual machine whose CPU has gone idle. So much
before a call is due, at most, it wakes up and looks for the moment without sleeping."""
_EARLY_CPUS: Final = 0.1
"""*Chosen*: what that may cost."""
_BURST: Final = 16
"""*Chosen*: a generator that is late sends so many calls before it looks what came."""
_LOOK_NS: Final = 50_000_000
_DRAIN_NS: Final = 1_000_000_000
_EPOLLIN: Final = select.EPOLLIN
_EPOLLOUT: Final = select.EPOLLOUT


class Sender:
    """The calls of one process, and its connections.

    Parameters
    ----------
    share : Share
    say : callable
        Takes a line that the user must know, once each.
    """

    def __init__(self, share: Share, say: Callable[[str], None]) -> None:
        self._pool = Pool(share, say)
        self._sheet, self._numbers = share.sheet, share.numbers
        load = share.load
        self._overseer = Overseer(share.counters, int(load.warm_up_seconds * 1e9))
        rates = (max(each.rate_per_second, each.end_rate_per_second) for each in load.stages)
        self._early_ns = min(_EARLY_NS, int(_EARLY_CPUS * 1e9 * load.processes / max(rates)))

    def open(self, connections: int) -> None:
        """Open the first connections, and wait until they are, or cannot be.

        Parameters
        ----------
        connections : int
        """
        self._pool.open(connections)

    def run(self, begin_ns: int) -> None:  # noqa: C901, PLR0912, PLR0915 - a function costs time
        """Send all calls, and return when each has ended.

        Parameters
        ----------
        begin_ns : int
            On CLOCK_MONOTONIC.
        """
        sheet, pool = self._sheet, self._pool
        idle, waiting, flights = pool.idle, pool.waiting, pool.flights
        due_ns, reached_ns, sent_ns = sheet.due_ns, sheet.reached_ns, sheet.sent_ns
        ended_ns, outcomes, kinds = sheet.ended_ns, sheet.outcomes, sheet.kinds
        connections, wait, clock = pool.connections, waiter(pool.epoll), time.monotonic_ns
        number, step, count = self._numbers.start, self._numbers.step, self._numbers.stop
        next_ns = due_ns[number] if number < count else _FAR_NS
        chores_ns, burst = 0, _BURST
        events: list[tuple[int, int]] = []
        come: list[tuple[Connection, bytes, int]] = []
        self._overseer.begin()
        now = clock() - begin_ns
        while True:
            if now >= next_ns and burst:
                burst -= 1
                reached_ns[number] = now
                while idle:
                    free = idle.popleft()
                    if not free.is_open or free.unsent:
                        continue
                    data = free.encode(number, kinds[number] if kinds else 0)
                    try:
                        done = free.write(data)
                    except BLOCKED:
                        done = 0
                    except OSError:  # the call has not left: another free can have it
                        pool.lose(free, now)
                        continue
                    sent_ns[number] = now
                    flights[number] = free
                    free.calls.add(number)
                    if done != len(data):
                        free.keep(data[done:])
                    break
                else:
                    pool.place(number, now)
                number += step
                next_ns = due_ns[number] if number < count else _FAR_NS
            elif events:
                for file, mask in events:
                    known = connections.get(file)
                    if known is None:
                        continue
                    if mask != _EPOLLIN or known.is_opening:
                        was_open = known.is_open
                        pool.look(known, mask, now)
                        if not (was_open and known.is_open and mask & ~_EPOLLOUT):
                            continue
                    try:
                        data = known.read(ROOM_BYTES)
                    except BLOCKED:
                        continue
                    except OSError:
                        data = b""
                    come.append((known, data, clock() - begin_ns))
                events = []
            elif come:
                connection, data, at = come.pop()
                if not connection.is_open:
                    continue
                if not data:
                    pool.lose(connection, now)
                    continue
                try:
                    ended = connection.receive(data)
                except WireError as error:
                    pool.throw(connection, error, now)
                    continue
                calls = connection.calls
                for each, outcome in ended:
                    calls.discard(each)
                    if flights.pop(each, None) is None:
                        connection.abandoned -= 1
                    elif outcome or not pool.place_again(each, now):
                        ended_ns[each] = at
                        outcomes[each] = outcome or Outcome.RESET
                reply = connection.wire.reply()
                if reply:
                    pool.send(connection, reply, now)
                if waiting:
                    pool.serve(connection, now)
                if not calls and connection.is_open:
                    if not connection.wire.is_reusable:
                        pool.lose(connection, now)
                    elif ended and not connection.unsent:
                        idle.append(connection)
            else:
                if now >= chores_ns:
                    stop_ns = sheet.signals[Signal.STOP_NS]
                    if stop_ns and number < count:
                        count, next_ns = number, _FAR_NS
                    if stop_ns and now >= stop_ns + _DRAIN_NS:
                        break
                    chores_ns = min(now + _LOOK_NS, pool.expire(now, number))
                    chores_ns = min(chores_ns, pool.retry(now) or chores_ns)
                    self._overseer.look(now)
                if number >= count and not flights and not waiting:
                    break
                pool.bury()
                burst = _BURST
                before, until = now, min(next_ns, chores_ns)
                events = wait(until - now - self._early_ns)
                now = clock() - begin_ns
                if now - until >= _STALL_NS and until > before:
                    self._overseer.stalls += 1
                continue  # the time is known
            now = clock() - begin_ns
        self._overseer.end(now)
