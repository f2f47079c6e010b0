# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import grpc
import numpy as np
import pytest

from resonance_api.phase.v1 import phase_pb2
from resonance_api.phase.v1.phase_pb2 import Registration, Releases, Report
from resonance_core.errors import InvalidSampleError
from resonanced.phase.requests import MOST_BYTES, attended, releases
from resonanced.rpc import RefusedError, parse

NOW = 1_000.0


def _registration(**fields: object) -> Registration:
    values: dict[str, object] = {"key": 3, "name": "flush", "period_seconds": 0.1}
    return Registration(**(values | fields))  # type: ignore[arg-type]


def test_a_registration_becomes_a_source() -> None:
    got = attended(
        _registration(
            origin_ns=2_500_000_000,
            phase_free=True,
            slack_seconds=0.01,
            importance=phase_pb2.IMPORTANCE_HIGH,
            offset_seconds=0.05,
            pid=4,
            cgroup_id=5,
        ),
        NOW,
    )
    source = got.source
    assert (got.client_key, got.pid, got.cgroup_id, got.held_seconds) == (3, 4, 5, 0.05)
    assert (source.name, source.period_seconds, source.origin_seconds) == ("flush", 0.1, 2.5)
    assert (source.phase_free, source.slack_seconds, source.importance) == (True, 0.01, "high")
    assert source.offset_seconds == 0.05


def test_nothing_said_of_importance_is_normal_and_what_we_do_not_know_is_critical() -> None:
    assert attended(_registration(), NOW).source.importance == "normal"
    assert attended(_registration(importance=9), NOW).source.importance == "critical"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"period_seconds": math.nan}, "period_seconds"),
        ({"period_seconds": -0.1}, "period_seconds"),
        ({"period_seconds": math.inf}, "period_seconds"),
        ({"slack_seconds": -1.0}, "slack_seconds"),
        ({"offset_seconds": 0.1}, "offset_seconds"),
        ({"offset_seconds": math.nan}, "offset_seconds"),
        ({"origin_ns": 2**64 - 1}, "origin_ns"),
    ],
)
def test_a_registration_that_cannot_be_is_refused_by_name(
    fields: dict[str, object], name: str
) -> None:
    with pytest.raises(InvalidSampleError) as refused:
        attended(_registration(**fields), NOW)
    assert refused.value.name == name


def test_releases_become_seconds_and_what_is_not_known_is_not_a_number() -> None:
    got = releases(
        Releases(
            key=3, at_ns=[10**9, 2 * 10**9], work_seconds=[0.25, math.nan], offset_seconds=0.5
        ),
        1.0,
        NOW,
    )
    assert got.key == 3
    assert got.at_seconds.tolist() == [1.0, 2.0]
    assert got.work_seconds[0] == 0.25
    assert math.isnan(got.work_seconds[1])
    assert np.isnan(got.completion_seconds).all()
    assert got.offset_seconds == 0.5


def test_a_report_without_releases_tells_the_hold_alone() -> None:
    got = releases(Releases(key=3, offset_seconds=0.02), 0.1, NOW)
    assert got.at_seconds.size == 0
    assert got.offset_seconds == 0.02


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (Releases(at_ns=[1_002_000_000_000]), "at_ns"),
        (Releases(at_ns=[1], work_seconds=[1.0, 1.0]), "work_seconds"),
        (Releases(at_ns=[1], work_seconds=[-1.0]), "work_seconds"),
        (Releases(at_ns=[1], completion_seconds=[math.inf]), "completion_seconds"),
        (Releases(at_ns=[1], offset_seconds=1.0), "offset_seconds"),
    ],
)
def test_releases_that_cannot_be_are_refused_by_name(message: Releases, name: str) -> None:
    with pytest.raises(InvalidSampleError) as refused:
        releases(message, 1.0, NOW)
    assert refused.value.name == name


def test_bytes_that_are_no_message_are_refused_in_words() -> None:
    with pytest.raises(RefusedError) as refused:
        parse(Report, b"\xff\xff")
    assert (refused.value.code, refused.value.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "not a Report",
    )


def test_a_full_stream_registers_in_one_report() -> None:
    registrations = [_registration(key=key, name="x" * 128, pid=2**22) for key in range(256)]
    assert Report(registrations=registrations).ByteSize() < MOST_BYTES
