# SPDX-License-Identifier: MIT
"""The ends of the link, each a process of its own: ``serve``, ``take`` and ``ask``.

``serve ADDRESS REQUEST_BYTES REPLY_BYTES [CONGESTION]`` says its ports, answers requests, and
sends bulk to whoever connects to its second port; at the end of its input it says which congestion
control its connections had. ``take ADDRESS PORT FLOWS`` receives bulk, and at the end of its input
says how many bytes. ``ask ADDRESS PORT REQUEST_BYTES REPLY_BYTES TIMEOUT`` reads when calls are
due, sends each then on a connection that is idle, and says what became of it.

A script without a package, of the standard library alone: it starts at once.
"""

from __future__ import annotations

import gc
import json
import os
import select
import selectors
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["NONE", "OK", "RESET", "TIMEOUT", "Asker", "Call", "Connection", "main"]

_PRIORITY: Final = 10
_CONNECTIONS: Final = 64
_CHUNK_BYTES: Final = 1 << 16
_LEAD_SECONDS: Final = 0.05
_STALL_SECONDS: Final = 0.010
_CONNECT_SECONDS: Final = 5.0
NONE, OK, RESET, TIMEOUT = 0, 1, 4, 7
"""Of `resonance.bench.digest.Outcome`."""


def _listener(address: str, congestion: str) -> socket.socket:
    listener = socket.create_server((address, 0), backlog=2 * _CONNECTIONS)
    if congestion:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    return listener


def _serve(address: str, request_bytes: int, reply_bytes: int, congestion: str = "") -> None:
    requests, bulk = _listener(address, congestion), _listener(address, congestion)
    used: set[str] = set()
    reply = bytes(reply_bytes)

    def answer(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):  # the other end has gone
            while len(connection.recv(request_bytes, socket.MSG_WAITALL)) == request_bytes:
                connection.sendall(reply)

    def fill(connection: socket.socket) -> None:
        chunk = bytes(_CHUNK_BYTES)
        with suppress(OSError):
            while True:
                connection.sendall(chunk)

    def accept(listener: socket.socket, serve: object) -> None:
        while True:
            connection, _ = listener.accept()
            name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            used.add(name.rstrip(b"\0").decode())
            _begin(serve, connection)

    _begin(accept, requests, answer)
    _begin(accept, bulk, fill)
    _say([requests.getsockname()[1], bulk.getsockname()[1]])
    sys.stdin.read()
    _say(sorted(used))


def _take(address: str, port: int, flows: int) -> None:
    taken = [0] * flows
    connections = [socket.create_connection((address, port)) for _ in range(flows)]

    def drain(place: int) -> None:
        buffer = bytearray(4 * _CHUNK_BYTES)
        with suppress(OSError):
            while got := connections[place].recv_into(buffer):
                taken[place] += got

    for place in range(flows):
        _begin(drain, place)
    _say("ready")
    for _ in sys.stdin:  # each line asks how much it is now
        _say(sum(taken))


@dataclass
class Call:
    """When it is due, from the start, and what became of it, on CLOCK_MONOTONIC."""

    due: float
    reached: float = -1.0
    sent: float = -1.0
    ended: float = -1.0
    outcome: int = NONE

    def row(self, start: float) -> list[int]:
        """Return its moments and what became of it.

        Parameters
        ----------
        start : float

        Returns
        -------
        list of int
            Due, reached, sent, ended in nanoseconds from the start, -1 where there was none; and
            the outcome.
        """
        moments = (self.due + start, self.reached, self.sent, self.ended)
        return [round((at - start) * 1e9) if at >= 0 else -1 for at in moments] + [self.outcome]


@dataclass
class Connection:
    """One to the server, the call on it, and how many bytes of its answer are missing."""

    socket: socket.socket
    call: Call | None = None
    missing: int = 0


