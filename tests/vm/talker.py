# SPDX-License-Identifier: MIT
"""A client and a server over TCP that say what the kernel told them of it; run as a program.

``serve ADDRESS PORT`` sends back what comes, on each connection until it is closed. ``connect
ADDRESS PORT COUNT`` connects so many times, ``converse ADDRESS PORT COUNT`` sends so many
messages over one connection; both print JSON with what ``TCP_INFO`` said, in seconds.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

RTT_OFFSET, SEGMENTS_IN_OFFSET = 68, 140
"""Of ``tcpi_rtt`` and ``tcpi_segs_in`` in ``struct tcp_info``, include/uapi/linux/tcp.h."""
MESSAGE = b"?" * 64


def _told(connection: socket.socket) -> tuple[float, int]:
    """Return the smoothed round trip in seconds and the segments received so far."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    (rtt_us,) = struct.unpack_from("=I", info, RTT_OFFSET)
    (segments,) = struct.unpack_from("=I", info, SEGMENTS_IN_OFFSET)
    return rtt_us / 1e6, segments


def _open(address: str, port: int) -> socket.socket:
    connection = socket.create_connection((address, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def connect(address: str, port: int, count: int) -> dict[str, list[float]]:
    """Return the round trip of each handshake, which is all that the kernel has seen by then."""
    rtt_seconds: list[float] = []
    for _ in range(count):
        with _open(address, port) as connection:
            rtt_seconds.append(_told(connection)[0])
    return {"rtt_seconds": rtt_seconds}


def converse(address: str, port: int, count: int) -> dict[str, float]:
    """Return the mean of the smoothed round trip, each value once for each segment it came with."""
    weighted = 0.0
    with _open(address, port) as connection:
        before = _told(connection)[1]
        first = before
        for _ in range(count):
            connection.sendall(MESSAGE)
            left = len(MESSAGE)
            while left:
                left -= len(connection.recv(left))
            rtt_seconds, segments = _told(connection)
            weighted += rtt_seconds * (segments - before)
            before = segments
    return {"mean_seconds": weighted / (before - first), "segments": before - first}


def serve(address: str, port: int) -> None:
    """Send back what comes, one connection after the other."""
    with socket.create_server((address, port), backlog=64) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while heard := connection.recv(4_096):
                    connection.sendall(heard)


if __name__ == "__main__":
    what, address, port, *more = sys.argv[1:]
    if what == "serve":
        serve(address, int(port))
    told = {"connect": connect, "converse": converse}[what](address, int(port), int(more[0]))
    print(json.dumps(told), flush=True)
