# SPDX-License-Identifier: MIT
"""What HTTP/1.1 sends, and where it sees an answer end."""

from __future__ import annotations

from typing import Any

import pytest

from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.load import parse_target
from resonance.bench.load.wires import Wire, WireError, wire_factory
from resonance.bench.plan import Load, Request, Stage


def wire(request: Request | None = None, target: str = "http://h/p") -> Wire:
    given = (request or Request(),)
    return wire_factory(Load(parse_target(target), (Stage(1.0, 1.0),), requests=given))()


def answered(data: bytes, *, piece: int, method: str = "GET") -> list[Any]:
    one, ended = wire(Request(method=method)), []
    one.send(7, 0)
    for place in range(0, len(data), piece):
        ended += one.receive(data[place : place + piece])
    return [*ended, one.is_reusable]


ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "unchanged": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
}


@pytest.mark.parametrize("piece", [1, 7, 1_000])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_ends_where_it_says_however_it_is_cut(answer: bytes, piece: int) -> None:
    assert answered(answer, piece=piece) == [(7, Outcome.OK), True]


@pytest.mark.parametrize("piece", [1, 1_000])
def test_an_answer_to_head_ends_with_its_head(piece: int) -> None:
    for answer in (
        ANSWERS["length"][:-3],
        b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWERS["length"][:-3],
    ):
        assert answered(answer, piece=piece, method="HEAD") == [(7, Outcome.OK), True]


def test_a_second_head_follows_on_the_same_connection() -> None:
    one = wire(Request(method="HEAD"))
    for number in (1, 2):
        one.send(number, 0)
        assert list(one.receive(ANSWERS["length"][:-3])) == [(number, Outcome.OK)]


@pytest.mark.parametrize("piece", [1, 1_000])
def test_a_status_from_400_on_is_a_failure(piece: int) -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\na"
    assert answered(answer, piece=piece) == [(7, Outcome.STATUS), True]


def test_a_connection_that_will_close_is_not_used_again() -> None:
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ):
        assert answered(answer, piece=1_000) == [(7, Outcome.OK), False]


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (b"", Outcome.RESET),
        (b"HTTP/1.1 200 O", Outcome.CUT),
        (ANSWERS["length"][:-1], Outcome.CUT),
        (ANSWERS["chunks"][:-5], Outcome.CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nab", Outcome.CUT),
        (b"HTTP/1.0 200 OK\r\n\r\nas long as the connection", Outcome.OK),
        (b"HTTP/1.0 500 No\r\n\r\nsorry", Outcome.STATUS),
    ],
)
def test_the_end_of_the_connection_ends_the_call(data: bytes, outcome: Outcome) -> None:
    one = wire()
    one.send(7, 0)
    if data:
        assert not one.receive(data)
    assert list(one.end()) == [(7, outcome)]


def test_a_connection_without_a_call_ends_without_one() -> None:
    assert list(wire().end()) == []


@pytest.mark.parametrize(
    "data", [b"220 mail\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", bytes(20)]
)
def test_what_is_not_http_is_garbage(data: bytes) -> None:
    one = wire()
    one.send(7, 0)
    with pytest.raises(WireError, match="no HTTP/1.1"):
        one.receive(data)


def test_an_offer_of_another_protocol_is_garbage() -> None:
    one = wire()
    one.send(7, 0)
    with pytest.raises(WireError):
        one.receive(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx")


def test_a_word_before_it_closes_is_no_answer() -> None:
    one = wire()
    assert not one.receive(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert not one.is_reusable


def test_an_answer_too_many_ends_the_connection_and_not_the_call() -> None:
    one = wire()
    one.send(7, 0)
    assert list(one.receive(2 * ANSWERS["length"])) == [(7, Outcome.OK)]
    assert not one.is_reusable


def test_a_request_is_written_as_the_standard_says() -> None:
    plain = wire().send(0, 0)
    assert plain.startswith(b"GET /p HTTP/1.1\r\nHost: h\r\n")
    assert plain.endswith(b"\r\n\r\n")
    post = wire(Request(method="POST", path="/q", headers=(("X-A", "b"),), body=b"body"))
    text = post.send(0, 0)
    assert text.startswith(b"POST /q HTTP/1.1\r\n")
    assert b"\r\nX-A: b\r\nContent-Length: 4\r\n\r\nbody" in text
    own = wire(Request(headers=(("host", "other"),)), "http://[::1]:81/").send(0, 0)
    assert b"host: other" in own
    assert own.lower().count(b"host:") == 1
    assert b"Host: [::1]:81\r\n" in wire(target="http://[::1]:81/").send(0, 0)


@pytest.mark.parametrize(
    "request_",
    [
        Request(method="GE T"),
        Request(path="/a b"),
        Request(path="a"),
        Request(headers=(("X", "a\r\nb"),)),
        Request(headers=(("X:", "a"),)),
        Request(headers=(("Content-Length", "3"),)),
    ],
)
def test_what_http_cannot_carry_is_refused_before_the_start(request_: Request) -> None:
    with pytest.raises(PlanError, match="request all"):
        wire(request_)
