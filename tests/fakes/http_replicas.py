# SPDX-License-Identifier: MIT
"""Replicas of an HTTP service on loopback that answer, stall, push back, hang up or refuse.

What a replica does with a request is a function of the connection; it does `always` the same,
but for what it was told it `will` do next. Nothing here waits for a time: a replica that stalls
does so until its client leaves, and `left` says that it did.
"""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

PATIENCE_SECONDS = 20.0
"""What must happen happens far sooner; this keeps a failed test from hanging."""

CERTIFICATE = Path(__file__).with_name("search_test.pem")
"""Of ``search.test``, by itself, until 2126; with its key, which is no secret."""

Behaviour = Callable[["Connection"], None]


class Seen(NamedTuple):
    """A request as a replica saw it; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection(BaseHTTPRequestHandler):
    """One connection of a client to a replica."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server: _Server
    count = 0

    def handle_any(self) -> None:
        """Note the request, and do what the replica is told to do with it."""
        self.count += 1
        replica = self.server.replica
        names = {name.lower(): value for name, value in self.headers.items()}
        replica.requests.append(Seen(self.command, self.path, names, self._body(names)))
        replica.came.put(None)
        replica.next()(self)

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815 -- the base class asks for these names

    def _body(self, names: dict[str, str]) -> bytes:
        if "chunked" not in names.get("transfer-encoding", ""):
            return self.rfile.read(int(names.get("content-length", 0)))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    replica: Replica

    def __init__(self, replica: Replica, context: ssl.SSLContext | None) -> None:
        self.replica = replica
        self._open: list[socket.socket] = []
        self._context = context
        super().__init__(("127.0.0.1", 0), Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            try:
                connection = self._context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except OSError:  # the client has left already
                connection.close()
                raise
        self._open.append(connection)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that leave."""

    def hang_up(self) -> None:
        for connection in self._open:
            with suppress(OSError):  # it was closed before
                connection.shutdown(socket.SHUT_RDWR)


def _as_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


class Replica:
    """One replica, from the beginning of the block to its end.

    Parameters
    ----------
    always : callable
        What it does with a request.
    tls : bool
        It speaks TLS, as ``search.test``.
    """

    def __init__(self, always: Behaviour | None = None, *, tls: bool = False) -> None:
        self.always = always or answer()
        self.requests: list[Seen] = []
        self.came: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.left: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._will: deque[Behaviour] = deque()
        self._server = _Server(self, _as_server() if tls else None)
        scheme = "https" if tls else "http"
        self.port: int = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def will(self, *behaviours: Behaviour) -> None:
        """Do these with the next requests, one each."""
        self._will.extend(behaviours)

    def next(self) -> Behaviour:
        """Return what to do with a request that has come."""
        return self._will.popleft() if self._will else self.always

    def wait_for_request(self) -> None:
        """Return when a request has come that was not waited for yet."""
        self.came.get(timeout=PATIENCE_SECONDS)

    def wait_until_left(self) -> int:
        """Wait until a client has left while this stalled, each time for another client.

        Returns
        -------
        int
            How many requests had come on that connection.
        """
        return self.left.get(timeout=PATIENCE_SECONDS)


def answer(status: int = 200, body: bytes = b"done", **headers: str) -> Behaviour:
    """Answer at once; underscores in names of headers stand for hyphens."""

    def behave(connection: Connection) -> None:
        connection.send_response(status)
        connection.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            connection.send_header(name.replace("_", "-"), value)
        connection.end_headers()
        connection.wfile.write(body)

    return behave


def stall(connection: Connection) -> None:
    """Never answer; note when the client has left, and give up on one that does not."""
    connection.close_connection = True
    connection.connection.settimeout(PATIENCE_SECONDS)
    try:
        connection.connection.recv(1)
    except TimeoutError:
        return
    except ConnectionError:
        pass
    connection.server.replica.left.put(connection.count)


def stall_unless_copied() -> Behaviour:
    """Stall with a first attempt; answer its copy, once the first attempt has come."""
    stalled = threading.Event()

    def behave(connection: Connection) -> None:
        if "resonance-attempt" not in connection.headers:
            stalled.set()
            stall(connection)
        elif stalled.wait(PATIENCE_SECONDS):
            answer()(connection)

    return behave


def first(behaviour: Behaviour) -> Behaviour:
    """Behave so once, in whichever replica it happens; then answer."""
    times = iter([behaviour])

    def behave(connection: Connection) -> None:
        next(times, answer())(connection)

    return behave


def hang_up(connection: Connection) -> None:
    """Close the connection without an answer."""
    connection.close_connection = True


def reset(connection: Connection) -> None:
    """Reset the connection without an answer."""
    linger = struct.pack("ii", 1, 0)
    connection.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close_connection = True
    connection.connection.close()


def answer_when(event: threading.Event) -> Behaviour:
    """Answer when the event is set."""

    def behave(connection: Connection) -> None:
        assert event.wait(PATIENCE_SECONDS)
        answer()(connection)

    return behave


@contextmanager
def replicas(*behaviours: Behaviour) -> Iterator[list[Replica]]:
    """Serve with one replica for each behaviour until the block ends."""
    with ExitStack() as stack:
        yield [stack.enter_context(Replica(behaviour)) for behaviour in behaviours]


@contextmanager
def nobody() -> Iterator[str]:
    """Give the URL of a replica that is down: nobody listens there while the block lasts."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextmanager
def silence() -> Iterator[str]:
    """Give the URL of a replica to which no connection can be made, and none is refused."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):  # the queue of a backlog of 0 holds one; a second makes sure
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
