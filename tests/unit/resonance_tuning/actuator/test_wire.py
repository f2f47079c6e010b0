# SPDX-License-Identifier: MIT
from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from fakes.changes import PLAN
from resonance_tuning.actuator import wire
from resonance_tuning.errors import ActuatorError
from resonance_tuning.records import Receipt, Setting, Target
from resonance_tuning.settings import Group, TuningSettings

SETTING = Setting("cpu_idle", Target("cgroup", "/hogs ü"), "1", "batch")
RECEIPT = Receipt(7, SETTING, "conflict-left", "0", "somebody else", ("echo 0 > x",))
SETTINGS = TuningSettings(mode="active", batch=Group(cgroups=("/hogs*",)))
REQUESTS: list[wire.Request] = [
    wire.Begin(settings=SETTINGS, is_resident=True, max_rung=2),
    wire.PlanRequest(2),
    wire.Apply(3, (SETTING,), "it helps"),
    wire.Undo(4, (), "it does not"),
    wire.Verify(5),
    wire.Record(6, "verdict", {"knob": "cpu_idle", "gain": 0.5, "is_kept": True, "windows": 3}),
    wire.Live(7),
]
SAID: list[wire.Answer | wire.Event] = [
    wire.Begun(1, "boot", (RECEIPT,), ("CAP_SYS_NICE",), is_shadow=False),
    wire.Planned(2, PLAN),
    wire.Receipts(3, (RECEIPT,)),
    wire.Failed(4, "no", (RECEIPT,)),
    wire.Drifted((RECEIPT,)),
    wire.Replanned("CPU 1 is offline", (RECEIPT,)),
    wire.SteppedDown((RECEIPT,), "starved"),
]


def _kinds(union: object) -> set[type]:
    return {kind for part in get_args(union) for kind in get_args(part) or (part,)}


def test_every_message_is_among_these() -> None:
    assert {type(request) for request in REQUESTS} == _kinds(wire.Request)
    assert {type(said) for said in SAID} == _kinds(wire.Answer) | _kinds(wire.Event)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_a_request_arrives_as_it_was_sent_on_one_line(request_: wire.Request) -> None:
    line = wire.encode(request_)
    assert line.count(b"\n") == 1
    assert wire.decode_request(line) == request_


@pytest.mark.parametrize("said", SAID, ids=lambda each: type(each).__name__)
def test_what_is_said_arrives_as_it_was_sent_on_one_line(said: wire.Answer | wire.Event) -> None:
    line = wire.encode(said)
    assert line.count(b"\n") == 1
    assert wire.decode_said(line) == said


def test_a_name_that_is_no_utf_8_arrives_as_it_is() -> None:
    receipt = Receipt(1, Setting("k", Target("cgroup", "/h\udcffgs ü"), "1"), "refused")
    said = wire.Receipts(3, (receipt,))
    assert wire.decode_said(wire.encode(said)) == said
    request_ = wire.Apply(4, (receipt.setting,), "why")
    assert wire.decode_request(wire.encode(request_)) == request_


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"type":"write","id":1,"path":"/etc/shadow"}',
        b'{"type":"plan"}',
        b'{"type":"plan","id":0}',
        b'{"type":"apply","id":1,"settings":[{"knob":"x"}],"reason":""}',
        b'{"type":"undo","id":1,"settings":[],"reason":"\\u001b[2J"}',
        b'{"type":"record","id":1,"kind":"Verdict","data":{}}',
        b'{"type":"record","id":1,"kind":"verdict","data":{"x":[1]}}',
        b'{"type":"record","id":1,"kind":"verdict","data":{"x":"' + b"y" * 5_000 + b'"}}',
        b'{"type":"undo","id":1,"settings":[],"reason":"\\u009b2J"}',
        b'{"type":"record","id":1,"kind":"verdict","data":{"x":"\\u001b[2J"}}',
        b'{"type":"record","id":1,"kind":"verdict","data":{"\\u009b2J":1}}',
        b'{"type":"begin","id":1,"settings":{"mode":"all"},"is_resident":true}',
    ],
)
def test_what_is_no_request_is_none(line: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        wire.decode_request(line)


def test_lines_come_whole_however_the_bytes_are_cut() -> None:
    lines = wire.Lines(100)
    text = b"one\n\ntwo\nthree"
    found = [line for cut in range(len(text)) for line in lines.feed(text[cut : cut + 1])]
    assert found == [b"one", b"", b"two"]
    assert list(lines.feed(b"\n")) == [b"three"]


def test_a_line_that_does_not_end_is_not_waited_for() -> None:
    lines = wire.Lines(10)
    assert list(lines.feed(b"x" * 10)) == []
    with pytest.raises(ActuatorError, match="more than 10 bytes"):
        list(lines.feed(b"x"))


def test_lines_before_one_without_an_end_are_given_first() -> None:
    lines = wire.Lines(10).feed(b"one\n" + b"x" * 11)
    assert next(lines) == b"one"
    with pytest.raises(ActuatorError):
        next(lines)
