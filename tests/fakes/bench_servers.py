# SPDX-License-Identifier: MIT
"""Servers on loopback for a generator to meet: good ones, and each kind of bad one.

A server does the same with each of its connections; what it does is a function of the socket.
Bytes are written as they are meant to be seen, so that nothing repairs them. HTTP/2 is spoken by
h2 and gRPC by grpcio, which know nothing of the wires they are there to test.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.settings import SettingCodes

PATIENCE_SECONDS = 20.0
"""What must happen happens far sooner; this keeps a failed test from hanging."""

CERTIFICATE = Path(__file__).with_name("search_test.pem")
"""Of ``search.test``, signed by itself, until 2126; with its key, which is no secret."""

Behaviour = Callable[[socket.socket], None]


class Server:
    """A server, from the beginning of the block to its end.

    Parameters
    ----------
    behaviour : callable
        What it does with a connection, in a thread of its own; it is closed afterwards.
    tls : bool
        It speaks TLS, as ``search.test``.
    unix_socket : str
        Where it listens, instead of on a port.
    """

    def __init__(self, behaviour: Behaviour, *, tls: bool = False, unix_socket: str = "") -> None:
        self._behaviour = behaviour
        self._context = tls_context() if tls else None
        family = socket.AF_UNIX if unix_socket else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.bind(unix_socket or ("127.0.0.1", 0))
        self._listener.listen(256)
        self.port: int = 0 if unix_socket else self._listener.getsockname()[1]
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Accept no more, and end what is open; also more than once."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        with self._lock:
            self._open.add(connection)
        try:
            if self._context is not None:
                plain = connection
                connection = self._context.wrap_socket(
                    plain, server_side=True, do_handshake_on_connect=False
                )
                with self._lock:
                    self._open.remove(plain)
                    self._open.add(connection)
                connection.do_handshake()
            self._behaviour(connection)
        except OSError:  # the client has left, or the server is told to
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


def tls_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@contextmanager
def closed_port() -> Iterator[int]:
    """Keep a port on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _requests(connection: socket.socket) -> Iterator[bytes]:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65_536)
            if not data:
                return
            buffer += data
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        length = _length(head)
        while len(buffer) < length:
            data = connection.recv(65_536)
            if not data:
                return
            buffer += data
        yield head
        buffer = buffer[length:]


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


def answering(answer: bytes, *, is_last: bool = False) -> Behaviour:
    """Answer each request with the same bytes; close after the first where it is the last."""

    def behave(connection: socket.socket) -> None:
        for _ in _requests(connection):
            connection.sendall(answer)
            if is_last:
                _close_kindly(connection)
                return

    return behave


def _close_kindly(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65_536):  # unread bytes would turn the end into a reset
        pass


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"

good = answering(GOOD)
chunked = answering(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ndo\r\n2\r\nne\r\n0\r\n\r\n"
)
errors = answering(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops")
closing = answering(
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone", is_last=True
)
closing_silently = answering(GOOD, is_last=True)
http_1_0 = answering(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", is_last=True)
garbage = answering(b"\x00\xff\x00\xff this is of no protocol\r\n\r\n")
cut_body = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", is_last=True)
cut_chunk = answering(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort", is_last=True
)
cut_head = answering(b"HTTP/1.1 200 OK\r\nContent-Le", is_last=True)


def hanging(connection: socket.socket) -> None:
    """Read, and never answer."""
    while connection.recv(65_536):
        pass


def deaf(connection: socket.socket) -> None:
    """Neither read nor answer, until the client leaves."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.poll(PATIENCE_SECONDS * 1_000)


def resetting(connection: socket.socket) -> None:
    """Reset what was accepted."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resetting_when_asked(connection: socket.socket) -> None:
    """Reset the connection when a request has come."""
    next(_requests(connection), None)
    resetting(connection)


def leaving_when_asked(connection: socket.socket) -> None:
    """Close the connection in order when a request has come, without an answer."""
    next(_requests(connection), None)
    _close_kindly(connection)


def blurting(connection: socket.socket) -> None:
    """Answer in plain HTTP whatever comes."""
    while connection.recv(65_536):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def hasty(connection: socket.socket) -> None:
    """Answer as soon as a head has come, and read its body afterwards, in order and slowly."""
    buffer, never = b"", threading.Event()
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65_536)
            if not data:
                return
            buffer += data
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        if not head.startswith(b"PUT / HTTP/1.1\r\n"):
            return  # in the midst of a body
        connection.sendall(GOOD)
        left = _length(head) - len(buffer)
        buffer = b""
        while left > 0:
            never.wait(0.002)
            data = connection.recv(65_536)
            if not data:
                return
            buffer = data[left:] if len(data) > left else b""
            left -= len(data)


def trickling(pause_seconds: float) -> Behaviour:
    """Answer byte by byte, with a pause before each."""

    def behave(connection: socket.socket) -> None:
        never = threading.Event()
        for _ in _requests(connection):
            for at in range(len(GOOD)):
                never.wait(pause_seconds)
                connection.sendall(GOOD[at : at + 1])

    return behave


Answer = Callable[[H2Connection, Event], None]


def h2(answer: Answer, *, most_streams: int = 100) -> Behaviour:
    """Speak HTTP/2; `answer` is told of each event."""

    def behave(connection: socket.socket) -> None:
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: most_streams})
        connection.sendall(server.data_to_send())
        while data := connection.recv(65_536):
            for event in server.receive_data(data):
                if isinstance(event, DataReceived):
                    server.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id or 0
                    )
                answer(server, event)
            connection.sendall(server.data_to_send())
            if server.state_machine.state.name == "CLOSED":
                _close_kindly(connection)
                return

    return behave


