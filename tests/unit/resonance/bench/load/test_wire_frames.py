# SPDX-License-Identifier: MIT
"""Frames: which call an answer is of, and what the end of a connection means."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.bench.digest import Outcome
from resonance.bench.errors import PlanError
from resonance.bench.load import parse_target
from resonance.bench.load.wires import Wire, WireError, wire_factory
from resonance.bench.plan import Load, Request, Stage

FRAME = struct.Struct("=IIQ")


def wire(*bodies: bytes, frame_bytes: int = 16) -> Wire:
    named = enumerate(bodies or (b"",))
    requests = tuple(Request(str(place), body=body) for place, body in named)
    stages = (Stage(1.0, 1.0),)
    target = parse_target("tcp://h:1")
    return wire_factory(Load(target, stages, requests=requests, frame_bytes=frame_bytes))()


def test_our_own_frame_carries_the_number_of_the_call() -> None:
    assert wire().send(2**40, 0) == FRAME.pack(1, 0, 2**40)


@given(st.permutations(range(5)), st.integers(1, 90))
def test_numbered_answers_end_their_calls_in_any_order(order: list[int], piece: int) -> None:
    one, ended = wire(), []
    for number in range(5):
        one.send(number, 0)
    data = b"".join(FRAME.pack(4, 0, number) for number in order)
    for place in range(0, len(data), piece):
        ended += one.receive(data[place : place + piece])
    assert ended == [(number, Outcome.OK) for number in order]
    assert not one.end()


def test_a_replica_that_dropped_a_call_failed_it() -> None:
    one = wire()
    one.send(3, 0)
    assert list(one.receive(FRAME.pack(5, 0, 3))) == [(3, Outcome.STATUS)]


def test_a_number_that_was_not_asked_is_garbage() -> None:
    one = wire()
    one.send(3, 0)
    with pytest.raises(WireError, match="call 4"):
        one.receive(FRAME.pack(4, 0, 4))


@given(st.integers(1, 40), st.integers(1, 7))
def test_answers_without_a_number_end_calls_in_their_order(piece: int, frame_bytes: int) -> None:
    one, ended = wire(b"a", b"bb", frame_bytes=frame_bytes), []
    assert [one.send(number, number % 2) for number in range(4)] == [b"a", b"bb", b"a", b"bb"]
    data = bytes(4 * frame_bytes)
    for place in range(0, len(data), piece):
        ended += one.receive(data[place : place + piece])
    assert ended == [(number, Outcome.OK) for number in range(4)]


def test_more_bytes_than_were_asked_for_are_garbage() -> None:
    one = wire(b"a", frame_bytes=4)
    one.send(0, 0)
    with pytest.raises(WireError, match="5 bytes"):
        one.receive(bytes(5))


@pytest.mark.parametrize("bodies", [(b"",), (b"a",)])
def test_of_lost_calls_only_the_one_that_had_begun_to_be_answered_is_cut(
    bodies: tuple[bytes, ...],
) -> None:
    one = wire(*bodies)
    for number in range(3):
        one.send(number, 0)
    assert not one.receive(bytes(5))
    assert list(one.end()) == [(0, Outcome.CUT), (1, Outcome.RESET), (2, Outcome.RESET)]


def test_bodies_for_some_and_none_for_others_are_refused() -> None:
    with pytest.raises(PlanError, match="either all"):
        wire(b"a", b"")
