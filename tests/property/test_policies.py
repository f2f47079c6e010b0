# SPDX-License-Identifier: MIT
"""Laws of single policies, whatever happens in whatever order."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.deadlines import parse_attempts, parse_timeout
from resonance.policies._backoff import Backoff
from resonance.policies._brake import Brake
from resonance.policies._budget import Budget
from resonance.policies._limits import make_limit
from resonance.policies._pushback import grpc_pushback, retry_after
from resonance.policies._records import (
    BudgetPolicy,
    LimitPolicy,
    RetryPolicy,
    Strategy,
    ThrottlePolicy,
)
from resonance.policies._throttle import Throttle

SHARES = st.floats(0.0, 1.0)
ALGORITHMS = st.sampled_from(["gradient2", "vegas"])


@given(SHARES, st.floats(1.0, 20.0), SHARES, st.lists(st.sampled_from("ssssth"), max_size=200))
def test_extra_attempts_never_cost_more_than_was_paid(
    ratio: float, cap: float, share: float, events: list[str]
) -> None:
    policy = BudgetPolicy(ratio=ratio, cap=cap, initial=cap * share)
    budget, successes, extras = Budget(policy), 0, 0
    for event in events:
        if event == "s":
            successes += 1
            if successes % 3 == 0:
                budget.earn(successes)
        elif event == "t":
            budget.earn(successes)
            extras += budget.take()
        else:
            budget.scale(0.5)
        assert extras <= policy.initial + ratio * successes + 1e-6
        assert 0.0 <= budget.tokens <= cap
        assert 0.0 <= budget.fullness <= 1.0


@given(
    st.sampled_from(get_args(Strategy)),
    st.floats(0.0, 10.0),
    st.floats(0.0, 1e6),
    st.floats(1.0, 1e300),
    st.integers(0, 10**30),
    st.floats(0.0, 1e9),
    st.floats(1.0, 2.0),
)
def test_a_delay_stays_within_its_bounds(
    strategy: Strategy,
    base: float,
    more: float,
    multiplier: float,
    n: int,
    previous: float,
    stretch: float,
) -> None:
    policy = RetryPolicy(
        strategy=strategy, base_delay=base, max_delay=base + more, multiplier=multiplier
    )
    delay = Backoff(policy, Random(n)).delay(n, previous, stretch)
    assert 0.0 <= delay <= policy.max_delay * stretch * (1.0 + 1e-9)


@given(st.lists(st.floats(0.0, 30.0), max_size=300), st.floats(0.0, 60.0))
def test_a_brake_stays_between_none_and_twofold(starts: list[float], later: float) -> None:
    brake = Brake()
    for start in sorted(starts):
        brake.started(start)
        assert 1.0 <= brake.stretch(start) <= 2.0
    order_parameter = brake.order_parameter(30.0 + later)
    assert order_parameter is None or 0.0 <= order_parameter <= 1.0
    assert 0.5 <= brake.refill(30.0 + later) <= 1.0


@given(
    ALGORITHMS,
    st.integers(1, 50),
    st.integers(0, 1000),
    SHARES,
    st.lists(st.tuples(st.floats(-1.0, 100.0), SHARES, st.booleans(), st.floats(0.0, 10.0))),
)
def test_a_limit_stays_within_its_bounds(
    algorithm: str,
    smallest: int,
    more: int,
    share: float,
    events: list[tuple[float, float, bool, float]],
) -> None:
    policy = LimitPolicy(
        algorithm="vegas" if algorithm == "vegas" else "gradient2",
        smallest=smallest,
        largest=smallest + more,
        initial=smallest + int(more * share),
    )
    limit, now = make_limit(policy, Random(0)), 0.0
    for elapsed_seconds, used, is_drop, pause in events:
        now += pause
        limit.observe(elapsed_seconds, round(limit.limit * used), is_drop, now)
        assert policy.smallest <= limit.limit <= policy.largest


@given(
    st.floats(1.0, 10.0),
    st.lists(st.tuples(st.sampled_from("ra"), st.floats(0.0, 200.0)), max_size=200),
)
def test_a_throttle_counts_what_is_in_its_window(
    multiplier: float, events: list[tuple[str, float]]
) -> None:
    throttle, now = Throttle(ThrottlePolicy(multiplier=multiplier), Random(0)), 0.0
    for event, pause in events:
        now += pause
        if event == "r":
            throttle.admits(now)
        else:
            throttle.accepted(now)
        assert 0.0 <= throttle.refusal_probability(now) < 1.0
        assert throttle._requests == sum(throttle._requested) >= 0
        assert throttle._accepts == sum(throttle._accepted) >= 0


@given(st.text(max_size=40), st.floats(0.0, 1e10))
def test_any_pushback_is_read_or_refused_and_never_breaks_us(text: str, now: float) -> None:
    seconds = retry_after(text, now)
    assert seconds is None or seconds >= 0.0
    delay, stop = grpc_pushback(text)
    assert (delay is None) == stop


@given(st.integers(0, 2**40))
def test_whole_seconds_are_read_as_they_are(seconds: int) -> None:
    assert retry_after(str(seconds), 0.0) == min(seconds, 2**31)


@given(st.integers(-(2**33), 2**33))
def test_grpc_pushback_is_exact(milliseconds: int) -> None:
    delay, stop = grpc_pushback(str(milliseconds))
    assert stop == (not 0 <= milliseconds < 2**31)
    assert stop or delay == pytest.approx(milliseconds / 1e3)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "resonance-timeout",
                "x-envoy-expected-rq-timeout-ms",
                "grpc-timeout",
                "resonance-attempt",
                "grpc-previous-rpc-attempts",
            ]
        ),
        st.text("0123456789.-HMSmunx ", max_size=12),
    )
)
def test_any_headers_are_read_or_ignored(headers: dict[str, str]) -> None:
    timeout = parse_timeout(headers)
    assert timeout is None or 0.0 <= timeout < 1e12
    assert parse_attempts(headers) >= 0
