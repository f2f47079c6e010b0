# SPDX-License-Identifier: MIT
"""What clients and servers tell each other beside the messages of gRPC."""

from __future__ import annotations

import struct
from math import inf, nan

import pytest

from resonance.server import LoadReport
from resonance.server._grpc_metadata import OWN_LOAD_REPORT, from_wire, to_wire, value_of
from resonance_api.load.v1 import load_report_pb2


def received(content: str | bytes) -> LoadReport | None:
    return from_wire([(OWN_LOAD_REPORT, content)])


def test_a_report_is_read_as_it_was_written() -> None:
    report = LoadReport(
        cpu_utilization=0.5,
        mem_utilization=0.25,
        application_utilization=1.5,
        rps_fractional=99.5,
        eps=0.5,
        named_metrics={"runqueue_pressure": 0.125},
    )
    assert received(to_wire(report)) == report


def test_what_is_not_known_is_not_sent() -> None:
    assert to_wire(LoadReport()) == b""
    assert received(b"") == LoadReport()


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("cpu_utilization", 1),
        ("mem_utilization", 2),
        ("rps_fractional", 6),
        ("eps", 7),
        ("application_utilization", 9),
    ],
)
def test_fields_have_the_numbers_of_orca(name: str, number: int) -> None:
    eight_bytes = 1
    wire = bytes([number << 3 | eight_bytes]) + struct.pack("<d", 0.5)
    assert to_wire(LoadReport(**{name: 0.5})) == wire


def test_the_message_has_a_name_of_its_own_and_all_numbers_of_orca() -> None:
    descriptor = load_report_pb2.LoadReport.DESCRIPTOR
    assert descriptor.full_name == "resonance.load.v1.LoadReport"
    assert {each.name: each.number for each in descriptor.fields} == {
        "cpu_utilization": 1,
        "mem_utilization": 2,
        "rps": 3,
        "request_cost": 4,
        "utilization": 5,
        "rps_fractional": 6,
        "eps": 7,
        "named_metrics": 8,
        "application_utilization": 9,
    }


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        "text",
        to_wire(LoadReport(cpu_utilization=-1.0)),
        to_wire(LoadReport(cpu_utilization=inf)),
        to_wire(LoadReport(eps=nan)),
        to_wire(LoadReport(named_metrics={"any": nan})),
    ],
)
def test_a_report_that_cannot_be_counts_as_none(content: str | bytes) -> None:
    assert received(content) is None


def test_the_first_value_under_a_name_counts() -> None:
    pairs = [("a", "1"), ("b", "2"), ("b", "3")]
    assert value_of(pairs, "b") == "2"
    assert value_of(pairs, "c") is None
    assert value_of(None, "a") is None
