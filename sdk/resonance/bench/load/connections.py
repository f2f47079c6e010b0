# SPDX-License-Identifier: MIT
"""How is a connection made and kept without ever waiting for it? Sockets, TLS, what is unsent."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from errno import EINPROGRESS
from typing import Final, NamedTuple

from resonance.bench.load.sheets import Sheet
from resonance.bench.load.wires import Wire
from resonance.bench.plan import Load

__all__ = ["BLOCKED", "ROOM_BYTES", "Connection", "Endpoint", "Share"]

ROOM_BYTES: Final = 1 << 15
"""More than a TLS record (16 KB), so that nothing that came stays behind in the library; and less
than what malloc gives back to the kernel each time (64 KB, FASTBIN_CONSOLIDATION_THRESHOLD)."""
BLOCKED: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where connections go; names were resolved once.

    Attributes
    ----------
    family : int
    address : tuple or str or bytes
        As `socket.connect` wants it.
    host : str
        What TLS is told.
    context : ssl.SSLContext or None
    """

    family: int
    address: tuple[object, ...] | str | bytes
    host: str
    context: ssl.SSLContext | None


class Share(NamedTuple):
    """What one process has to do.

    Attributes
    ----------
    load : Load
    endpoint : Endpoint
    make_wire : callable
    sheet : Sheet
    process : int
        From 0 on.
    """

    load: Load
    endpoint: Endpoint
    make_wire: Callable[[], Wire]
    sheet: Sheet
    process: int

    @property
    def numbers(self) -> range:
        """Its calls: every one whose number is the process, modulo the processes."""
        return range(self.process, len(self.sheet.due_ns), self.load.processes)

    @property
    def counters(self) -> memoryview[int]:
        """Where it counts, by `Counter`."""
        return self.sheet.counters(self.process)


class Connection:
    """A socket that never waits, and the wire that speaks on it.

    Parameters
    ----------
    endpoint : Endpoint
    wire : Wire
    epoll : select.epoll
        Where it is registered until it is closed.

    Attributes
    ----------
    file : int
    wire : Wire
    receive, encode : callable
        Of the wire.
    read, write : callable
        Of the socket, as soon as it is open.
    calls : set of int
        Under way, those that took too long included.
    abandoned : int
        How many of them took too long.
    is_open : bool
    is_opening : bool

    Raises
    ------
    OSError
        There is no way there, or no file left.
    """

    __slots__ = (
        "_endpoint",
        "_epoll",
        "_socket",
        "abandoned",
        "calls",
        "encode",
        "file",
        "is_open",
        "is_opening",
        "read",
        "receive",
        "unsent",
        "wire",
        "write",
    )

    def __init__(self, endpoint: Endpoint, wire: Wire, epoll: select.epoll) -> None:
        self.wire = wire
        self.receive, self.encode = wire.receive, wire.send
        self.calls: set[int] = set()
        self.abandoned = 0
        self.unsent = b""
        self.is_open, self.is_opening = False, True
        self._endpoint, self._epoll = endpoint, epoll
        plain = socket.socket(endpoint.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            _raise(plain.connect_ex(endpoint.address), EINPROGRESS)
            if endpoint.family != socket.AF_UNIX:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain
            self.file = plain.fileno()
            epoll.register(self.file, _OUT)
        except OSError:
            plain.close()
            raise
        self.read, self.write = plain.recv, plain.send

    def advance(self) -> bool:
        """Go on with opening; return whether it is open now.

        Returns
        -------
        bool

        Raises
        ------
        OSError
            It will not be: refused, or TLS failed.
        """
        _raise(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        if self._endpoint.context is not None and not isinstance(self._socket, ssl.SSLSocket):
            self._encrypt(self._endpoint.context)
        if isinstance(self._socket, ssl.SSLSocket):
            try:
                self._socket.do_handshake()
            except ssl.SSLWantReadError:
                self._epoll.modify(self.file, _IN)
                return False
            except ssl.SSLWantWriteError:
                self._epoll.modify(self.file, _OUT)
                return False
        self._epoll.modify(self.file, _IN)
        self.is_open, self.is_opening = True, False
        begin = self.wire.begin()
        if begin:
            self.send(begin)
        return True

    def _encrypt(self, context: ssl.SSLContext) -> None:
        """Begin with TLS, on the same file; not before there is a connection, or it never does."""
        self._socket = context.wrap_socket(
            self._socket, server_hostname=self._endpoint.host, do_handshake_on_connect=False
        )
        self.read, self.write = self._socket.recv, self._socket.send

    def send(self, data: bytes) -> None:
        """Send what there is room for, and keep the rest.

        Parameters
        ----------
        data : bytes

        Raises
        ------
        OSError
            The connection is lost.
        """
        if self.unsent:
            self.unsent += data
            return
        try:
            done = self.write(data)
        except BLOCKED:
            done = 0
        if done != len(data):
            self.keep(data[done:])

    def keep(self, data: bytes) -> None:
        """Keep what there was no room for, until there is.

        Parameters
        ----------
        data : bytes
        """
        self.unsent = data
        self._epoll.modify(self.file, _IN | _OUT)

    def flush(self) -> None:
        """Send what was kept.

        Raises
        ------
        OSError
            The connection is lost.
        """
        data, self.unsent = self.unsent, b""
        self.send(data)
        if not self.unsent:
            self._epoll.modify(self.file, _IN)

    def retire(self) -> None:
        """Hear no more of it. Its file stays, so that no other connection gets its number yet."""
        self.is_open = self.is_opening = False
        self._epoll.unregister(self.file)

    def close(self) -> None:
        """Give the file back."""
        self._socket.close()


def _raise(error: int, expected: int = 0) -> None:
    if error not in {0, expected}:
        raise OSError(error, os.strerror(error))
