# SPDX-License-Identifier: MIT
"""Bounds of the network calculus against queues in a row; time in units of a job's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance_core.calculus.curves import (
    RateLatency,
    TokenBucket,
    concatenate,
    delay_bound,
    periodic_bucket,
)
from resonance_core.control.records import Floats
from resonance_core.simulation.queues import FirstComeFirstServed

HOPS = (RateLatency(1.5, 2.0), RateLatency(1.0, 3.0), RateLatency(1.2, 1.5))
BUCKET = TokenBucket(12.0, 0.6)
BOUND = delay_bound(BUCKET, concatenate(HOPS, packet=1.0))


def _delays(arrival: Floats) -> Floats:
    """Send jobs of one unit through the hops, each of which passes on complete jobs only."""
    at = arrival
    for hop in HOPS:
        queue = FirstComeFirstServed(1)
        _, _, ends = queue.serve(at, np.full(at.size, 1.0 / hop.rate), math.inf)
        at = ends + hop.latency
    return at - arrival


def _policed(arrival: Floats, bucket: TokenBucket) -> Floats:
    """Drop the jobs for which the bucket has no token."""
    kept: list[float] = []
    tokens, before = bucket.burst, 0.0
    for at in arrival.tolist():
        tokens, before = min(bucket.burst, tokens + bucket.rate * (at - before)), at
        if tokens >= 1.0:
            tokens -= 1.0
            kept.append(at)
    return np.array(kept)


def _bursts(sizes: tuple[int, ...], phases: tuple[float, ...], cycles: int = 300) -> Floats:
    at = np.repeat(phases, sizes) + 20.0 * np.arange(cycles)[:, None]
    return np.sort(at.ravel())


def test_the_bound_is_the_worked_example() -> None:
    assert pytest.approx(20.1667, abs=5e-5) == BOUND


def test_the_greedy_source_comes_within_five_percent_of_its_bound() -> None:
    p999 = np.quantile(_delays(_bursts((12,), (0.0,))), 0.999)
    assert p999 == pytest.approx(20.0)
    assert 1.0 <= BOUND / p999 <= 1.05


@given(st.integers(0, 2**32 - 1), st.sampled_from(["poisson", "geometric"]))
def test_no_conforming_job_takes_longer_than_its_bound(seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    if kind == "poisson":
        offered = np.cumsum(generator.exponential(1.0 / 0.55, 2_000))
    else:
        sizes = generator.geometric(1.0 / 6.0, 300)
        offered = np.repeat(np.cumsum(generator.exponential(10.0, 300)), sizes)
    assert _delays(_policed(offered, BUCKET)).max() <= BOUND


def test_the_predicted_gain_of_splaying_is_the_simulated_one() -> None:
    """Four sources of three jobs each, in step or a quarter of a period apart."""
    sizes, phases = (3, 3, 3, 3), (0.0, 5.0, 10.0, 15.0)
    whole = concatenate(HOPS, packet=1.0)
    turns = [2.0 * math.pi * phase / 20.0 for phase in phases]
    aligned = delay_bound(periodic_bucket([0.0] * 4, sizes, 20.0), whole)
    splayed = delay_bound(periodic_bucket(turns, sizes, 20.0), whole)
    simulated = [
        float(np.quantile(_delays(_bursts(sizes, each)), 0.999)) for each in ((0.0,) * 4, phases)
    ]
    assert (aligned, splayed) == pytest.approx((20.1667, 11.1667), abs=5e-5)
    assert 1.0 <= splayed / simulated[1] <= 1.05
    assert abs((1.0 - splayed / aligned) - (1.0 - simulated[1] / simulated[0])) <= 0.03
