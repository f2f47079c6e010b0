# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import grpc
import pytest

from resonance_api.hints.v1.hints_pb2 import GetRequest, ResolveRequest, WatchRequest
from resonanced.hints import requests
from resonanced.hints.messages import Question
from resonanced.model import Endpoint
from resonanced.rpc import RefusedError


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:8080", Endpoint("127.0.0.1", 8080)),
        ("[::1]:8080", Endpoint("::1", 8080)),
        ("[0:0::1]:1", Endpoint("::1", 1)),
        (":65535", Endpoint("", 65_535)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    assert requests.parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text", ["", "8080", "localhost:80", "1.2.3.4", "1.2.3.4:", ":0", ":65536", ":٣", ":-1", "::1"]
)
def test_what_is_no_endpoint_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        requests.parse_endpoint(text)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "\n" not in refused.value.reason


def test_garbage_is_refused() -> None:
    with pytest.raises(RefusedError, match="not a GetRequest"):
        requests.parse(GetRequest, b"\xff\xff\xff")


def test_a_question_keeps_its_patterns() -> None:
    request = GetRequest(cgroups=["/a", "/b*"], include_histograms=True)
    assert requests.question(request) == Question(("/a", "/b*"), include_histograms=True)


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(RefusedError, match="64"):
        requests.question(GetRequest(cgroups=["x"] * 65))


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_an_interval_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(RefusedError, match="interval_seconds"):
        requests.interval_seconds(WatchRequest(interval_seconds=seconds))


def test_no_interval_is_the_servers_own() -> None:
    assert requests.interval_seconds(WatchRequest()) == 0.1


@pytest.mark.parametrize(
    "request_", [ResolveRequest(), ResolveRequest(pid=0), ResolveRequest(pid=-5)]
)
def test_a_subject_that_is_none_is_refused(request_: ResolveRequest) -> None:
    with pytest.raises(RefusedError, match="pid"):
        requests.subject(request_)


def test_a_process_is_a_subject() -> None:
    assert requests.subject(ResolveRequest(pid=42)) == 42
