# SPDX-License-Identifier: MIT
from __future__ import annotations

import random
from pathlib import Path

import pytest

from resonance.hints import _link
from resonance.hints._link import FailedCallError, Link, socket_path

AWAY = FailedCallError("UNAVAILABLE", "failed to connect to all addresses")


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_link, "time", clock)
    return clock


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make every delay its longest, and note how long that is."""
    ceilings: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0.0
        ceilings.append(high)
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    return ceilings


def test_the_ceiling_of_the_delay_doubles_up_to_five_seconds(longest: list[float]) -> None:
    link = Link(Path("/nowhere"))
    for _ in range(60):
        link.failed(AWAY)
    assert longest[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert longest[-1] == 5.0


def test_nothing_is_asked_until_the_delay_has_passed(clock: Clock, longest: list[float]) -> None:
    link = Link(Path("/nowhere"))
    assert link.is_open
    assert link.failed(AWAY) == 0.1
    assert not link.is_open
    clock.now += 0.1
    assert link.is_open


def test_an_answer_begins_the_delays_anew(longest: list[float]) -> None:
    link = Link(Path("/nowhere"))
    link.failed(AWAY)
    link.failed(AWAY)
    link.succeeded()
    assert (link.is_open, link.reason) == (True, "")
    link.failed(AWAY)
    assert longest == [0.1, 0.2, 0.1]


def test_a_bad_question_is_not_held_against_the_daemon_and_not_asked_again_at_once() -> None:
    link = Link(Path("/nowhere"))
    assert link.failed(FailedCallError("INVALID_ARGUMENT", "no")) == 5.0
    assert (link.is_open, link.reason) == (True, "/nowhere: no")


def test_an_empty_variable_names_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", "")
    assert socket_path(None) == Path("/run/resonance/hints.sock")


def test_a_closed_link_stays_closed() -> None:
    link = Link(Path("/nowhere"))
    link.close()
    link.succeeded()
    assert not link.is_open


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AWAY, "the daemon has gone; start `resonanced run` again"),
        (FailedCallError("UNAVAILABLE", "nothing is measured yet"), "nothing is measured yet"),
        (
            FailedCallError("UNIMPLEMENTED", "Method not found!"),
            "the daemon speaks another version; update the older of the two",
        ),
        (FailedCallError("DEADLINE_EXCEEDED", "Deadline Exceeded"), "no answer in time"),
        (FailedCallError("RESOURCE_EXHAUSTED", ""), "resource_exhausted"),
    ],
)
def test_the_reason_says_what_to_do(error: FailedCallError, reason: str, tmp_path: Path) -> None:
    link = Link(tmp_path)
    link.failed(error)
    assert link.reason == f"{tmp_path}: {reason}"


def test_the_reason_says_that_nobody_is_there() -> None:
    link = Link(Path("/nowhere"))
    link.failed(AWAY)
    assert link.reason == "/nowhere: no daemon here; start `resonanced run`"


def test_the_socket_is_the_one_given_then_the_environments_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RESONANCE_HINTS_SOCKET", raising=False)
    assert socket_path(None) == Path("/run/resonance/hints.sock")
    monkeypatch.setenv("RESONANCE_HINTS_SOCKET", "/tmp/other.sock")
    assert socket_path(None) == Path("/tmp/other.sock")
    assert socket_path("/here.sock") == Path("/here.sock")