def h2_then_garbage(connection: socket.socket) -> None:
    """Greet as HTTP/2 does; answer with a frame that cannot be."""
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    connection.sendall(server.data_to_send())
    while data := connection.recv(65_536):
        if any(isinstance(event, RequestReceived) for event in server.receive_data(data)):
            connection.sendall(b"\x00\x00\x05\x06\x00\x00\x00\x00\x00short")
            hanging(connection)


def ok(server: H2Connection, event: Event) -> None:
    """Answer each request with success."""
    if isinstance(event, StreamEnded):
        server.send_headers(event.stream_id, [(":status", "200"), ("content-length", "4")])
        server.send_data(event.stream_id, b"done", end_stream=True)


def failing(server: H2Connection, event: Event) -> None:
    """Answer each request with 503."""
    if isinstance(event, StreamEnded):
        server.send_headers(event.stream_id, [(":status", "503")], end_stream=True)


def refusing_streams(server: H2Connection, event: Event) -> None:
    """Reset each stream."""
    if isinstance(event, RequestReceived):
        server.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)


def refusing_every_other(server: H2Connection, event: Event) -> None:
    """Refuse the first stream, and every second after it, before anything is done for them."""
    if isinstance(event, RequestReceived | StreamEnded):
        (refusing_streams if event.stream_id % 4 == 1 else ok)(server, event)


def cutting_streams(server: H2Connection, event: Event) -> None:
    """Reset each stream in the middle of its answer."""
    if isinstance(event, StreamEnded):
        server.send_headers(event.stream_id, [(":status", "200")])
        server.send_data(event.stream_id, b"do")
        server.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)


def silent(server: H2Connection, event: Event) -> None:
    """Never answer."""


def going_away(after: int) -> Answer:
    """Answer so many requests of a connection, then say that this was it, and close."""

    def answer(server: H2Connection, event: Event) -> None:
        if server.state_machine.state.name == "CLOSED":
            return
        ok(server, event)
        if isinstance(event, StreamEnded) and event.stream_id >= 2 * after - 1:
            server.close_connection(last_stream_id=event.stream_id)

    return answer


class GrpcServer:
    """A server of grpcio, with ``/test.Echo/Ok`` and ``/test.Echo/Fail``.

    It is a process of its own: whoever has grpcio in it had better not fork.

    Parameters
    ----------
    unix_socket : str
        Where it listens, instead of on a port.
    options : mapping of str to int
        Of grpcio.
    """

    def __init__(self, unix_socket: str = "", options: Mapping[str, int] | None = None) -> None:
        place = f"unix:{unix_socket}" if unix_socket else "127.0.0.1:0"
        self._process = subprocess.Popen(
            [sys.executable, __file__, place, json.dumps(options or {})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate("", timeout=PATIENCE_SECONDS)


def _serve_grpc(place: str, options: Mapping[str, int]) -> None:
    """Serve until the standard input ends."""
    import grpc

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "as it was asked for")
        raise AssertionError

    server = grpc.server(
        ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0), *options.items())
    )
    handlers = {
        "Ok": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port(place)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(grace=None).wait(PATIENCE_SECONDS)


if __name__ == "__main__":
    _serve_grpc(sys.argv[1], json.loads(sys.argv[2]))
