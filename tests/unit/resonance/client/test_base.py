# SPDX-License-Identifier: MIT
"""Services by what is called, under which policy; and modes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest

from fakes.attempts import FakeHints
from resonance import Client
from resonance.client import _base
from resonance.client._base import failure_of
from resonance.errors import ClientClosedError, NoReplicaError, OverloadedError, PolicyError
from resonance.policies import Failure, HedgePolicy, Policy, RetryPolicy


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(Policy(), hints=FakeHints()) as made:
        yield made


def names(client: Client) -> dict[str, int]:
    return {report.name: report.calls for report in client.report()}


def plain() -> None: ...


class Callee:
    def method(self) -> None: ...

    def __call__(self) -> None: ...


# ---- policies ----------------------------------------------------------------------------------


def test_a_policy_is_a_policy_a_part_a_name_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text("[hedge]\ndelay = 0.5\n", encoding="utf-8")
    hedge = HedgePolicy(delay=0.5)
    for policy in (hedge, Policy(hedge=hedge), path, str(path)):
        with Client(policy, hints=FakeHints()) as client:
            assert client.default.hedge == hedge


@pytest.mark.parametrize("policy", ["quick", "no/such/file.toml"])
def test_a_policy_nobody_knows_is_refused(policy: str) -> None:
    with pytest.raises(PolicyError):
        Client(policy, hints=FakeHints())


def test_a_part_takes_the_place_of_that_part(client: Client) -> None:
    client.call(["a"], lambda _: None, RetryPolicy(max_attempts=2), service="search")
    (service,) = client._services.values()
    assert service.policy == Policy(retry=RetryPolicy(max_attempts=2))


@pytest.mark.parametrize(("verb", "parts"), [("hedge", (True, False)), ("retry", (False, True))])
def test_a_verb_does_what_it_says_and_no_more(
    client: Client, verb: str, parts: tuple[bool, bool]
) -> None:
    getattr(client, verb)(plain, HedgePolicy() | RetryPolicy())
    (service,) = client._services.values()
    assert (service.policy.hedge is not None, service.policy.retry is not None) == parts


# ---- services ----------------------------------------------------------------------------------


def test_each_function_is_a_service_of_its_own(client: Client) -> None:
    for _ in range(3):
        client.retry(plain)
        client.retry(Callee().method)
        client.retry(Callee())
        client.retry(partial(sorted, ()))
        client.retry(dict)
    assert names(client) == {
        "plain": 3,
        "Callee.method": 3,
        "Callee": 3,
        "sorted": 3,
        "dict": 3,
    }


def test_a_partial_is_the_function_in_it(client: Client) -> None:
    client.retry(plain)
    client.retry(partial(partial(plain)))
    assert names(client) == {"plain": 2}


def test_functions_under_the_same_decorator_are_services_of_their_own(client: Client) -> None:
    def traced(fn: Any) -> Any:
        @wraps(fn)
        def around() -> Any:
            return fn()

        return around

    @traced
    def read() -> None: ...

    @traced
    def write() -> None: ...

    for fn in (read, write, read):
        client.retry(fn)
    assert list(names(client).values()) == [2, 1]


def test_closures_are_the_function_they_come_from(client: Client) -> None:
    for number in range(5):
        client.retry(lambda number=number: number)  # type: ignore[misc]
    assert list(names(client).values()) == [5]


def test_a_name_brings_calls_together(client: Client) -> None:
    client.retry(plain, service="one")
    client.retry(Callee(), service="o" + "ne")
    assert names(client) == {"one": 2}


def test_a_name_is_not_that_of_a_function(client: Client) -> None:
    client.retry(plain)
    client.retry(Callee(), service="plain")
    assert [report.calls for report in client.report()] == [1, 1]


def test_each_policy_has_a_budget_of_its_own(client: Client) -> None:
    for _ in range(2):
        client.retry(plain)
        client.retry(plain, RetryPolicy(max_attempts=2))
        client.retry(plain, RetryPolicy(max_attempts=3))
    assert [report.calls for report in client.report()] == [2, 2, 2]


def test_services_that_are_idle_are_forgotten_in_the_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_base, "_MOST_SERVICES", 4)

    def deep(depth: int) -> None:
        if depth:
            client.retry(lambda: deep(depth - 1), service=f"under way {depth}")

    deep(2)
    for number in range(10):
        client.retry(plain, service=str(number))
    assert list(names(client)) == ["6", "7", "8", "9"]
    assert {key for recent in client._recent.values() for key in recent} == {"6", "7", "8", "9"}


def test_services_under_way_are_never_forgotten(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_base, "_MOST_SERVICES", 1)

    def outer() -> list[str]:
        client.retry(plain, service="inner")
        return list(names(client))

    assert client.retry(outer, service="outer").result == ["outer", "inner"]


# ---- modes and the end -------------------------------------------------------------------------


def test_the_operators_word_reaches_every_service(client: Client) -> None:
    hints: Any = client._kernel._hints
    client.retry(plain)
    hints.ceiling = "observe"
    client._kernel._look_at = client._look_at = 0.0
    client.retry(plain)
    assert client.report()[0].mode == "observe"
    client.set_mode("advise")
    assert client.report()[0].mode == "observe"
    hints.ceiling = "active"
    client._kernel._look_at = client._look_at = 0.0
    client.retry(plain)
    assert client.report()[0].mode == "advise"


def test_a_mode_that_is_set_after_the_end_wakes_nobody(client: Client) -> None:
    client.retry(plain)
    client.close()
    client.set_mode("active")
    (service,) = client._services.values()
    assert not service.is_active
    for _ in range(2):
        with pytest.raises(ClientClosedError):
            client.retry(plain)


# ---- what an error means -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), "unsent"),
        (ConnectionResetError(), "retriable"),
        (ValueError(), "retriable"),
        (KeyboardInterrupt(), "fatal"),
        (SystemExit(), "fatal"),
        (NoReplicaError("inner"), "fatal"),
        (OverloadedError("inner", "limited"), "fatal"),
    ],
)
def test_an_error_means_something_to_a_policy(error: BaseException, kind: str) -> None:
    assert failure_of(Policy(), None, error).kind == kind


def test_a_policy_says_which_errors_are_worth_another_try() -> None:
    policy = Policy(retry=RetryPolicy(retry_on=(OSError,)))
    assert failure_of(policy, None, ConnectionResetError()).kind == "retriable"
    assert failure_of(policy, None, ValueError()).kind == "fatal"


def test_the_application_says_it_better() -> None:
    told = Failure("retriable", pushback=0.5)
    assert failure_of(Policy(), lambda _: told, KeyError()) is told
    assert failure_of(Policy(), lambda _: None, KeyError()).kind == "retriable"
