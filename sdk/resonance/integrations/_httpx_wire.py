# SPDX-License-Identifier: MIT
"""httpcore's connections, such that another thread can cut them.

httpx tells a transport nothing of the socket a request waits for. Its connection pool has a
public place for what opens connections, `httpcore.NetworkBackend`, but httpx has no argument for
it, so that `listen` puts ours into a pool that has the usual one. It changes nothing for requests
that no attempt of ours carries.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeAlias

import httpcore
import httpx

from resonance.errors import PolicyError
from resonance.integrations._line import connect, current_line

__all__ = ["listen"]

_Option: TypeAlias = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


def listen(transport: httpx.BaseTransport) -> bool:
    """Make the connections of a transport such that they can be cut; return whether they are.

    They are not where several requests share one (HTTP/2), behind a proxy, on Unix sockets, and
    in a transport that is not httpx's.

    Parameters
    ----------
    transport : httpx.BaseTransport

    Raises
    ------
    PolicyError
        The transport retries by itself.
    """
    refuse_own_retries(transport)
    state = _pool_of(transport)
    if state.get("_http2") is not False or state.get("_uds") is not None:
        return False
    if type(state.get("_network_backend")) is httpcore.SyncBackend:
        state["_network_backend"] = _Backend()
    return isinstance(state.get("_network_backend"), _Backend)


def refuse_own_retries(transport: httpx.BaseTransport | httpx.AsyncBaseTransport) -> None:
    """Raise `PolicyError` when a transport repeats what it is given, so that one layer does.

    Parameters
    ----------
    transport : httpx.BaseTransport or httpx.AsyncBaseTransport
    """
    if _pool_of(transport).get("_retries"):
        raise PolicyError(
            "transport", "must not retry by itself: retries=0, and a RetryPolicy instead"
        )


def _pool_of(transport: httpx.BaseTransport | httpx.AsyncBaseTransport) -> dict[str, Any]:
    """Return the attributes of the connection pool of a transport; none where it has none."""
    pool = getattr(transport, "_pool", None)
    is_plain = type(pool) in {httpcore.ConnectionPool, httpcore.AsyncConnectionPool}
    return vars(pool) if is_plain else {}


class _Backend(httpcore.SyncBackend):
    """Opens TCP connections; the rest is as usual."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_Option] | None = None,
    ) -> httpcore.NetworkStream:
        source_address = None if local_address is None else (local_address, 0)
        options = [*(socket_options or ()), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(connect((host, port), timeout, source_address, options))


class _Stream(httpcore.NetworkStream):
    """A TCP connection; what is sent on it belongs to the attempt that sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as_httpcore(httpcore.ReadTimeout, httpcore.ReadError):
            self._connection.settimeout(timeout)
            return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as_httpcore(httpcore.WriteTimeout, httpcore.WriteError):
            if (line := current_line()) is not None:
                line.hold(self._connection, self)
            rest = memoryview(buffer)
            while rest:
                self._connection.settimeout(timeout)  # for each piece that is taken, as httpx says
                rest = rest[self._connection.send(rest) :]

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            with _as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._connection.settimeout(timeout)
                return _Stream(
                    ssl_context.wrap_socket(self._connection, server_hostname=server_hostname)
                )
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        match info:
            case "socket":
                return self._connection
            case "ssl_object":
                return self._connection if isinstance(self._connection, ssl.SSLSocket) else None
            case "client_addr":
                return self._connection.getsockname()
            case "server_addr":
                return self._connection.getpeername()
            case "is_readable":
                return self._is_readable()
            case _:
                return None

    def _is_readable(self) -> bool:
        if self._connection.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(0))


@contextmanager
def _as_httpcore(late: type[Exception], broken: type[Exception]) -> Generator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(error) from error
    except OSError as error:
        raise broken(error) from error
