# SPDX-License-Identifier: MIT
"""The links of the driver, over a protocol of the generator: who sends on which connection?

Each client has connections of its own to each replica, as it has in production. A call goes on
one that has room for it; where none has, another is opened and not waited for, so that no call
stands behind another on its way.
"""

from __future__ import annotations

import resource
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, NoReturn

from resonance.bench.digest import Outcome
from resonance.bench.errors import ExperimentError
from resonance.bench.load.wires import Wire, WireError
from resonance.bench.reference.links import Answer, Kind
from resonance.bench.reference.variants.cancelling import CancellingWire

__all__ = ["WiredLinks"]

_ROOM_BYTES: Final = 1 << 16
_READY: Final = 4
"""*Chosen*: calls of each client to each replica for which there is room before the first."""


@dataclass(slots=True, eq=False)
class _Way:
    client: int
    target: int
    socket: socket.socket
    wire: Wire
    unsent: bytes = b""
    is_stopped: bool = False
    is_listed: bool = True
    under_way: int = 0

    def has_gone(self, why: str) -> NoReturn:
        raise ConnectionError(f"replica {self.target} has gone: {why}") from None


class WiredLinks:
    """All connections, to be used in a loop of one thread; as `links.Links`.

    A request of HTTP/1.1 that is cancelled runs on and ends as done, since the protocol has no
    word for it. To close its connection would spare no work: neither server looks at one whose
    request waits, and nobody would tell when that was over. So a loser is paid for in full, as it
    is where such servers stand in production. A call of gRPC is cancelled; see `CancellingWire`.

    Parameters
    ----------
    ports : sequence of int
        Of the replicas; their places here are their targets.
    clients : int
    wires : callable
        Returns what makes the wires of connections to a port.

    Attributes
    ----------
    replicas : int

    Raises
    ------
    ConnectionError
        A replica takes no connection. `send` and `receive` raise it too: a replica has gone, or
        its answer says that it failed.
    """

    def __init__(
        self, ports: Sequence[int], clients: int, wires: Callable[[int], Callable[[], Wire]]
    ) -> None:
        self.replicas = len(ports)
        self._ports = ports
        self._wires = [wires(port) for port in ports]
        self._ways: dict[int, _Way] = {}
        self._calls: dict[int, _Way] = {}
        self._rooms: list[list[list[_Way]]] = [[[] for _ in ports] for _ in range(clients)]
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
        self._stack = ExitStack()
        self._epoll = self._stack.enter_context(select.epoll())
        self._file = self._epoll.fileno()
        with self._stack:  # what has been opened when a replica refuses is closed again
            for client in range(clients):
                for target, port in enumerate(ports):
                    room = 0
                    while room < _READY:
                        made = socket.create_connection(("127.0.0.1", port))
                        room += self._add(client, target, made).wire.capacity
            self._stack = self._stack.pop_all()

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()

    def send(self, client: int, target: int, kind: Kind, number: int) -> None:
        """Send a request, or cancel one; without waiting.

        Parameters
        ----------
        client, target : int
        kind : Kind
        number : int
            Of the request; no other may have it while it is under way.

        Raises
        ------
        ExperimentError
            A probe: only our own replica answers those.
        """
        if kind is Kind.CANCEL:
            self._cancel(number)
            return
        if kind is not Kind.REQUEST:
            raise ExperimentError(
                "probing a replica", "this variant's answer none: leave out the arms that probe"
            )
        way = self._way(client, target)
        way.under_way += 1
        self._calls[number] = way
        self._write(way, way.wire.send(number, 0))

    def receive(self, timeout: float) -> Iterator[Answer]:
        """Wait for answers for so many seconds at most, and return those that came.

        Parameters
        ----------
        timeout : float

        Yields
        ------
        Answer
        """
        # The timeout of epoll is in milliseconds, that of select in microseconds.
        if timeout > 0.0 and not select.select([self._file], [], [], timeout)[0]:
            return
        for file, events in self._epoll.poll(0):
            way = self._ways[file]
            if events & select.EPOLLOUT:
                self._write(way, b"")
            if events & ~select.EPOLLOUT:
                yield from self._read(way)

    def _way(self, client: int, target: int) -> _Way:
        """Return the connection that was last used, of those with room, or a new one."""
        rooms = self._rooms[client][target]
        while rooms and rooms[-1].under_way >= rooms[-1].wire.capacity:
            rooms.pop().is_listed = False
        if rooms:
            return rooms[-1]
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex(("127.0.0.1", self._ports[target]))
        return self._add(client, target, made)

    def _add(self, client: int, target: int, made: socket.socket) -> _Way:
        self._stack.enter_context(made)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way = _Way(client, target, made, self._wires[target]())
        self._ways[made.fileno()] = way
        self._rooms[client][target].append(way)
        self._epoll.register(made, select.EPOLLIN)
        self._write(way, way.wire.begin())
        return way

    def _cancel(self, number: int) -> None:
        way = self._calls.get(number)  # none: its end is about to be told
        if way is not None and isinstance(way.wire, CancellingWire):
            self._write(way, way.wire.cancel(number))

    def _write(self, way: _Way, data: bytes) -> None:
        """Send what there is room for; the rest when there is, or when the connection stands."""
        data = way.unsent + data
        try:
            sent = way.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            way.has_gone(str(error.strerror))
        way.unsent = data[sent:]
        if bool(way.unsent) is not way.is_stopped:
            way.is_stopped = not way.is_stopped
            events = select.EPOLLIN | (select.EPOLLOUT if way.is_stopped else 0)
            self._epoll.modify(way.socket, events)

    def _read(self, way: _Way) -> list[Answer]:
        """Return what came; all of it is out of the books before the driver hears of the first."""
        try:
            data = way.socket.recv(_ROOM_BYTES)
        except OSError as error:
            way.has_gone(str(error.strerror))
        if not data:
            way.has_gone("it closed a connection")
        try:
            ended = way.wire.receive(data)
        except WireError as error:
            way.has_gone(error.reason)
        if not way.wire.is_reusable:
            way.has_gone("it will close a connection")
        self._write(way, way.wire.reply())
        return [self._end(way, number, outcome) for number, outcome in ended]

    def _end(self, way: _Way, number: int, outcome: Outcome) -> Answer:
        way.under_way -= 1
        if not way.is_listed:
            way.is_listed = True
            self._rooms[way.client][way.target].append(way)
        del self._calls[number]
        was_cancelled = isinstance(way.wire, CancellingWire) and way.wire.was_cancelled(number)
        if outcome is not Outcome.OK and not was_cancelled:
            way.has_gone(f"a request ended as {outcome.name}")
        kind = Kind.DONE if outcome is Outcome.OK else Kind.DROPPED
        return Answer(way.client, way.target, kind, 0, number)
