# SPDX-License-Identifier: MIT
"""Servers of one thread for each connection, that do with it whatever a test wants."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Server", "answer_http", "certificate", "echo", "serve"]

Handler = Callable[[socket.socket], None]


@dataclass(slots=True)
class Server:
    """A server that runs; `accepted` counts its connections."""

    port: int
    accepted: list[socket.socket] = field(default_factory=list)


@contextmanager
def serve(
    handle: Handler, *, path: str | None = None, context: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Run a server on 127.0.0.1, or on the path of a Unix socket."""
    listener = socket.socket(socket.AF_UNIX if path is not None else socket.AF_INET)
    listener.bind(path if path is not None else ("127.0.0.1", 0))
    listener.listen(256)
    server = Server(0 if path is not None else listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError), connection:
            if context is None:
                handle(connection)
            else:
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    handle(encrypted)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.accepted.append(connection)
            thread = threading.Thread(target=one, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
        for connection in server.accepted:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def echo(connection: socket.socket) -> None:
    """Send back what comes."""
    while data := connection.recv(4096):
        connection.sendall(data)


def requests(connection: socket.socket) -> Iterator[bytes]:
    """Yield the head of each request that comes, one after the other."""
    rest = b""
    while True:
        while b"\r\n\r\n" not in rest:
            data = connection.recv(4096)
            if not data:
                return
            rest += data
        head, _, rest = rest.partition(b"\r\n\r\n")
        yield head


def answer_http(answer: bytes) -> Handler:
    """Return what answers each request with these bytes."""

    def handle(connection: socket.socket) -> None:
        for _ in requests(connection):
            connection.sendall(answer)

    return handle


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost that is its own authority, and its key."""
    made, key = directory / "certificate.pem", directory / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", key, "-out", made),
        ],
        check=True,
        capture_output=True,
    )
    return made, key
