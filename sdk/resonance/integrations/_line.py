# SPDX-License-Identifier: MIT
"""Which socket does this attempt wait for, and how is it cut from another thread?

Closing a socket does not wake a thread that waits for it, on Linux; shutting it down does, also
while it connects or shakes hands. A line holds a second descriptor of the socket, so that it
never meets one that was closed, or given to somebody else, in the meantime. Looking a name up
cannot be cut.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import ceil
from typing import Any, Final, Self

__all__ = ["Line", "connect", "current_line"]

_current: Final[ContextVar[Line | None]] = ContextVar("resonance_line", default=None)


def current_line() -> Line | None:
    """Return the line of the attempt this code runs in; ``None`` outside of one."""
    return _current.get()


class Line:
    """The connection of one attempt, for as long as it waits for an answer."""

    __slots__ = ("_descriptor", "_guard", "_is_cut", "_user")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        self._user: object = None
        self._is_cut = False

    def hold(self, connection: socket.socket, user: object = None) -> None:
        """Say which socket is waited for from now on; it is cut at once if the line is.

        Parameters
        ----------
        connection : socket.socket
        user : object, optional
            What the socket belongs to; saying the same again costs nothing.
        """
        if user is not None and user is self._user:
            return
        with self._guard:
            self._drop()
            self._user = user
            self._descriptor = os.dup(connection.fileno())
            if self._is_cut:
                self._shut_down()

    def cut(self) -> None:
        """End what the attempt waits for, from any thread; it fails with the library's error."""
        with self._guard:
            self._is_cut = True
            if self._descriptor is not None:
                self._shut_down()

    @contextmanager
    def carrying(self) -> Generator[Self]:
        """Make this the line of what is sent inside; at the end it holds nothing any more."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)
            with self._guard:
                self._drop()

    def _shut_down(self) -> None:
        connection = socket.socket(fileno=self._descriptor)
        try:
            with suppress(OSError):  # its other end was faster
                connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()

    def _drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._user = None, None


def connect(
    address: tuple[str, int],
    timeout: float | None,
    source_address: tuple[str, int] | None,
    options: Iterable[tuple[Any, ...]],
) -> socket.socket:
    """Return a connection, as `socket.create_connection` does; the current line holds it.

    Parameters
    ----------
    address : (host, port)
    timeout : float or None
        Seconds for each address the host has.
    source_address : (host, port) or None
    options : iterable of tuple
        For `socket.socket.setsockopt`.

    Returns
    -------
    socket.socket
        To the first address that can be reached.

    Raises
    ------
    OSError
        Of the last address, when none can be reached.
    """
    failure: OSError | None = None
    host, port = address
    for family, kind, protocol, _, where in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        connection: socket.socket | None = None
        try:
            connection = socket.socket(family, kind, protocol)
            for option in options:
                connection.setsockopt(*option)
            if source_address is not None:
                connection.bind(source_address)
            _connect(connection, where, timeout)
        except OSError as error:
            failure = error
            if connection is not None:
                connection.close()
        else:
            return connection
    raise failure or OSError(f"{host} has no address")


def _connect(connection: socket.socket, where: Any, timeout: float | None) -> None:
    """Connect a socket, which its line holds from when there is something to be cut."""
    connection.setblocking(False)
    code = connection.connect_ex(where)
    if (line := current_line()) is not None:
        line.hold(connection)
    if code == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        if not poll.poll(None if timeout is None else ceil(timeout * 1000.0)):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    connection.settimeout(timeout)
