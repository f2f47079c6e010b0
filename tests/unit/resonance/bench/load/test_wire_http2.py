# SPDX-License-Identifier: MIT
"""The wire of HTTP/2 beside h2's server, which shares nothing with it but the compression."""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.load.wires import Wire, WireError, wire_factory
from resonance.bench.load.wires.http2.headers import Reader
from resonance.bench.plan import Load, Request, Stage, Target
from resonance.errors import MissingExtraError

LOAD = Load(Target("h2c", "server.test", 8080, "/path?query"), (Stage(1.0, 1.0),))
Kind = TypeVar("Kind", bound=Event)
OK, STATUS, RESET, CUT, GARBAGE = (
    Outcome.OK,
    Outcome.STATUS,
    Outcome.RESET,
    Outcome.CUT,
    Outcome.GARBAGE,
)
NONE = Outcome.NONE
OPEN = struct.pack(">HBBBL", 0, 0, 4, 0, 0)
"""Settings with nothing in them."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return struct.pack(">HBBBL", size >> 8, size & 0xFF, kind, flags, stream) + payload


def wire_of(*requests: Request) -> Wire:
    named = tuple(replace(request, name=str(at)) for at, request in enumerate(requests))
    return wire_factory(replace(LOAD, requests=named or LOAD.requests))()


class Pair:
    """A wire, and h2 as its peer."""

    def __init__(self, *requests: Request, settings: dict[SettingCodes, int] | None = None) -> None:
        self.wire = wire_of(*requests)
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.server.initiate_connection()
        if settings:
            self.server.update_settings(settings)
        self.events: list[Event] = []
        self.take(self.wire.begin())
        assert self.give() == []
        assert any(isinstance(event, SettingsAcknowledged) for event in self.events)
        self.events.clear()

    def take(self, data: bytes) -> list[Event]:
        events = self.server.receive_data(data) if data else []
        self.events += events
        return events

    def send(self, number: int, request: int = 0) -> list[Event]:
        return self.take(self.wire.send(number, request))

    def give(self) -> list[tuple[int, Outcome]]:
        """Hand over what the server has to say, and its answers back, until both are silent."""
        ended: list[tuple[int, Outcome]] = []
        while data := self.server.data_to_send():
            ended += self.wire.receive(data)
            self.take(self.wire.reply())
        return ended

    def answer(self, stream: int, status: int = 200, body: bytes = b"done") -> None:
        self.server.send_headers(stream, [(":status", str(status)), ("server", "h2")])
        self.server.send_data(stream, body, end_stream=True)


def of_kind(events: Sequence[Event], kind: type[Kind]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def test_a_request_says_what_the_load_says() -> None:
    pair = Pair(
        Request(
            method="POST", path="/other", headers=(("X-Thing", " 1 "), ("Host", "else")), body=b"in"
        )
    )
    [request] = of_kind(pair.send(7), RequestReceived)
    assert [tuple(field) for field in request.headers] == [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "else"),
        (":path", "/other"),
        ("user-agent", "resonance-bench"),
        ("accept", "*/*"),
        ("content-length", "2"),
        ("x-thing", "1"),
    ]
    assert [event.data for event in of_kind(pair.events, DataReceived)] == [b"in"]
    assert len(of_kind(pair.events, StreamEnded)) == 1


@pytest.mark.parametrize(
    ("target", "authority", "scheme"),
    [
        (Target("h2c", "server.test", 80), "server.test", "http"),
        (Target("h2", "server.test", 443), "server.test", "https"),
        (Target("h2", "::1", 8443), "[::1]:8443", "https"),
        (Target("h2c", "localhost", 0, unix_socket="/run/app.sock"), "localhost", "http"),
    ],
)
def test_an_authority_has_the_port_unless_it_is_usual(
    target: Target, authority: str, scheme: str
) -> None:
    pair = Pair()
    pair.wire = wire_factory(replace(LOAD, target=target))()
    pair.server = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
    pair.server.initiate_connection()
    pair.take(pair.wire.begin())
    [request] = of_kind(pair.send(0), RequestReceived)
    fields = dict(request.headers)
    assert fields[":authority"] == authority
    assert fields[":scheme"] == scheme


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, OK), (204, OK), (301, OK), (404, STATUS), (503, STATUS)]
)
def test_a_status_is_a_failure_from_400_on(status: int, outcome: Outcome) -> None:
    pair = Pair()
    pair.send(5)
    pair.answer(1, status, b"")
    assert pair.give() == [(5, outcome)]


def test_answers_are_told_apart_in_whatever_order_they_come() -> None:
    pair = Pair()
    for number in (10, 20, 30):
        pair.send(number)
    pair.answer(5)
    pair.answer(1, 500)
    assert pair.give() == [(30, OK), (10, STATUS)]
    pair.answer(3)
    assert pair.give() == [(20, OK)]


def test_a_thousand_calls_of_two_kinds_are_understood_by_both_sides() -> None:
    pair = Pair(Request(path="/a", headers=(("x-a", "1"),)), Request(path="/b", body=b"x" * 10))
    seen: list[str] = []
    for number in range(1_000):
        [request] = of_kind(pair.send(number, number % 3 % 2), RequestReceived)
        seen.append(dict(request.headers)[":path"])
        pair.server.send_headers(
            request.stream_id,
            [(":status", "200"), ("date", f"second {number // 7}"), ("x-id", str(number % 900))],
        )
        pair.server.send_data(request.stream_id, b"", end_stream=True)
        assert pair.give() == [(number, OK)]
    assert seen == ["/b" if number % 3 % 2 else "/a" for number in range(1_000)]


def test_a_peer_may_want_a_smaller_table_of_headers_at_any_time() -> None:
    pair = Pair(Request(headers=(("x-long", "y" * 100),)))
    for number, size in enumerate([4_096, 60, 0, 4_096, 200, 65_536]):
        pair.server.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
        assert pair.give() == []
        for _ in range(3):
            [request] = of_kind(pair.send(number), RequestReceived)
            assert dict(request.headers)["x-long"] == "y" * 100
            pair.answer(request.stream_id)
            assert pair.give() == [(number, OK)]


def test_headers_longer_than_a_frame_go_and_come() -> None:
    pair = Pair(Request(headers=tuple((f"x-{at}", "é" * 9_000) for at in range(4))))
    [request] = of_kind(pair.send(1), RequestReceived)
    assert dict(request.headers)["x-3"] == "é" * 9_000
    pair.server.send_headers(1, [(":status", "200"), ("x-long", "~" * 40_000)], end_stream=True)
    assert pair.give() == [(1, OK)]


def test_informational_answers_are_not_the_answer() -> None:
    pair = Pair()
    pair.send(1)
    pair.server.send_headers(1, [(":status", "103"), ("link", "x")])
    assert pair.give() == []
    pair.answer(1)
    assert pair.give() == [(1, OK)]


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"server", b"date", b"x-request-id", b"content-type", b"etag"]),
        st.sampled_from([b"v", b"nginx", b"text/plain", b"y" * 200, b"z" * 1_500, b"w" * 5_000]),
        st.booleans(),
    ),
    max_size=5,
)


def plainly(fields: Sequence[tuple[bytes, bytes, bool]]) -> bytes:
    """Write fields as nginx does: added to the table again and again, and never looked up."""
    encoder = Encoder()
    blocks: list[bytes] = []
    for name, value, is_kept in fields:
        encoder.header_table_size = 0
        encoder.header_table_size = 4_096
        encoder.table_size_changes.clear()
        encoder.header_table.resized = False
        blocks.append(encoder.encode([(name, value, not is_kept)]))
    return b"".join(blocks)


@given(blocks=st.lists(st.tuples(FIELDS, st.booleans()), max_size=12), data=st.data())
def test_blocks_that_are_remembered_are_read_as_they_would_be_anew(
    blocks: list[tuple[list[tuple[bytes, bytes, bool]], bool]], data: st.DataObject
) -> None:
    reader: Reader[dict[bytes, bytes]] = Reader(dict)
    oracle, encoder = Decoder(), Encoder()
    for fields, is_plain in blocks * data.draw(st.integers(1, 3)):
        if is_plain:
            block = plainly(fields)
            for name, value, is_kept in fields:
                if is_kept:  # what the peer's own table has then
                    encoder.header_table.add(name, value)
        else:
            block = encoder.encode([(name, value, not is_kept) for name, value, is_kept in fields])
        expected = {bytes(field[0]): bytes(field[1]) for field in oracle.decode(block, raw=True)}
        assert reader.read(block) == expected


def test_equal_bytes_mean_another_field_once_another_one_was_added() -> None:
    reader: Reader[dict[bytes, bytes]] = Reader(dict)
    newest = b"\xbe"
    for value in (b"a", b"b", b"a", b"b"):
        added = b"\x40\x01x\x01" + value
        assert reader.read(added) == {b"x": value}
        assert reader.read(newest) == {b"x": value}
        assert reader.read(newest) == {b"x": value}


def test_trailers_end_an_answer() -> None:
    pair = Pair()
    pair.send(1)
    pair.server.send_headers(1, [(":status", "200")])
    pair.server.send_data(1, b"x")
    pair.server.send_headers(1, [("x-checksum", "1")], end_stream=True)
    assert pair.give() == [(1, OK)]


def test_an_answer_with_less_than_its_length_is_garbage_and_that_of_head_is_not() -> None:
    pair = Pair(Request(), Request(method="HEAD"))
    pair.send(1, 0)
    pair.send(2, 1)
    for stream in (1, 3):
        pair.server.send_headers(stream, [(":status", "200"), ("content-length", "5")])
        pair.server.send_data(stream, b"", end_stream=True)
    assert pair.give() == [(1, GARBAGE), (2, OK)]


def test_a_body_wider_than_the_windows_is_sent_as_they_open() -> None:
    body = bytes(range(256)) * 1_000
    pair = Pair(Request(method="PUT", body=body), settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    got = b""
    events = pair.send(1)
    rounds = 0
    while not of_kind(events, StreamEnded):
        pieces = of_kind(events, DataReceived)
        assert pieces
        got += b"".join(piece.data for piece in pieces)
        for piece in pieces:
            pair.server.acknowledge_received_data(piece.flow_controlled_length, 1)
        before = len(pair.events)
        assert pair.give() == []
        events = pair.events[before:]
        rounds += 1
    got += b"".join(piece.data for piece in of_kind(events, DataReceived))
    assert got == body
    assert rounds > 100


def test_bodies_share_the_window_of_the_connection_in_the_order_of_the_calls() -> None:
    pair = Pair(Request(method="PUT", body=b"x" * 40_000))
    for number in range(4):
        pair.send(number)
    sizes = dict.fromkeys((1, 3, 5, 7), 0)
    for piece in of_kind(pair.events, DataReceived):
        sizes[piece.stream_id] += len(piece.data)
    assert list(sizes.values()) == [40_000, 25_535, 0, 0]
    pair.server.increment_flow_control_window(100_000)
    assert pair.give() == []
    assert {event.stream_id for event in of_kind(pair.events, StreamEnded)} == {1, 3, 5, 7}


def test_a_window_may_become_negative_and_is_waited_for() -> None:
    pair = Pair(Request(method="PUT", body=b"x" * 70_000))
    pair.send(1)
    pair.server.increment_flow_control_window(100_000)
    pair.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
    assert pair.give() == []
    pair.server.increment_flow_control_window(65_525, 1)
    assert pair.give() == []
    assert not of_kind(pair.events, StreamEnded)
    pair.server.increment_flow_control_window(4_465, 1)
    assert pair.give() == []
    assert of_kind(pair.events, StreamEnded)


def test_an_answer_before_the_whole_body_went_takes_the_rest_back() -> None:
    pair = Pair(Request(method="PUT", body=b"x" * 100_000))
    pair.send(1)
    pair.answer(1, 413)
    assert pair.give() == [(1, STATUS)]
    assert len(of_kind(pair.events, StreamReset)) == 1
    pair.server.increment_flow_control_window(1_000_000)
    assert pair.give() == []
    assert sum(len(piece.data) for piece in of_kind(pair.events, DataReceived)) == 65_535


def test_an_answer_of_many_megabytes_never_waits_for_our_window() -> None:
    pair = Pair()
    pair.send(1)
    pair.server.send_headers(1, [(":status", "200")])
    ended: list[tuple[int, Outcome]] = []
    for _ in range(3_000):
        pair.server.send_data(1, b"x" * 16_384, pad_length=None)
        ended += pair.give()
    pair.server.end_stream(1)
    assert [*ended, *pair.give()] == [(1, OK)]


def test_padding_is_not_counted_as_the_answer() -> None:
    pair = Pair()
    pair.send(1)
    pair.server.send_headers(1, [(":status", "200"), ("content-length", "4")])
    pair.server.send_data(1, b"done", end_stream=True, pad_length=200)
    assert pair.give() == [(1, OK)]


def test_padded_headers_with_a_priority_are_read() -> None:
    wire = wire_of()
    wire.send(1, 0)
    padded = frame(1, 0x4 | 0x8 | 0x20 | 0x1, 1, b"\x03" + bytes(5) + b"\x88" + bytes(3))
    assert wire.receive(OPEN + padded) == [(1, OK)]


def test_a_peer_says_how_many_streams_may_be() -> None:
    pair = Pair(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 3})
    assert pair.wire.capacity == 3
    pair.server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1_000})
    pair.give()
    assert pair.wire.capacity == 100


def test_a_ping_is_answered() -> None:
    pair = Pair()
    pair.server.ping(b"resonant")
    pair.give()
    assert [event.ping_data for event in of_kind(pair.events, PingAckReceived)] == [b"resonant"]


def test_a_stream_that_is_reset_is_cut_if_its_answer_had_begun() -> None:
    pair = Pair()
    for number in (1, 2, 3):
        pair.send(number)
    pair.server.reset_stream(1, ErrorCodes.REFUSED_STREAM)
    pair.server.send_headers(3, [(":status", "200")])
    pair.server.reset_stream(3, ErrorCodes.INTERNAL_ERROR)
    pair.answer(5)
    assert pair.give() == [(1, NONE), (2, CUT), (3, OK)]
    assert pair.wire.is_reusable


def test_answers_to_what_came_before_goaway_still_count() -> None:
    wire = wire_of()
    for number in (1, 2, 3):
        wire.send(number, 0)
    away = frame(7, 0, 0, struct.pack(">LL", 3, 0))
    assert wire.receive(OPEN + away + frame(1, 0x5, 3, b"\x88")) == [(3, NONE), (2, OK)]
    assert not wire.is_reusable
    assert wire.receive(frame(1, 0x4, 1, b"\x88")) == []
    assert wire.end() == [(1, CUT)]


def test_a_goaway_that_blames_us_is_told_with_its_words() -> None:
    wire = wire_of()
    wire.send(1, 0)
    with pytest.raises(WireError, match="the peer says PROTOCOL_ERROR bad client"):
        wire.receive(OPEN + frame(7, 0, 0, struct.pack(">LL", 0, 1) + b"bad client"))
    assert not wire.is_reusable


def test_what_is_under_way_when_the_peer_closes_is_reset_or_cut() -> None:
    pair = Pair()
    pair.send(1)
    pair.send(2)
    pair.server.send_headers(3, [(":status", "200")])
    assert pair.give() == []
    assert sorted(pair.wire.end()) == [(1, RESET), (2, CUT)]
    assert not pair.wire.is_reusable
    assert pair.wire.end() == []


BAD: dict[str, tuple[bytes, str]] = {
    "HTTP/1": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer speaks HTTP/1"),
    "noise": (b"\x00\xff\x00\xff this is of no protocol", "does not speak HTTP/2"),
    "an acknowledgement first": (frame(4, 1, 0), "does not speak HTTP/2"),
    "settings of a stream": (frame(4, 0, 1), "SETTINGS"),
    "settings of five bytes": (frame(4, 0, 0, bytes(5)), "SETTINGS"),
    "too wide a window": (frame(4, 0, 0, struct.pack(">HL", 4, 2**31)), "wider than"),
    "an endless frame": (OPEN + struct.pack(">HBBBL", 256, 0, 0, 0, 1), "longer than we allow"),
    "a stream of nobody": (OPEN + frame(1, 4, 9, b"\x88"), "nobody opened"),
    "a stream of the server": (OPEN + frame(0, 0, 2), "nobody opened"),
    "no stream": (OPEN + frame(1, 4, 0, b"\x88"), "nobody opened"),
    "a push": (OPEN + frame(5, 4, 1, bytes(5)), "PUSH_PROMISE"),
    "no header block": (OPEN + frame(1, 4, 1, b"\xff\xff\xff\xff\xff"), "cannot be read"),
    "an interrupted header block": (OPEN + frame(1, 0, 1) + frame(6, 0, 0, bytes(8)), "middle"),
    "a continuation of nothing": (OPEN + frame(9, 4, 1), "CONTINUATION"),
    "a continuation of another": (OPEN + frame(1, 0, 1) + frame(9, 4, 3), "CONTINUATION"),
    "an endless header block": (
        OPEN + frame(1, 0, 1) + frame(9, 0, 1, bytes(16_384)) * 17,
        "more than 262144 bytes",
    ),
    "too much padding of data": (OPEN + frame(0, 8, 1, b"\x09x"), "padding"),
    "padding of nothing": (OPEN + frame(0, 8, 1), "padding"),
    "too much padding of headers": (OPEN + frame(1, 0xC, 1, b"\x09x"), "padding"),
    "a short ping": (OPEN + frame(6, 0, 0, b"short"), "PING"),
    "a short goaway": (OPEN + frame(7, 0, 0, b"short"), "GOAWAY"),
    "a short reset": (OPEN + frame(3, 0, 1, b"xx"), "RST_STREAM"),
    "a window that does not open": (OPEN + frame(8, 0, 0, bytes(4)), "WINDOW_UPDATE"),
    "a window of nobody": (OPEN + frame(8, 0, 5, b"\0\0\0\1"), "nobody opened"),
    "a window too wide": (OPEN + frame(8, 0, 0, b"\x7f\xff\xff\xff"), "wider than"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_of_the_protocol_is_told(name: str) -> None:
    data, reason = BAD[name]
    wire = wire_of()
    wire.send(1, 0)
    with pytest.raises(WireError, match=reason):
        wire.receive(data)
    assert not wire.is_reusable
    with pytest.raises(WireError, match=reason):
        wire.receive(b"more")


@pytest.mark.parametrize(
    "answer",
    [
        frame(0, 1, 1, b"data"),  # before any header
        frame(1, 5, 1, b"\x00\x01x\x01y"),  # without a status
        frame(1, 5, 1, b"\x08\x03100"),  # an informational answer that ends it all
        frame(1, 4, 1, b"\x88") + frame(1, 4, 1, b"\x00\x01x\x01y"),  # trailers that do not end
        frame(1, 4, 1, b"\x88") + frame(1, 5, 1, b"\x88"),  # a status in trailers
    ],
)
def test_an_answer_that_makes_no_sense_spoils_its_stream_and_no_other(answer: bytes) -> None:
    wire = wire_of()
    wire.send(1, 0)
    wire.send(2, 0)
    assert wire.receive(OPEN + answer + frame(1, 5, 3, b"\x88")) == [(1, GARBAGE), (2, OK)]
    assert frame(3, 0, 1, struct.pack(">L", 1)) in wire.reply()
    assert wire.is_reusable


def test_garbage_after_an_answer_does_not_undo_it() -> None:
    wire = wire_of()
    for number in (1, 2, 3):
        wire.send(number, 0)
    data = OPEN + frame(1, 5, 3, b"\x88") + frame(6, 0, 0, b"short")
    assert wire.receive(data) == [(2, OK), (1, GARBAGE), (3, GARBAGE)]
    assert not wire.is_reusable


def test_unknown_frames_and_late_frames_of_ended_streams_are_ignored() -> None:
    wire = wire_of()
    wire.send(1, 0)
    late = frame(0, 1, 1, b"x") + frame(3, 0, 1, bytes(4)) + frame(8, 0, 1, b"\0\0\0\1")
    unknown = frame(0xEE, 0xFF, 7, b"?") + frame(2, 0, 1, bytes(5)) + frame(6, 1, 0, bytes(8))
    assert wire.receive(OPEN + unknown + frame(1, 5, 1, b"\x88") + late) == [(1, OK)]
    assert wire.is_reusable


def ends(data: Sequence[bytes], calls: int) -> tuple[dict[int, Outcome], bytes, bool]:
    """What becomes of calls whose answers come in these pieces; the rest is as at the close."""
    wire = wire_of(Request(), Request(method="PUT", body=b"x" * 50_000))
    for number in range(calls):
        wire.send(number, number % 2)
    ended: list[tuple[int, Outcome]] = []
    replies = b""
    try:
        for piece in data:
            ended += wire.receive(piece)
            replies += wire.reply()
    except WireError:
        left = set(range(calls)) - {number for number, _ in ended}
        ended += [(number, GARBAGE) for number in left]
    else:
        is_reusable = wire.is_reusable
        ended += wire.end()
        assert len(ended) == calls
        return dict(ended), replies if is_reusable else b"", is_reusable
    assert len(ended) == calls
    return dict(ended), b"", False


def conversation(kinds: Sequence[str]) -> bytes:
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    wire = wire_of(Request(), Request(method="PUT", body=b"x" * 50_000))
    server.receive_data(wire.begin())
    for number in range(len(kinds)):
        server.receive_data(wire.send(number, number % 2))
    tail = b""
    for at, kind in enumerate(kinds):
        stream = 2 * at + 1
        if kind == "ok":
            server.send_headers(stream, [(":status", "200"), ("x-at", str(at))])
            server.send_data(stream, b"x" * 3_000, end_stream=True)
        elif kind == "error":
            server.send_headers(stream, [(":status", "500")], end_stream=True)
        elif kind == "reset":
            server.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        elif kind == "part":
            server.send_headers(stream, [(":status", "200"), ("x-at", str(at))])
            server.send_data(stream, b"x" * 30)
        elif kind == "ping":
            server.ping(b"8 bytes.")
        elif kind == "window":
            server.increment_flow_control_window(50_000)
        elif kind == "away":
            tail = frame(7, 0, 0, struct.pack(">LL", max(1, stream - 4), 0))
        else:
            tail = frame(6, 0, 0, b"short")
    return server.data_to_send() + tail


KINDS = st.lists(
    st.sampled_from(["ok", "ok", "error", "reset", "part", "ping", "window", "away", "garbage"]),
    min_size=1,
    max_size=8,
)


@given(kinds=KINDS, cuts=st.lists(st.floats(0.0, 1.0), max_size=12))
def test_where_bytes_are_split_changes_no_end(kinds: list[str], cuts: list[float]) -> None:
    data = conversation(kinds)
    places = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    assert ends(pieces, len(kinds)) == ends([data], len(kinds))


def test_byte_by_byte_is_the_same_as_all_at_once() -> None:
    data = conversation(["ok", "error", "ping", "part", "window", "ok", "reset", "away"])
    assert ends([bytes([byte]) for byte in data], 8) == ends([data], 8)


@given(
    data=st.binary(max_size=200),
    place=st.integers(0, 300),
    is_open=st.booleans(),
)
def test_whatever_comes_each_call_has_one_end_and_nothing_else_is_raised(
    data: bytes, place: int, is_open: bool
) -> None:
    sound = conversation(["ok", "part", "ok"])
    prefix = sound[:place] if is_open else b""
    found, _, _ = ends([prefix + data, data], 3)
    assert set(found) == {0, 1, 2}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(method="GET IT"), "no method"),
        (Request(path="no/slash"), "percent-encoded"),
        (Request(path="/with space"), "percent-encoded"),
        (Request(headers=((":path", "/"),)), "not one of HTTP"),
        (Request(headers=(("a b", "c"),)), "not one of HTTP"),
        (Request(headers=(("x", "a\r\nb: c"),)), "not one of HTTP"),
        (Request(headers=(("Connection", "close"),)), "not one of HTTP/2"),
        (Request(headers=(("Transfer-Encoding", "chunked"),)), "not one of HTTP/2"),
        (Request(headers=(("TE", "gzip"),)), "not one of HTTP/2"),
        (Request(headers=(("Content-Length", "1"),)), "follows from the body"),
    ],
)
def test_a_request_that_cannot_be_is_refused_before_the_start(
    request_: Request, reason: str
) -> None:
    with pytest.raises(PlanError, match=f"request all: .*{reason}"):
        wire_factory(replace(LOAD, requests=(request_,)))


def test_without_hpack_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("resonance.bench.load.wires.http2."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hpack", None)
    with pytest.raises(MissingExtraError, match=r"HTTP/2 needs hpack.*\[bench\]"):
        wire_factory(LOAD)
