# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest

from resonance_bpf.diag import established_sockets, listener_cgroups
from resonance_bpf.errors import ToolchainError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_connection_is_seen_from_both_ends(listener: socket.socket) -> None:
    before = {connection.cookie for connection in established_sockets()}
    with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
        client.sendall(b"ping")
        server.recv(4)
        server.sendall(b"pong")
        client.recv(4)
        new = [found for found in established_sockets() if found.cookie not in before]
    assert len(new) >= 2
    assert any(found.srtt_ns > 0 and found.segments_received > 0 for found in new)


def test_a_listener_is_found_by_its_port(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert len(listener_cgroups(port)) == 1
    listener.close()
    assert listener_cgroups(port) == frozenset()


def test_a_dump_works_inside_a_running_event_loop(listener: socket.socket) -> None:
    async def ask() -> frozenset[int]:
        return listener_cgroups(listener.getsockname()[1])

    assert len(asyncio.run(ask())) == 1


def test_without_pyroute2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(ToolchainError, match="pip install"):
        established_sockets()
