# SPDX-License-Identifier: MIT
"""Tests of cutting a connection another thread waits for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest

from fakes.http_replicas import PATIENCE_SECONDS, silence
from resonance.integrations._line import Line, connect, current_line


def interrupted(line: Line, wait: Callable[[], object]) -> BaseException | None:
    """Cut a line while a thread waits on it; return what the thread met."""
    met: list[BaseException | None] = []
    began = threading.Event()

    def run() -> None:
        with line.carrying():
            began.set()
            try:
                wait()
            except OSError as error:
                met.append(error)
            else:
                met.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(PATIENCE_SECONDS)
    line.cut()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    return met[0]


def test_a_thread_that_reads_goes_on_when_its_line_is_cut() -> None:
    line = Line()
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def wait() -> None:
            line.hold(ours)
            assert ours.recv(1) == b""

        assert interrupted(line, wait) is None
        assert theirs.recv(1) == b""


def test_a_thread_that_connects_goes_on_when_its_line_is_cut() -> None:
    with silence() as url:
        port = int(url.rpartition(":")[2])
        error = interrupted(Line(), lambda: connect(("127.0.0.1", port), None, None, ()))
        assert isinstance(error, OSError)


def test_a_line_that_is_cut_cuts_what_it_gets_later() -> None:
    line = Line()
    line.cut()
    ours, theirs = socket.socketpair()
    with ours, theirs, line.carrying():
        line.hold(ours)
        assert ours.recv(1) == b""


def test_a_line_that_has_ended_cuts_nothing() -> None:
    line = Line()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with line.carrying():
            line.hold(ours)
        line.cut()
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_a_line_survives_that_its_socket_was_closed_before_it() -> None:
    line = Line()
    ours, theirs = socket.socketpair()
    with theirs, line.carrying():
        line.hold(ours)
        ours.close()
        line.cut()


def test_a_line_keeps_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(3):
            line = Line()
            with line.carrying():
                line.hold(ours)
                line.hold(theirs)
            line.cut()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_same_user_is_held_once() -> None:
    line, user = Line(), object()
    ours, theirs = socket.socketpair()
    with ours, theirs, line.carrying():
        line.hold(ours, user)
        held = line._descriptor
        line.hold(theirs, user)
        assert line._descriptor == held


def test_the_line_of_an_attempt_is_known_inside_only() -> None:
    line = Line()
    with line.carrying():
        assert current_line() is line
    assert current_line() is None


def test_connecting_tries_each_address() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and not ::1, which localhost may mean first
        listener.listen()
        port = listener.getsockname()[1]
        with connect(("localhost", port), PATIENCE_SECONDS, None, ()) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


def test_the_last_address_that_fails_says_why(free_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", free_port), PATIENCE_SECONDS, None, ())


def test_options_and_the_own_address_are_set_before_connecting() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        where = listener.getsockname()
        with connect(where, PATIENCE_SECONDS, ("127.0.0.2", 0), options) as connection:
            assert connection.getsockname()[0] == "127.0.0.2"
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
