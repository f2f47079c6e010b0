# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
import sys

import pytest

import resonance

HEAVY = {
    "aiohttp",
    "bcc",
    "google.protobuf",
    "grpc",
    "hdrh",
    "httpx",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "psutil",
    "pyroute2",
    "requests",
    "rich",
    "scipy",
}


def loaded_by(program: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(shown.stdout.split())


@pytest.mark.parametrize(
    "program",
    [
        "import resonance",
        "import resonance; resonance.hints.connect('/nowhere/hints.sock').pressure()",
        "from resonance.hints import aio; aio.connect('/nowhere/hints.sock').pressure()",
        "import resonance; next(iter(resonance.every(0.1, name='it')))",
        "import resonance; resonance.next_valley()",
        "import resonance; resonance.Client().call(('a', 'b'), str)",
        "import resonance; resonance.AsyncClient()",
        "import resonance; resonance.server",
    ],
)
def test_nothing_heavy_is_loaded_to_read_pressure(program: str) -> None:
    assert loaded_by(program) & HEAVY == set()


def test_no_kernel_library_is_loaded_to_ask_the_daemon() -> None:
    program = "import resonance; resonance.hints.connect('/nowhere/hints.sock').state()"
    assert loaded_by(program) & (HEAVY - {"grpc", "google.protobuf"}) == set()


def test_public_names_are_there() -> None:
    assert sorted(resonance.__all__) == [
        "AsyncClient",
        "BatchPolicy",
        "BudgetPolicy",
        "ChoicePolicy",
        "Client",
        "Core",
        "EjectionPolicy",
        "Failure",
        "HedgePolicy",
        "LimitPolicy",
        "Outcome",
        "Policy",
        "Reason",
        "RetryPolicy",
        "TaskHint",
        "ThrottlePolicy",
        "bench",
        "client",
        "current_attempt",
        "deadline",
        "deadlines",
        "embedded",
        "errors",
        "every",
        "hints",
        "histogram",
        "integrations",
        "next_valley",
        "periodic",
        "policies",
        "server",
    ]
    for name in resonance.__all__:
        assert name in dir(resonance)
        assert getattr(resonance, name)


@pytest.mark.parametrize(
    "room",
    ["client", "deadlines", "embedded", "errors", "histogram", "periodic", "policies", "server"],
)
def test_public_names_of_a_room_are_there(room: str) -> None:
    module = getattr(resonance, room)
    assert len(set(module.__all__)) == len(module.__all__)  # ruff keeps them sorted
    for name in module.__all__:
        assert getattr(module, name)


def test_what_a_room_is_known_for_is_found_at_the_door() -> None:
    assert resonance.every is resonance.periodic.every
    assert resonance.next_valley is resonance.periodic.next_valley
    assert resonance.Core is resonance.embedded.Core
    assert resonance.Client is resonance.client.Client
    assert resonance.HedgePolicy is resonance.policies.HedgePolicy
    assert resonance.deadline is resonance.deadlines.deadline


def test_public_names_of_hints_are_there() -> None:
    assert sorted(resonance.hints.__all__) == [
        "AsyncHints",
        "CgroupState",
        "Hints",
        "Histogram",
        "Kind",
        "Latency",
        "Neighbour",
        "PolicyCeiling",
        "Reading",
        "Resolution",
        "Rhythm",
        "State",
        "Status",
        "Subscription",
        "aio",
        "connect",
    ]
    for name in resonance.hints.__all__:
        assert getattr(resonance.hints, name)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = resonance.nothing  # type: ignore[attr-defined]
