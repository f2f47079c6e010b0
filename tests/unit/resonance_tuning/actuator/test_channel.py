# SPDX-License-Identifier: MIT
from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from resonance_tuning.actuator import wire
from resonance_tuning.actuator.channel import Channel
from resonance_tuning.errors import ActuatorError


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """The actuator's end and the client's."""
    ours, client = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with client:
        channel = Channel(ours, max_unread_bytes=1 << 16)
        yield channel, client
        channel.close()


def test_requests_come_in_order_and_only_when_they_are_whole(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, client = ends
    assert channel.receive() == []
    client.sendall(b'{"type":"verify","id":3}\n{"type":"live","id":4}\n{"type":"pl')
    assert channel.receive() == [wire.Verify(3), wire.Live(4)]
    client.sendall(b'an","id":5}\n')
    assert channel.receive() == [wire.PlanRequest(5)]


def test_the_clients_end_is_none_and_no_error(ends: tuple[Channel, socket.socket]) -> None:
    channel, client = ends
    client.close()
    assert channel.receive() is None


def test_a_client_that_ends_with_answers_unread_is_an_end_too(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, client = ends
    channel.say(wire.Receipts(1, ()))
    client.close()
    assert channel.receive() is None
    channel.say(wire.Receipts(2, ()))
    assert not channel.has_unsent


@pytest.mark.parametrize("raw", [b"nonsense\n", b"\xff\n", b'{"type":"plan","id":-1}\n'])
def test_nonsense_is_refused(raw: bytes, ends: tuple[Channel, socket.socket]) -> None:
    channel, client = ends
    client.sendall(raw)
    with pytest.raises(ActuatorError, match="a request that is none"):
        channel.receive()


def test_a_client_that_does_not_read_does_not_hold_us_up_and_is_refused_at_last(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, client = ends
    while not channel.has_unsent:
        channel.say(wire.Failed(1, "x" * 1_000))
    with pytest.raises(ActuatorError, match="does not read"):
        channel.say(wire.Failed(1, "x" * (1 << 16)))
    assert channel.has_unsent
    client.close()


def test_what_was_kept_is_sent_once_the_client_reads(ends: tuple[Channel, socket.socket]) -> None:
    channel, client = ends
    sent = 0
    while not channel.has_unsent:
        channel.say(wire.Failed(1, "x" * 1_000))
        sent += 1
    received = b""
    while received.count(b"\n") < sent:
        received += client.recv(1 << 16)
        channel.flush()
    assert not channel.has_unsent
    assert len(received.splitlines()) == sent
