# SPDX-License-Identifier: MIT
"""Connections from clients to replicas, and the frames that go over them.

Each client has a connection of its own to each replica, as it has in production.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

__all__ = ["Answer", "AnyLinks", "Kind", "Links"]

_FRAME: Final = struct.Struct("=IIQ")
_ROOM_BYTES: Final = 1 << 16


class Kind(IntEnum):
    """What a frame says, as in replica.c."""

    REQUEST = 1
    CANCEL = 2
    PROBE = 3
    DONE = 4
    DROPPED = 5
    PROBED = 6


class Answer(NamedTuple):
    """A frame that came.

    Attributes
    ----------
    client, target : int
    kind : int
    queued : int
        Of a probe: requests that wait there.
    number : int
        Of the request; of a probe: what one takes there in ns.
    """

    client: int
    target: int
    kind: int
    queued: int
    number: int


class AnyLinks(Protocol):
    """What the driver needs of connections, whatever goes over them.

    Attributes
    ----------
    replicas : int
    """

    replicas: int

    def send(self, client: int, target: int, kind: Kind, number: int) -> None:
        """Send something of a client to a replica, and do not wait.

        Parameters
        ----------
        client, target : int
            Their places, from 0 on.
        kind : {REQUEST, CANCEL, PROBE}
        number : int
            Of the attempt.

        Raises
        ------
        OSError
            The replica has gone, or does not read what it is sent.
        """
        ...

    def receive(self, timeout: float) -> Iterable[Answer]:
        """Wait for answers for so many seconds at most, and return those that came.

        Parameters
        ----------
        timeout : float
            Below 0 it does not wait.

        Returns
        -------
        iterable of Answer

        Raises
        ------
        OSError
            A replica has gone.
        """
        ...

    def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(slots=True)
class _Link:
    client: int
    target: int
    socket: socket.socket
    rest: bytes = b""


class Links:
    """All connections, to be used in a loop of one thread.

    Parameters
    ----------
    ports : sequence of int
        Of the replicas; their places here are their targets.
    clients : int

    Attributes
    ----------
    replicas : int
    """

    def __init__(self, ports: Sequence[int], clients: int) -> None:
        self.replicas = len(ports)
        self._stack = ExitStack()
        self._epoll = self._stack.enter_context(select.epoll())
        self._file = self._epoll.fileno()
        self._links: dict[int, _Link] = {}
        self._ways: list[list[socket.socket]] = []
        with self._stack:  # what has been opened when a replica refuses is closed again
            for client in range(clients):
                self._ways.append([self._connect(client, *each) for each in enumerate(ports)])
            self._stack = self._stack.pop_all()

    def _connect(self, client: int, target: int, port: int) -> socket.socket:
        way = self._stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way.setblocking(False)
        self._links[way.fileno()] = _Link(client, target, way)
        self._epoll.register(way, select.EPOLLIN)
        return way

    def close(self) -> None:
        """Close all of them."""
        self._stack.close()

    def send(self, client: int, target: int, kind: Kind, number: int) -> None:
        """Send a frame. It never waits: where there is no room for it, the rig is broken.

        Parameters
        ----------
        client, target : int
        kind : {REQUEST, CANCEL, PROBE}
        number : int

        Raises
        ------
        ConnectionError
            There is no room, or the replica has gone.
        """
        sent = self._ways[client][target].send(_FRAME.pack(kind, 0, number))
        if sent != _FRAME.size:
            raise ConnectionError(f"replica {target} does not read what it is sent")

    def receive(self, timeout: float) -> Iterator[Answer]:
        """Wait for frames for so many seconds at most, and return those that came.

        Parameters
        ----------
        timeout : float

        Yields
        ------
        Answer

        Raises
        ------
        ConnectionError
            A replica has gone.
        """
        # The timeout of epoll is in milliseconds, that of select in microseconds.
        if timeout > 0.0 and not select.select([self._file], [], [], timeout)[0]:
            return
        for file, _ in self._epoll.poll(0):
            link = self._links[file]
            data = link.socket.recv(_ROOM_BYTES)
            if not data:
                raise ConnectionError(f"replica {link.target} has gone")
            data = link.rest + data
            whole = len(data) - len(data) % _FRAME.size
            link.rest = data[whole:]
            for kind, queued, number in _FRAME.iter_unpack(data[:whole]):
                yield Answer(link.client, link.target, kind, queued, number)
