# SPDX-License-Identifier: MIT
"""What callers tell in headers, and how they are refused."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from resonance.server import Refusal
from resonance.server._http import NOTHING_TOLD, Told, refusal_reply, told


def test_headers_are_read() -> None:
    headers = {
        "resonance-timeout": "0.25",
        "resonance-attempt": "2",
        "resonance-importance": "Critical",
        "endpoint-load-metrics-format": "TEXT",
    }
    assert told(headers) == Told(0.25, 2, "critical", wants_text=True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"resonance-timeout": "soon"},
        {"resonance-timeout": "-1"},
        {"resonance-timeout": "nan"},
        {"resonance-attempt": "many"},
        {"resonance-importance": "urgent"},
        {"resonance-importance": ""},
        {"endpoint-load-metrics-format": "xml"},
    ],
)
def test_what_cannot_be_read_counts_as_absent(headers: dict[str, str]) -> None:
    assert told(headers) == NOTHING_TOLD


@pytest.mark.parametrize("refusal", [each for each in Refusal if each != "deadline_over"])
def test_what_is_shed_gets_503_with_the_time_to_come_back(refusal: Refusal) -> None:
    reply = refusal_reply(refusal, 2.1)
    headers = dict(reply.headers)
    assert reply.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert (headers["retry-after"], headers["resonance-reason"]) == ("3", refusal)
    assert headers["content-length"] == str(len(reply.body))


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.0])
def test_nobody_is_told_to_come_back_within_a_second(seconds: float) -> None:
    assert dict(refusal_reply(Refusal.QUEUE_FULL, seconds).headers)["retry-after"] == "1"


def test_what_is_too_late_gets_504_and_need_not_come_back() -> None:
    reply = refusal_reply(Refusal.DEADLINE_OVER, 2.0)
    assert reply.status is HTTPStatus.GATEWAY_TIMEOUT
    assert "retry-after" not in dict(reply.headers)
