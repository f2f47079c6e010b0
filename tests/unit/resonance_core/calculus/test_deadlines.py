# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import pytest

from resonance_core.calculus.curves import RateLatency, TokenBucket
from resonance_core.calculus.deadlines import (
    deadline_split,
    hedge_delay,
    hedge_is_admissible,
    is_admissible,
)
from resonance_core.errors import InvalidSampleError, UnstableQueueError

_BUCKET = TokenBucket(12.0, 0.6)
_HOPS = (RateLatency(1.5, 2.0), RateLatency(1.0, 3.0), RateLatency(1.2, 1.5))


def test_a_deadline_at_the_bound_leaves_only_the_bottleneck_a_burst() -> None:
    assert deadline_split(_BUCKET, _HOPS, 18.5) == pytest.approx((2.0, 15.0, 1.5))


def test_slack_goes_where_chance_makes_waits() -> None:
    shares = deadline_split(_BUCKET, _HOPS, 37.5)
    # 1/0.9, 1/0.4 and 1/0.6 of 19, the decay rates of the three queues.
    assert shares == pytest.approx((2.0 + 4.0, 15.0 + 9.0, 1.5 + 6.0))
    assert sum(shares) == pytest.approx(37.5)
    even = deadline_split(_BUCKET, _HOPS, 21.5, [1.0, 1.0, 1.0])
    assert even == pytest.approx((3.0, 16.0, 2.5))


def test_a_deadline_below_the_bound_cannot_be_split() -> None:
    with pytest.raises(InvalidSampleError, match="deadline: 18 is below the bound 18.5"):
        deadline_split(_BUCKET, _HOPS, 18.0)


def test_unstable_ways_have_no_split() -> None:
    with pytest.raises(UnstableQueueError):
        deadline_split(TokenBucket(1.0, 2.0), _HOPS, 100.0)
    with pytest.raises(UnstableQueueError):
        deadline_split(TokenBucket(1.0, 1.0), _HOPS, 100.0)
    assert sum(deadline_split(TokenBucket(1.0, 1.0), _HOPS, 100.0, [1, 1, 1])) == pytest.approx(100)
    with pytest.raises(InvalidSampleError, match="decay_rates"):
        deadline_split(_BUCKET, _HOPS, 100.0, [1.0, 0.0, 1.0])


def test_admission_refuses_what_cannot_be_on_time() -> None:
    server = RateLatency(1.0, 3.0)
    assert is_admissible(_BUCKET, server, 15.0)
    assert not is_admissible(_BUCKET, server, 14.9)
    assert not is_admissible(TokenBucket(0.0, 2.0), server, 1e9)


def test_a_hedge_is_sent_late_enough_to_be_cheap_and_early_enough_to_help() -> None:
    assert hedge_delay(0.020, 0.100, 0.030) == pytest.approx(0.070)
    assert hedge_delay(0.090, 0.100, 0.030) == 0.090
    assert hedge_delay(0.020, 0.010, 0.030) == 0.020
    assert hedge_is_admissible(0.070, 0.030, 0.100)
    assert not hedge_is_admissible(0.090, 0.030, 0.100)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_times_that_are_none_are_refused(bad: float) -> None:
    for call in (
        lambda: hedge_delay(bad, 1.0, 1.0),
        lambda: hedge_delay(1.0, bad, 1.0),
        lambda: hedge_delay(1.0, 1.0, bad),
        lambda: hedge_is_admissible(bad, 1.0, 1.0),
        lambda: is_admissible(_BUCKET, _HOPS[0], bad),
    ):
        with pytest.raises(InvalidSampleError):
            call()
