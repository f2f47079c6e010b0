# SPDX-License-Identifier: MIT
"""The ends of a path in a test: bulk by one connection after the other, requests beside it.

``receive`` takes and drops bulk, and answers requests; ``send HOST`` fills the path, again and
again, and ``rival HOST`` without a pause and by CUBIC. Each is killed at the end.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time

BULK_PORT, REQUEST_PORT = 7001, 7002
BULK_SECONDS, PAUSE_SECONDS = 1.5, 0.8
"""A connection keeps its congestion control until it ends, so they must end; in the pause what
is in the queue drains."""
REQUESTERS, REQUEST_SECONDS = 6, 0.01
"""So many that in the pauses it is seen how short the path is."""
REQUEST_BYTES = 64
CHUNK = bytes(1 << 16)


def receive() -> None:
    requests = socket.create_server(("", REQUEST_PORT))
    bulk = socket.create_server(("", BULK_PORT))
    threading.Thread(target=serve, args=(requests, answer), daemon=True).start()
    print("ready", flush=True)
    serve(bulk, drop)


def serve(listener: socket.socket, what: object) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=what, args=(connection,), daemon=True).start()  # type: ignore[arg-type]


def answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while request := connection.recv(REQUEST_BYTES, socket.MSG_WAITALL):
        connection.sendall(request)


def drop(connection: socket.socket) -> None:
    buffer = bytearray(1 << 18)
    try:
        while connection.recv_into(buffer):
            pass
    except ConnectionResetError:
        return  # the sender does not wait until all has arrived


def connect(host: str, port: int, congestion: str = "") -> socket.socket:
    connection = socket.socket()
    if congestion:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    connection.connect((host, port))
    return connection


def ask(host: str) -> None:
    connection = connect(host, REQUEST_PORT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        connection.sendall(bytes(REQUEST_BYTES))
        connection.recv(REQUEST_BYTES, socket.MSG_WAITALL)
        time.sleep(REQUEST_SECONDS)


def fill(host: str, congestion: str = "", seconds: float = BULK_SECONDS) -> None:
    while True:
        connection = connect(host, BULK_PORT, congestion)
        # Closing drops what was not sent yet, and nobody sends it again.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.settimeout(seconds)
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                connection.send(CHUNK)
        except TimeoutError:
            pass
        connection.close()
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "receive":
        receive()
    elif what == "rival":
        fill(arguments[0], "cubic", seconds=1_000.0)
    else:
        for _ in range(REQUESTERS):
            threading.Thread(target=ask, args=(arguments[0],), daemon=True).start()
        fill(arguments[0])


if __name__ == "__main__":
    main()
