# SPDX-License-Identifier: MIT
from __future__ import annotations

import asyncio
import doctest
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resonance import deadlines
from resonance.deadlines import (
    absolute,
    attempt_value,
    bind,
    deadline,
    header_value,
    inbound,
    inbound_attempts,
    parse_attempts,
    parse_timeout,
    remaining,
)
from resonance.errors import PolicyError

PATIENCE = 10.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_deadline_there_is_none() -> None:
    assert (absolute(), remaining(), header_value()) == (None, None, None)


def test_a_deadline_counts_down(clock: list[float]) -> None:
    with deadline(0.5):
        clock[0] += 0.2
        assert absolute() == 1000.5
        assert remaining() == pytest.approx(0.3)


def test_a_deadline_counts_from_where_its_block_begins(clock: list[float]) -> None:
    later = deadline(0.5)
    clock[0] += 10.0
    with later:
        assert remaining() == 0.5


def test_when_it_is_too_late_nothing_is_left(clock: list[float]) -> None:
    with deadline(0.5):
        clock[0] += 2.0
        assert remaining() == 0.0


@pytest.mark.parametrize(("outer", "inner"), [(0.5, 10.0), (10.0, 0.5)])
def test_of_nested_ones_the_earlier_holds(clock: list[float], outer: float, inner: float) -> None:
    with deadline(outer), deadline(inner):
        assert absolute() == clock[0] + 0.5


def test_leaving_a_block_brings_the_outer_one_back(clock: list[float]) -> None:
    with deadline(10.0):
        with pytest.raises(ZeroDivisionError), deadline(0.5):
            _ = 1 / 0
        assert absolute() == clock[0] + 10.0
    assert absolute() is None


def test_a_deadline_of_zero_is_over_at_once() -> None:
    with deadline(0):
        assert remaining() == 0.0


@pytest.mark.parametrize(
    "seconds", [-1, -1e-9, float("nan"), float("inf"), float("-inf"), "1", None, True]
)
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(PolicyError, match="deadline: must be seconds, 0 or more, not"):
        deadline(seconds)


async def test_tasks_are_under_the_deadline_they_were_made_under() -> None:
    async def left() -> float | None:
        await asyncio.sleep(0)
        return absolute()

    with deadline(5.0):
        task = asyncio.create_task(left())
        expected = absolute()
    assert await task == expected
    assert await asyncio.create_task(left()) is None


async def test_to_thread_carries_the_deadline() -> None:
    with deadline(5.0):
        assert await asyncio.to_thread(absolute) == absolute()


def test_a_plain_thread_has_none_and_a_bound_function_has() -> None:
    with ThreadPoolExecutor(1) as pool, deadline(5.0):
        assert pool.submit(absolute).result(PATIENCE) is None
        assert pool.submit(bind(absolute)).result(PATIENCE) == absolute()


def test_a_bound_function_may_run_in_many_threads_at_once() -> None:
    together = threading.Barrier(4)

    def meet(_: int) -> float | None:
        together.wait(PATIENCE)
        return absolute()

    with ThreadPoolExecutor(4) as pool, deadline(5.0):
        assert set(pool.map(bind(meet), range(4), timeout=PATIENCE)) == {absolute()}


def test_a_bound_function_keeps_its_deadline_after_the_block(clock: list[float]) -> None:
    with deadline(5.0):
        bound = bind(absolute)
    assert bound() == clock[0] + 5.0
    assert absolute() is None


def test_a_bound_function_passes_all_on_and_keeps_its_name() -> None:
    def add(one: int, *, two: int) -> int:
        """Add them."""
        return one + two

    bound = bind(add)
    assert bound(1, two=2) == 3
    assert (bound.__name__, bound.__doc__) == ("add", "Add them.")


def test_what_a_bound_function_sets_stays_inside() -> None:
    def go_under(seconds: float) -> None:
        deadline(seconds).__enter__()

    bind(go_under)(1.0)
    assert absolute() is None


def test_a_coroutine_function_cannot_be_bound() -> None:
    async def work() -> None:
        raise NotImplementedError

    with pytest.raises(TypeError, match="make a task"):
        bind(work)


def test_the_header_is_in_seconds_and_never_negative(clock: list[float]) -> None:
    with deadline(0.25):
        assert header_value() == "0.250000"
        assert header_value(now=clock[0] + 0.1) == "0.150000"
        assert header_value(now=clock[0] + 9.0) == "0.000000"


