# SPDX-License-Identifier: MIT
"""A connection is opened without waiting for it, wherever its server is."""

from __future__ import annotations

import select
import socket
import ssl
import threading

import pytest

from fakes.bench_servers import tls_context
from resonance.bench.load.connections import Connection, Endpoint
from resonance.bench.load.wires import Wire, wire_factory
from resonance.bench.plan import Load, Stage, Target

pytestmark = pytest.mark.timeout(30)


def wire() -> Wire:
    return wire_factory(Load(Target("https", "localhost", 443), (Stage(1.0, 1.0),)))()


def test_tls_begins_when_a_connection_is_there_that_was_not_at_once() -> None:
    """As of a server that is not on this machine: here its queue is full, and the kernel tries
    again after a second."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with socket.socket() as listener, select.epoll() as epoll:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()) as first:
            endpoint = Endpoint(socket.AF_INET, listener.getsockname(), "localhost", trusting)
            connection = Connection(endpoint, wire(), epoll)
            assert epoll.poll(0) == []  # on its way

            def serve() -> None:
                listener.accept()[0].close()
                plain, _ = listener.accept()
                with tls_context().wrap_socket(plain, server_side=True) as served:
                    served.recv(1)

            server = threading.Thread(target=serve)
            server.start()
            while not connection.is_open:
                assert epoll.poll(10), "nothing comes"
                connection.advance()
            connection.write(b"x")
            server.join()
            first.close()
            connection.retire()
            connection.close()
