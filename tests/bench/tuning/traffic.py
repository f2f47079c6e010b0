# SPDX-License-Identifier: MIT
"""The ends of a path: bulk, and small requests beside it.

``receive SECONDS TRANSFERS`` says ready, answers requests, and prints the bytes per second of
each transfer once the first two seconds are over, in which it finds its rate; ``send HOST
SECONDS CGROUP CONGESTION`` enters the cgroup, sends bulk and requests, and prints the requests'
round trips in seconds; ``rival HOST`` sends bulk by CUBIC, in no cgroup of ours.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

_BULK_PORT: Final = 7001
_REQUEST_PORT: Final = 7002
_START_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 10.0
_REQUEST_HZ: Final = 50.0
_REQUEST_BYTES: Final = 128
_PRIORITY: Final = 10
_CHUNK: Final = bytes(1 << 16)


def _receive(seconds: float, transfers: int) -> None:
    bulk = socket.create_server(("", _BULK_PORT))
    requests = socket.create_server(("", _REQUEST_PORT))
    socket.setdefaulttimeout(_PATIENCE_SECONDS)
    for listener in (bulk, requests):
        listener.settimeout(_PATIENCE_SECONDS)
    print("ready", flush=True)
    rates: dict[str, float] = {}
    threads = [threading.Thread(target=_answer, args=(requests,))]
    threads += [
        threading.Thread(target=_count, args=(bulk, seconds, rates)) for _ in range(transfers)
    ]
    for thread in threads:
        thread.start()
    # The one that answers ends when the sender goes: a last slow request counts like the others.
    for thread in threads:
        thread.join()
    print(json.dumps(rates))


def _count(listener: socket.socket, seconds: float, rates: dict[str, float]) -> None:
    connection, _ = listener.accept()
    name = connection.recv(1, socket.MSG_WAITALL)
    begun, received = time.monotonic(), 0
    buffer = bytearray(1 << 18)
    while (got := connection.recv_into(buffer)) and time.monotonic() < begun + seconds:
        if time.monotonic() >= begun + _START_SECONDS:
            received += got
    rates["ours" if name == b"o" else "rival"] = received / (seconds - _START_SECONDS)
    connection.close()


def _answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while request := connection.recv(_REQUEST_BYTES, socket.MSG_WAITALL):
        connection.sendall(request)


def _connect(host: str, port: int, congestion: str) -> socket.socket:
    connection = socket.socket()
    if congestion:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    connection.connect((host, port))
    return connection


def _bulk(host: str, name: bytes, congestion: str) -> None:
    with _connect(host, _BULK_PORT, congestion) as connection:
        connection.sendall(name)
        try:
            while True:
                connection.sendall(_CHUNK)
        except (BrokenPipeError, ConnectionResetError):
            return  # the receiver has seen enough


def _send(host: str, seconds: float, cgroup: str, congestion: str) -> None:
    (Path(cgroup) / "cgroup.procs").write_text("0")
    sending = threading.Thread(target=_bulk, args=(host, b"o", congestion), daemon=True)
    sending.start()
    with _connect(host, _REQUEST_PORT, congestion) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.monotonic()
        due, request = started + _START_SECONDS, bytes(_REQUEST_BYTES)
        while due < started + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            connection.sendall(request)
            connection.recv(_REQUEST_BYTES, socket.MSG_WAITALL)
            print(time.monotonic() - sent)
            due = max(due + 1.0 / _REQUEST_HZ, time.monotonic())
    os._exit(_flushed())  # the bulk thread may wait for room that never comes


def _flushed() -> int:
    sys.stdout.flush()
    return 0


def main() -> None:
    """Be one end."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    what, *arguments = sys.argv[1:]
    if what == "receive":
        _receive(float(arguments[0]), int(arguments[1]))
    elif what == "rival":
        _bulk(arguments[0], b"r", "cubic")
    else:
        _send(arguments[0], float(arguments[1]), *arguments[2:])


if __name__ == "__main__":
    main()
