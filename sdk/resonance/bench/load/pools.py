# SPDX-License-Identifier: MIT
"""Which connection does a call get, and what becomes of its calls when a connection ends?

All that is not done for every call: opening and losing connections, calls that wait here, calls
that take too long. Moments are nanoseconds from the beginning of the slot.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from resonance.bench.digest import Outcome
from resonance.bench.load.connections import Connection, Share
from resonance.bench.load.sheets import Counter
from resonance.bench.load.wires import WireError

__all__ = ["Pool"]

_LEAST_BACK_OFF_NS: Final = 5_000_000
_MOST_BACK_OFF_NS: Final = 250_000_000
"""*Chosen*: a server that restarts is found again at once, one that is gone costs nothing."""
_OPENING_SECONDS: Final = 5.0
_SPAN: Final = 4_096
_ONE_AT_A_TIME: Final = {"http", "https"}


class Pool:
    """The connections of one process, and the calls that are on them or wait for one.

    Parameters
    ----------
    share : Share
    say : callable
        Takes a line that the user must know.

    Attributes
    ----------
    epoll : select.epoll
    connections : dict of int to Connection
        By file, those that are still opening included.
    idle : deque of Connection
        Without a call, the one that has been so the longest first; some are closed by now.
    waiting : deque of int
        Calls for which there was no room; some have ended by now.
    flights : dict of int to Connection
        Calls that were sent and have not ended.
    """

    def __init__(self, share: Share, say: Callable[[str], None]) -> None:
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.idle: deque[Connection] = deque()
        self.waiting: deque[int] = deque()
        self.flights: dict[int, Connection] = {}
        load = share.load
        self._endpoint, self._make_wire, self._say = share.endpoint, share.make_wire, say
        self._sheet, self._counters = share.sheet, share.counters
        self._numbers = share.numbers
        self._most, self._timeout_ns = load.connections, int(load.timeout_seconds * 1e9)
        self._warm_ns = int(load.warm_up_seconds * 1e9)
        self._is_shared = load.target.scheme not in _ONE_AT_A_TIME
        self._retired: list[Connection] = []
        self._again: set[int] = set()
        self._opening = 0
        self._retry_ns = self._back_off_ns = 0
        self._first = 0  # a place in the numbers: every call before it has ended

    def open(self, connections: int) -> None:
        """Open the first connections, and wait until they are, or cannot be.

        Parameters
        ----------
        connections : int
        """
        for _ in range(min(connections, self._most)):
            self._open(0)
        until = time.monotonic() + _OPENING_SECONDS
        while self._opening and time.monotonic() < until:
            for file, mask in self.epoll.poll(0.05):
                self.look(self.connections[file], mask, 0)
            self.bury()
        self._retry_ns = self._back_off_ns = 0

    def place(self, number: int, now: int) -> None:
        """Find room for a call while no connection is idle, or have it wait.

        Parameters
        ----------
        number, now : int
        """
        if self._opening <= len(self.waiting):
            self._open(now)
        least = self._least() if self._is_shared else None
        if least is None:
            self.waiting.append(number)
            self._counters[Counter.WAITED] += self._sheet.due_ns[number] >= self._warm_ns
        else:
            self._begin(least, number, now)

    def place_again(self, number: int, now: int) -> bool:
        """Send a call once more that the peer said it has not begun with, if it is the first time.

        Parameters
        ----------
        number : int
        now : int

        Returns
        -------
        bool
            Whether it is.

        References
        ----------
        RFC 9113, section 8.7: such a request may be sent again, whatever it is.
        """
        if number in self._again:
            return False
        self._again.add(number)
        self._sheet.sent_ns[number] = -1
        self.place(number, now)
        return True

    def serve(self, connection: Connection, now: int) -> None:
        """Send calls that waited on a connection that may have room now.

        Parameters
        ----------
        connection : Connection
        now : int
        """
        wire, waiting = connection.wire, self.waiting
        if connection.unsent and not self._is_shared:
            return  # it has answered before it had the whole call
        while waiting and connection.is_open and wire.is_reusable:
            if len(connection.calls) >= wire.capacity:
                return
            number = waiting.popleft()
            if not self._sheet.outcomes[number]:
                self._begin(connection, number, now)

    def send(self, connection: Connection, data: bytes, now: int) -> None:
        """Send what belongs to no call.

        Parameters
        ----------
        connection : Connection
        data : bytes
        now : int
        """
        try:
            connection.send(data)
        except OSError:
            self.lose(connection, now)

    def look(self, connection: Connection, mask: int, now: int) -> None:
        """Go on with a connection that is opening, or had no room for what was sent.

        Parameters
        ----------
        connection : Connection
        mask : int
            What epoll says of it.
        now : int
        """
        if not connection.is_opening:
            if connection.unsent and mask & select.EPOLLOUT:
                self._flush(connection, now)
            return
        try:
            is_open = connection.advance()
        except OSError as error:
            self._opening -= 1
            connection.wire.end()
            self._remove(connection)
            self._refuse(error, now)
            return
        if is_open:
            self._opening -= 1
            self._back_off_ns = 0
            self._welcome(connection, now)

    def lose(self, connection: Connection, now: int) -> None:
        """End a connection that the peer has closed, or that carries no further call.

        Parameters
        ----------
        connection : Connection
        now : int
        """
        for number, outcome in connection.wire.end():
            self._end(number, outcome, now)
        self._drop(connection, Outcome.RESET, now)

    def throw(self, connection: Connection, error: WireError, now: int) -> None:
        """End a connection on which came what is not of the protocol.

        Parameters
        ----------
        connection : Connection
        error : WireError
        now : int
        """
        self._say(f"what is not of the protocol came: {error}")
        connection.wire.end()
        self._drop(connection, Outcome.GARBAGE, now)

    def expire(self, now: int, number: int) -> int:
        """End calls that take too long.

        Parameters
        ----------
        now : int
        number : int
            The next call that is due.

        Returns
        -------
        int
            When it must be asked again, at the latest.
        """
        numbers, due_ns = self._numbers, self._sheet.due_ns
        last = (number - numbers.start) // numbers.step
        while self._first < last:
            part = numbers[self._first : min(last, self._first + _SPAN)]
            column = self._sheet.outcomes[part.start : part.stop : part.step].tobytes()
            ended = column.find(Outcome.NONE)
            self._first += len(part) if ended < 0 else ended
            if ended < 0:
                continue
            oldest = part[ended]
            if due_ns[oldest] + self._timeout_ns > now:
                return due_ns[oldest] + self._timeout_ns
            self._expire(oldest, now)
        return now + self._timeout_ns

    def retry(self, now: int) -> int | None:
        """Open a connection where calls wait and none is on its way.

        Parameters
        ----------
        now : int

        Returns
        -------
        int or None
            When it is worth another try.
        """
        outcomes = self._sheet.outcomes
        while self.waiting and outcomes[self.waiting[0]]:
            self.waiting.popleft()
        while self._opening < len(self.waiting) and self._open(now):
            pass
        return self._retry_ns if self.waiting and self._retry_ns > now else None

    def bury(self) -> None:
        """Give back the files of connections that have ended, once no event names them."""
        while self._retired:
            self._retired.pop().close()

    def _flush(self, connection: Connection, now: int) -> None:
        try:
            connection.flush()
        except OSError:
            self.lose(connection, now)
            return
        if not (connection.unsent or connection.calls):
            self._welcome(connection, now)

    def _welcome(self, connection: Connection, now: int) -> None:
        """Use a connection on which nothing is under way."""
        self.serve(connection, now)
        if connection.is_open and not (connection.calls or connection.unsent):
            self.idle.append(connection)

    def _least(self) -> Connection | None:
        """Return the connection with the fewest calls among those that carry several."""
        return min(
            (
                each
                for each in self.connections.values()
                if each.is_open and len(each.calls) < each.wire.capacity and each.wire.is_reusable
            ),
            key=_under_way,
            default=None,
        )

    def _open(self, now: int) -> bool:
        if len(self.connections) >= self._most or now < self._retry_ns:
            return False
        try:
            connection = Connection(self._endpoint, self._make_wire(), self.epoll)
        except OSError as error:
            self._refuse(error, now)
            return False
        self.connections[connection.file] = connection
        self._opening += 1
        counters = self._counters
        counters[Counter.CONNECTIONS] = max(counters[Counter.CONNECTIONS], len(self.connections))
        return True

    def _refuse(self, error: OSError, now: int) -> None:
        self._back_off_ns = min(_MOST_BACK_OFF_NS, max(_LEAST_BACK_OFF_NS, 2 * self._back_off_ns))
        self._retry_ns = now + self._back_off_ns
        self._say(f"a connection could not be made: {(error.strerror or str(error)).lower()}")

    def _begin(self, connection: Connection, number: int, now: int) -> None:
        kinds = self._sheet.kinds
        data = connection.encode(number, kinds[number] if kinds else 0)
        self._sheet.sent_ns[number] = now
        self.flights[number] = connection
        connection.calls.add(number)
        self.send(connection, data, now)

    def _end(self, number: int, outcome: Outcome, now: int) -> None:
        if self.flights.pop(number, None) is not None:
            self._sheet.ended_ns[number] = now
            self._sheet.outcomes[number] = outcome

    def _expire(self, number: int, now: int) -> None:
        connection = self.flights.pop(number, None)
        is_refused = connection is None and self._back_off_ns > 0
        self._sheet.ended_ns[number] = now
        self._sheet.outcomes[number] = Outcome.REFUSED if is_refused else Outcome.TIMEOUT
        if connection is not None:
            connection.abandoned += 1
            # Its answer may still come, and is waited for as long as other calls are there.
            if connection.abandoned == len(connection.calls):
                self.lose(connection, now)

    def _drop(self, connection: Connection, outcome: Outcome, now: int) -> None:
        for number in connection.calls:
            self._end(number, outcome, now)
        connection.calls.clear()
        self._remove(connection)
        self.retry(now)

    def _remove(self, connection: Connection) -> None:
        del self.connections[connection.file]
        connection.retire()
        self._retired.append(connection)


def _under_way(connection: Connection) -> int:
    return len(connection.calls)