@pytest.mark.parametrize("seconds", [0.0, 1e-6, 0.1, 86_400.0, 1e8])
def test_what_is_sent_is_read_as_it_was(clock: list[float], seconds: float) -> None:
    clock[0] = 0.0
    with deadline(seconds):
        value = header_value()
    assert value is not None
    assert parse_timeout({"resonance-timeout": value}) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"resonance-timeout": "0.25"}, 0.25),
        ({"resonance-timeout": "3"}, 3.0),
        ({"resonance-timeout": "0"}, 0.0),
        ({"x-envoy-expected-rq-timeout-ms": "150"}, 0.15),
        ({"x-envoy-expected-rq-timeout-ms": "0"}, None),
        ({"grpc-timeout": "2H"}, 7200.0),
        ({"grpc-timeout": "2M"}, 120.0),
        ({"grpc-timeout": "2S"}, 2.0),
        ({"grpc-timeout": "250m"}, 0.25),
        ({"grpc-timeout": "250u"}, 0.00025),
        ({"grpc-timeout": "99999999n"}, 0.099999999),
        ({"resonance-timeout": "1", "grpc-timeout": "2S"}, 1.0),
        ({"resonance-timeout": "junk", "x-envoy-expected-rq-timeout-ms": "150"}, 0.15),
    ],
)
def test_the_fewest_seconds_that_are_told_count(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert parse_timeout(headers) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "nan",
        "inf",
        "1e3",
        "1_0",
        "1,5",
        ".5",
        "5.",
        " 1",
        "1s",
        "9" * 400,
        "\u0661",
    ],
)
def test_seconds_that_cannot_be_read_count_as_absent(text: str) -> None:
    assert parse_timeout({"resonance-timeout": text}) is None


@pytest.mark.parametrize("text", ["", "-1", "1.5", "150ms", "9" * 400])
def test_milliseconds_that_cannot_be_read_count_as_absent(text: str) -> None:
    assert parse_timeout({"x-envoy-expected-rq-timeout-ms": text}) is None


@pytest.mark.parametrize("text", ["", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1 S", "1h"])
def test_a_grpc_timeout_that_cannot_be_read_counts_as_absent(text: str) -> None:
    assert parse_timeout({"grpc-timeout": text}) is None


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ({}, 0),
        ({"resonance-attempt": "2"}, 2),
        ({"grpc-previous-rpc-attempts": "3"}, 3),
        ({"resonance-attempt": "1", "grpc-previous-rpc-attempts": "3"}, 3),
        ({"resonance-attempt": "-1"}, 0),
        ({"resonance-attempt": "many"}, 0),
        ({"resonance-attempt": "9" * 400}, 0),
    ],
)
def test_attempts_that_are_told_are_read(headers: dict[str, str], attempts: int) -> None:
    assert parse_attempts(headers) == attempts


def test_work_that_came_from_nowhere_was_not_tried_above() -> None:
    assert inbound_attempts() == 0


def test_a_request_is_handled_under_what_its_caller_told(clock: list[float]) -> None:
    with inbound(timeout=0.5, attempts=2):
        assert (absolute(), inbound_attempts()) == (clock[0] + 0.5, 2)
    assert (absolute(), inbound_attempts()) == (None, 0)


def test_a_request_without_headers_has_neither() -> None:
    with inbound():
        assert (absolute(), inbound_attempts()) == (None, 0)


def test_a_failed_handler_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), inbound(timeout=0.5, attempts=2):
        _ = 1 / 0
    assert (absolute(), inbound_attempts()) == (None, 0)


def test_a_bound_function_knows_the_attempts_above() -> None:
    with ThreadPoolExecutor(1) as pool, inbound(attempts=1):
        assert pool.submit(bind(inbound_attempts)).result(PATIENCE) == 1


def test_a_first_attempt_is_not_told() -> None:
    assert attempt_value(0) is None


def test_attempts_here_and_above_add_up() -> None:
    assert attempt_value(1) == "1"
    with inbound(attempts=1):
        assert (attempt_value(0), attempt_value(2)) == ("1", "3")


def test_its_examples_hold() -> None:
    assert doctest.testmod(deadlines).failed == 0
