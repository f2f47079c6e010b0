# SPDX-License-Identifier: MIT
"""The wire of gRPC beside h2's server, and beside grpcio's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived
from hypothesis import given
from hypothesis import strategies as st

from fakes.bench_servers import PATIENCE_SECONDS, GrpcServer
from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.load.wires import Wire, WireError, wire_factory
from resonance.bench.plan import Load, Request, Stage, Target

LOAD = Load(Target("grpc", "server.test", 50_051, "/test.Echo/Ok"), (Stage(1.0, 1.0),))
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
MESSAGE = struct.pack(">BL", 0, 3) + b"abc"


def wire_of(*requests: Request) -> Wire:
    named = tuple(replace(request, name=str(at)) for at, request in enumerate(requests))
    return wire_factory(replace(LOAD, requests=named or LOAD.requests))()


def asked(wire: Wire, calls: int = 1) -> H2Connection:
    server = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
    server.initiate_connection()
    server.receive_data(wire.begin())
    for number in range(calls):
        server.receive_data(wire.send(number, 0))
    return server


def test_a_call_is_what_grpc_says_a_call_is() -> None:
    wire = wire_of(Request(headers=(("x-tenant", "one"),), body=b"message"))
    server = asked(wire, 0)
    events = server.receive_data(wire.send(3, 0))
    [request] = [event for event in events if isinstance(event, RequestReceived)]
    assert [tuple(field) for field in request.headers] == [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "server.test:50051"),
        (":path", "/test.Echo/Ok"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "resonance-bench"),
        ("x-tenant", "one"),
    ]
    [data] = [event for event in events if isinstance(event, DataReceived)]
    assert data.data == b"\x00\x00\x00\x00\x07message"


def test_a_request_may_call_another_method_than_the_target() -> None:
    wire = wire_of(Request(path="/test.Echo/Fail"))
    server = asked(wire, 0)
    [request, *_] = server.receive_data(wire.send(0, 0))
    assert isinstance(request, RequestReceived)
    assert dict(request.headers)[":path"] == "/test.Echo/Fail"


@pytest.mark.parametrize(
    ("head", "message", "trailers", "outcome"),
    [
        (HEAD, MESSAGE, [("grpc-status", "0")], Outcome.OK),
        (HEAD, MESSAGE[:5], [("grpc-status", "0"), ("grpc-message", "")], Outcome.OK),
        (HEAD, b"", [("grpc-status", "14"), ("grpc-message", "gone")], Outcome.STATUS),
        (HEAD, MESSAGE, [("grpc-status", "13")], Outcome.STATUS),
        ([*HEAD, ("grpc-status", "8")], None, None, Outcome.STATUS),
        ([(":status", "503")], b"busy", None, Outcome.STATUS),
        ([(":status", "404")], None, None, Outcome.STATUS),
        ([(":status", "200"), ("content-type", "text/html")], b"hello", None, Outcome.GARBAGE),
        (HEAD, MESSAGE, [("x-other", "1")], Outcome.GARBAGE),
        (HEAD, MESSAGE, None, Outcome.GARBAGE),
        (HEAD, b"", [("grpc-status", "0")], Outcome.GARBAGE),
        ([*HEAD, ("grpc-status", "0")], None, None, Outcome.GARBAGE),
    ],
)
def test_the_status_decides_and_success_has_a_message(
    head: list[tuple[str, str]],
    message: bytes | None,
    trailers: list[tuple[str, str]] | None,
    outcome: Outcome,
) -> None:
    wire = wire_of()
    server = asked(wire)
    server.send_headers(1, head, end_stream=message is None)
    if message is not None:
        server.send_data(1, message, end_stream=trailers is None)
    if trailers is not None:
        server.send_headers(1, trailers, end_stream=True)
    assert wire.receive(server.data_to_send()) == [(0, outcome)]


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [data[begin:end] for begin, end in zip(places, [*places[1:], len(data)], strict=True)]


@given(cuts=st.lists(st.integers(0, 10_000), max_size=10))
def test_where_bytes_are_split_changes_no_end(cuts: list[int]) -> None:
    wire = wire_of()
    server = asked(wire, 4)
    for stream, code in ((1, "0"), (5, "14"), (7, "0")):
        server.send_headers(stream, [*HEAD, ("x-stream", str(stream))])
        server.send_data(stream, MESSAGE * 50)
        server.send_headers(stream, [("grpc-status", code)], end_stream=True)
    ended: list[tuple[int, Outcome]] = []
    for piece in pieces_of(server.data_to_send(), cuts):
        ended += wire.receive(piece)
    assert ended == [(0, Outcome.OK), (2, Outcome.STATUS), (3, Outcome.OK)]
    assert wire.end() == [(1, Outcome.RESET)]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(path="/nothing"), "/package.Service/Method"),
        (Request(path="/a.B/"), "/package.Service/Method"),
        (Request(path="/a/b/c"), "/package.Service/Method"),
        (Request(headers=(("TE", "trailers"),)), "set by gRPC itself"),
        (Request(headers=(("Content-Type", "application/json"),)), "set by gRPC itself"),
        (Request(headers=(("bad name", "1"),)), "not one of HTTP"),
    ],
)
def test_a_call_that_cannot_be_is_refused_before_the_start(request_: Request, reason: str) -> None:
    with pytest.raises(PlanError, match=f"request all: .*{reason}"):
        wire_factory(replace(LOAD, requests=(request_,)))


def spoken(wire: Wire, server: GrpcServer, calls: Sequence[int]) -> dict[int, Outcome]:
    """Make calls one after the other, until all have ended."""
    ended: dict[int, Outcome] = {}
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as way:
        way.sendall(wire.begin())
        for number, request in enumerate(calls):
            way.sendall(wire.send(number, request))
        while len(ended) < len(calls):
            data = way.recv(65_536)
            assert data, "grpcio hung up"
            ended.update(wire.receive(data))
            way.sendall(wire.reply())
    return ended


def test_grpcio_answers_many_calls_on_one_connection() -> None:
    kinds = [0, 1, 2] * 30
    wire = wire_of(
        Request(body=b"x" * 100, headers=(("x-tenant", "one"),)),
        Request(path="/test.Echo/Fail"),
        Request(path="/test.Echo/Unknown"),
    )
    with GrpcServer() as server:
        ended = spoken(wire, server, kinds)
    assert ended == {
        number: Outcome.STATUS if kind else Outcome.OK for number, kind in enumerate(kinds)
    }


def test_messages_of_a_megabyte_go_to_grpcio_and_come_back() -> None:
    wire = wire_of(Request(body=bytes(1_000_000)))
    with GrpcServer() as server:
        assert set(spoken(wire, server, [0] * 20).values()) == {Outcome.OK}


def test_an_answer_in_http_1_is_told() -> None:
    wire = wire_of()
    wire.send(0, 0)
    with pytest.raises(WireError, match="HTTP/1"):
        wire.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
