# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import numpy as np
import pytest

from resonance_core.calculus.arguments import Floats
from resonance_core.calculus.curves import (
    RateLatency,
    TokenBucket,
    backlog_bound,
    concatenate,
    delay_bound,
    jittered,
    output,
    periodic_bucket,
)
from resonance_core.calculus.fitting import fit_bucket
from resonance_core.calculus.placement import weighted_splay
from resonance_core.errors import InvalidSampleError, UnstableQueueError

_BUCKET = TokenBucket(12.0, 0.6)
_HOPS = (RateLatency(1.5, 2.0), RateLatency(1.0, 3.0), RateLatency(1.2, 1.5))


def test_the_basic_bounds() -> None:
    bucket, server = TokenBucket(20.0, 0.5), RateLatency(1.0, 5.0)
    assert delay_bound(bucket, server) == 25.0
    assert backlog_bound(bucket, server) == 22.5
    second = RateLatency(0.8, 3.0)
    assert delay_bound(output(bucket, server), second) == pytest.approx(31.125)
    assert delay_bound(bucket, concatenate([server, second])) == pytest.approx(33.0)


def test_the_worked_example_hop_by_hop() -> None:
    buckets = [_BUCKET]
    for hop in _HOPS:
        buckets.append(output(buckets[-1], hop))
    assert [each.burst for each in buckets] == pytest.approx([12.0, 13.2, 15.0, 15.9])
    delays = [delay_bound(*each) for each in zip(buckets[:-1], _HOPS, strict=True)]
    assert delays == pytest.approx([10.0, 16.2, 14.0])
    backlogs = [backlog_bound(*each) for each in zip(buckets[:-1], _HOPS, strict=True)]
    assert backlogs == pytest.approx([13.2, 15.0, 15.9])
    assert sum(delays) / delay_bound(_BUCKET, concatenate(_HOPS)) == pytest.approx(2.173, abs=5e-4)


def test_from_end_to_end_a_burst_is_paid_once() -> None:
    assert delay_bound(_BUCKET, concatenate(_HOPS)) == pytest.approx(18.5)
    assert delay_bound(_BUCKET, concatenate(_HOPS, packet=1.0)) == pytest.approx(20.1667, abs=1e-4)
    assert backlog_bound(_BUCKET, concatenate(_HOPS)) == pytest.approx(15.9)


def through_the_hops(arrivals: Floats) -> Floats:
    """Return the delays of jobs of one unit through three stores and forwards."""
    at = arrivals
    for hop in _HOPS:
        served = np.arange(1, at.size + 1) / hop.rate
        before = np.concatenate(([0.0], served[:-1]))
        at = served + np.maximum.accumulate(at - before) + hop.latency
    delays: Floats = at - arrivals
    return delays


@pytest.mark.parametrize(
    ("burst", "apart", "worst", "bound"),
    [(12, 20.0, 20.0, 20.1667), (3, 5.0, 11.0, 11.1667)],
    ids=["aligned", "splayed"],
)
def test_a_greedy_source_comes_within_five_percent_of_the_bound(
    burst: int, apart: float, worst: float, bound: float
) -> None:
    delays = through_the_hops(np.repeat(apart * np.arange(500.0), burst))
    assert np.quantile(delays, 0.99) == pytest.approx(worst, abs=1e-6)
    promised = delay_bound(TokenBucket(burst, 0.6), concatenate(_HOPS, packet=1.0))
    assert promised == pytest.approx(bound, abs=1e-4)
    assert 1.0 <= promised / np.quantile(delays, 0.999) <= 1.05


@pytest.mark.parametrize("seed", range(4))
def test_no_conforming_traffic_exceeds_the_bound(seed: int) -> None:
    generator = np.random.default_rng(seed)
    wanted = np.cumsum(generator.exponential(1.0 / 0.55, 20_000))
    tokens, last = _BUCKET.burst, 0.0
    policed: list[float] = []
    for at in wanted:  # what finds the bucket empty waits for a token
        begin = max(float(at), last)
        tokens = min(_BUCKET.burst, tokens + _BUCKET.rate * (begin - last))
        wait = max(0.0, (1.0 - tokens) / _BUCKET.rate)
        tokens += _BUCKET.rate * wait - 1.0
        last = begin + wait
        policed.append(last)
    arrivals = np.array(policed)
    fitted = fit_bucket(arrivals, np.ones(arrivals.size), _BUCKET.rate)
    assert fitted.burst <= _BUCKET.burst + 1e-6
    bound = delay_bound(fitted, concatenate(_HOPS, packet=1.0))
    assert through_the_hops(arrivals).max() <= bound


def test_a_splay_is_seen_in_the_bucket_before_anything_moves() -> None:
    works = [5.0, 3.0, 2.0]
    aligned = periodic_bucket(np.zeros(3), works, 100.0)
    splayed = periodic_bucket(weighted_splay(works), works, 100.0)
    assert (aligned.burst, aligned.rate) == (pytest.approx(10.0), pytest.approx(0.1))
    assert (splayed.burst, splayed.rate) == (pytest.approx(5.0), pytest.approx(0.1))
    late = periodic_bucket(weighted_splay(works), works, 100.0, jitter=7.0)
    assert late.burst == pytest.approx(5.7)


def test_lateness_makes_a_bucket_larger() -> None:
    assert jittered(_BUCKET, 5.0) == TokenBucket(15.0, 0.6)
    with pytest.raises(InvalidSampleError, match="jitter"):
        jittered(_BUCKET, -1.0)


def test_an_unstable_queue_has_an_infinite_bound_and_says_so() -> None:
    for function in (delay_bound, backlog_bound, output):
        with pytest.raises(UnstableQueueError, match="the bound is infinite"):
            function(TokenBucket(1.0, 2.0), RateLatency(1.0, 0.0))
    assert delay_bound(TokenBucket(1.0, 1.0), RateLatency(1.0, 0.0)) == 1.0


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_curves_of_no_numbers_are_refused(bad: float) -> None:
    for call in (
        lambda: TokenBucket(bad, 1.0),
        lambda: TokenBucket(1.0, bad),
        lambda: RateLatency(bad, 1.0),
        lambda: RateLatency(1.0, bad),
        lambda: concatenate(_HOPS, bad),
        lambda: periodic_bucket([0.0], [1.0], bad),
    ):
        with pytest.raises(InvalidSampleError):
            call()


def test_no_hop_is_no_server() -> None:
    with pytest.raises(InvalidSampleError, match="services"):
        concatenate([])
    with pytest.raises(InvalidSampleError, match="rate"):
        RateLatency(0.0, 1.0)
