# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
from typing import Any

import pytest

from resonance.bench.errors import PlanError
from resonance.bench.plan import MOST_CALLS, Load, Request, Stage, Target

TARGET = Target("http", "127.0.0.1", 8080)


def _load(**changed: Any) -> Load:
    return Load(**({"target": TARGET, "stages": (Stage(10.0, 100.0),)} | changed))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (TARGET, "http://127.0.0.1:8080/"),
        (Target("https", "::1", 443, "/a?b=c"), "https://[::1]:443/a?b=c"),
        (Target("frames", "db", 9000, ""), "frames://db:9000"),
        (
            Target("http", "localhost", 0, "/a", unix_socket="/run/x.sock"),
            "http+unix:/run/x.sock:/a",
        ),
        (Target("frames", "localhost", 0, "", unix_socket="/x.sock"), "frames+unix:/x.sock"),
    ],
)
def test_a_target_is_written_as_it_is_asked_for(target: Target, text: str) -> None:
    assert str(target) == text


@pytest.mark.parametrize(
    ("scheme", "is_tls"),
    [("http", False), ("https", True), ("h2", True), ("h2c", False), ("grpc", False),
     ("grpcs", True), ("frames", False)],
)  # fmt: skip
def test_which_schemes_are_encrypted(scheme: Any, is_tls: bool) -> None:
    assert Target(scheme, "a", 1).is_tls == is_tls


@pytest.mark.parametrize(
    ("stage", "calls"),
    [
        (Stage(10.0, 100.0), 1_000.0),
        (Stage(10.0, 0.0, 100.0), 500.0),
        (Stage(10.0, 100.0, 0.0), 500.0),
        (Stage(10.0, 100.0, 300.0), 2_000.0),
    ],
)
def test_a_stage_has_the_calls_of_its_mean_rate(stage: Stage, calls: float) -> None:
    assert stage.calls == calls


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_stage_lasts(seconds: float) -> None:
    with pytest.raises(PlanError, match="seconds: must be above 0"):
        Stage(seconds, 100.0)


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ((0.0,), "is zero: nothing would be sent"),
        ((0.0, 0.0), "is zero: nothing would be sent"),
        ((-1.0,), "must be 0 or more"),
        ((1.0, -1.0), "must be 0 or more"),
        ((math.nan,), "must be 0 or more"),
        ((math.inf,), "must be 0 or more"),
        ((1.0, math.nan), "must be 0 or more"),
    ],
)
def test_a_stage_sends(rates: tuple[float, ...], reason: str) -> None:
    with pytest.raises(PlanError, match=f"rate: {reason}"):
        Stage(1.0, *rates)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_request_that_is_never_drawn_is_refused(weight: float) -> None:
    with pytest.raises(PlanError, match="request a: weight must be above 0"):
        Request("a", weight)


def test_a_load_is_the_sum_of_its_stages() -> None:
    load = _load(stages=(Stage(10.0, 100.0), Stage(30.0, 100.0, 300.0)))
    assert (load.seconds, load.calls, load.rate_per_second) == (40.0, 7_000.0, 175.0)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"stages": ()}, "stages"),
        ({"requests": ()}, "requests"),
        ({"stages": (Stage(2.0, MOST_CALLS / 2 + 1),)}, "rate"),
        ({"warm_up_seconds": -0.1}, "warm_up"),
        ({"warm_up_seconds": 10.0}, "warm_up"),
        ({"warm_up_seconds": math.nan}, "warm_up"),
        ({"timeout_seconds": 0.0}, "timeout"),
        ({"timeout_seconds": math.nan}, "timeout"),
        ({"timeout_seconds": math.inf}, "timeout"),
        ({"connections": 0}, "connections"),
        ({"connections": 4_097}, "connections"),
        ({"processes": 0}, "processes"),
        ({"processes": 65}, "processes"),
        ({"frame_bytes": 0}, "frame_bytes"),
        ({"frame_bytes": 2**20 + 1}, "frame_bytes"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_its_key(changed: dict[str, Any], key: str) -> None:
    with pytest.raises(PlanError) as caught:
        _load(**changed)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "changed",
    [
        {"stages": (Stage(2.0, MOST_CALLS / 2),)},
        {"warm_up_seconds": 9.9},
        {"connections": 4_096, "processes": 64},
        {"stages": (Stage(1.0, 0.0, 1.0),)},
    ],
)
def test_what_is_just_within_bounds_is_a_load(changed: dict[str, Any]) -> None:
    assert _load(**changed).calls > 0.0