@dataclass
class Asker:
    """Sends what is due, on the connection that was idle last; what finds none waits.

    Attributes
    ----------
    connections : list of Connection
    request : bytes
    reply_bytes : int
    timeout : float
        Seconds after the last call is due until when answers are waited for.
    calls : list of Call
        What became of them, once it has run.
    start : float
        Of their moments, on CLOCK_MONOTONIC.
    waited, stalls : int
        Calls that found no idle connection, and times we were kept from running.
    """

    connections: list[Connection]
    request: bytes
    reply_bytes: int
    timeout: float
    calls: list[Call] = field(default_factory=list[Call])
    start: float = 0.0
    waited: int = 0
    stalls: int = 0
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _waiting: deque[Call] = field(default_factory=deque[Call])
    _idle: list[Connection] = field(default_factory=list[Connection])
    _buffer: bytearray = field(default_factory=lambda: bytearray(4 * _CHUNK_BYTES))

    def run(self, calls: list[Call]) -> None:
        """Send calls when they are due, and wait for their answers.

        Parameters
        ----------
        calls : list of Call
            In the order they are due; at least one.
        """
        self.calls, self._idle = calls, self.connections[::-1]
        for connection in self.connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self.start = time.monotonic() + _LEAD_SECONDS
        last = calls[-1].due + self.timeout
        upcoming = deque(calls)
        while self._selector.get_map() and (upcoming or self._waiting or self._busy):
            now = time.monotonic() - self.start
            if now > last:
                self._give_up()
                break
            while upcoming and upcoming[0].due <= now:
                self._take(upcoming.popleft())
            self._receive((upcoming[0].due if upcoming else last) - now)
        self._selector.close()

    @property
    def _busy(self) -> int:
        return len(self._selector.get_map()) - len(self._idle)

    def _give_up(self) -> None:
        for call in self.calls:
            if call.outcome == NONE:
                call.ended, call.outcome = self.start + call.due + self.timeout, TIMEOUT

    def _take(self, call: Call) -> None:
        call.reached = time.monotonic()
        if self._idle:
            self._send(self._idle.pop(), call)
        else:
            self.waited += 1
            self._waiting.append(call)

    def _send(self, connection: Connection, call: Call) -> None:
        connection.call, connection.missing, call.sent = call, self.reply_bytes, time.monotonic()
        try:
            connection.socket.sendall(self.request)  # it fits into the buffer of an idle one
        except OSError:
            self._lose(connection)

    def _receive(self, seconds: float) -> None:
        before = time.monotonic()
        ready = self._selector.select(max(0.0, seconds))
        self.stalls += time.monotonic() - before > max(0.0, seconds) + _STALL_SECONDS
        for key, _ in ready:
            connection: Connection = key.data
            try:
                got = connection.socket.recv_into(self._buffer)
            except OSError:
                got = 0
            if not got:
                self._lose(connection)
                continue
            connection.missing -= got
            if connection.missing <= 0 and connection.call:
                connection.call.ended, connection.call.outcome = time.monotonic(), OK
                connection.call = None
                self._idle.append(connection)
                if self._waiting:
                    self._send(self._idle.pop(), self._waiting.popleft())

    def _lose(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        if connection.call:
            connection.call.ended, connection.call.outcome = time.monotonic(), RESET
        if connection in self._idle:
            self._idle.remove(connection)


def _ask(address: str, port: int, request_bytes: int, reply_bytes: int, timeout: float) -> None:
    sockets = _connected(address, port)
    _say("ready")
    calls = [Call(due) for due in json.loads(sys.stdin.readline())]
    asker = Asker(list(map(Connection, sockets)), bytes(request_bytes), reply_bytes, timeout)
    gc.collect()
    gc.disable()
    waited_ns, cpu = _wait_ns(), time.process_time()
    began, started_at = time.monotonic(), time.time() + _LEAD_SECONDS
    asker.run(calls)
    cores = (time.process_time() - cpu) / (time.monotonic() - began)
    generator = {
        "is_realtime": os.sched_getscheduler(0) == os.SCHED_FIFO,
        "cpu_cores": cores,
        "cpu_wait_seconds": (_wait_ns() - waited_ns) / 1e9,
        "stalls": asker.stalls,
        "waited": asker.waited,
        "connections": len(asker.connections),
    }
    rows = [call.row(asker.start) for call in calls]
    _say({"started_at": started_at, "calls": rows, "generator": generator})


def _connected(address: str, port: int) -> list[socket.socket]:
    """Open all connections at once: one after the other each takes a round trip."""
    sockets = [socket.socket() for _ in range(_CONNECTIONS)]
    for each in sockets:
        each.setblocking(False)
        each.connect_ex((address, port))
    for each in sockets:
        select.select([], [each], [], _CONNECT_SECONDS)
        each.setblocking(True)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.getpeername()  # raises where it is not connected
    return sockets


def _wait_ns() -> int:
    return int(Path("/proc/self/schedstat").read_text().split()[1])


def _begin(function: object, *arguments: object) -> None:
    assert callable(function)
    threading.Thread(target=function, args=arguments, daemon=True).start()


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Be one of the ends."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    what, address, *words = sys.argv[1:]
    if what == "serve":
        _serve(address, int(words[0]), int(words[1]), *words[2:])
    elif what == "take":
        _take(address, int(words[0]), int(words[1]))
    else:
        _ask(address, int(words[0]), int(words[1]), int(words[2]), float(words[3]))
    sys.stdout.flush()
    os._exit(0)  # its threads may wait for room that never comes


if __name__ == "__main__":
    main()
