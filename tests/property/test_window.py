# SPDX-License-Identifier: MIT
"""Laws of the latency window: it is the product-limit estimate, whatever is cut short."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import given

from resonance.policies._window import Window

Observation = tuple[float, bool]
SECONDS = st.floats(min_value=2.0**-20, max_value=100.0, width=32)
GRID = st.sampled_from([0.001 * 2.0**power for power in range(8)])
"""So that many fall on the same moment."""
QUANTILES = st.sampled_from([0.05, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999])
BUCKET = 1.0 / 128.0


def window_of(observations: list[Observation]) -> Window:
    window = Window()
    for seconds, was_cut in observations:
        if was_cut:
            window.censored(seconds)
        else:
            window.pending.append(seconds)
    window.refresh(0.0)
    return window


def still_under_way(observations: list[Observation], at: float) -> Fraction:
    """The textbook's product, moment by moment, those cut short at a moment after the others."""
    share = Fraction(1)
    for moment in sorted({seconds for seconds, was_cut in observations if not was_cut}):
        if moment > at:
            break
        at_risk = sum(seconds >= moment for seconds, _ in observations)
        ended = sum(seconds == moment and not was_cut for seconds, was_cut in observations)
        share *= 1 - Fraction(ended, at_risk)
    return share


def exact_quantile(observations: list[Observation], q: float) -> float:
    for moment in sorted(seconds for seconds, _ in observations):
        if 1 - still_under_way(observations, moment) >= Fraction(q) - Fraction(1, 10**9):
            return moment
    return max(seconds for seconds, _ in observations)


@given(st.lists(st.tuples(GRID, st.booleans()), min_size=1, max_size=60), QUANTILES)
def test_a_quantile_is_the_product_limit_estimate(
    observations: list[Observation], q: float
) -> None:
    found = window_of(observations).quantile(q)
    exact = exact_quantile(observations, q)
    assert found is not None
    assert exact < found <= exact * (1.0 + BUCKET)


@given(st.lists(st.tuples(GRID, st.booleans()), min_size=1, max_size=60), GRID)
def test_the_share_above_is_the_product_limit_estimate(
    observations: list[Observation], at: float
) -> None:
    between = at * 1.5
    if between >= max(seconds for seconds, _ in observations):
        assert window_of(observations).fraction_above(between) == 0.0
    else:
        exact = float(still_under_way(observations, between))
        assert abs(window_of(observations).fraction_above(between) - exact) < 1e-12


@given(st.lists(SECONDS, min_size=1, max_size=200), QUANTILES)
def test_with_none_cut_short_it_is_the_smallest_that_enough_do_not_exceed(
    values: list[float], q: float
) -> None:
    found = window_of([(value, False) for value in values]).quantile(q)
    ordered = sorted(values)
    exact = next(v for rank, v in enumerate(ordered, 1) if rank / len(ordered) >= q - 1e-9)
    assert found is not None
    assert exact <= found <= exact * (1.0 + BUCKET) * (1.0 + 1e-6)


@given(st.lists(st.tuples(SECONDS, st.booleans()), min_size=1, max_size=100))
def test_quantiles_never_fall(observations: list[Observation]) -> None:
    window = window_of(observations)
    found = [window.quantile(percent / 100.0) or 0.0 for percent in range(101)]
    assert found == sorted(found)


@given(
    st.lists(st.tuples(SECONDS, st.booleans()), min_size=1, max_size=100),
    st.lists(st.integers(min_value=1, max_value=100), max_size=10),
)
def test_how_it_is_taken_in_makes_no_difference(
    observations: list[Observation], cuts: list[int]
) -> None:
    at_once = window_of(observations)
    in_parts = Window()
    for index, (seconds, was_cut) in enumerate(observations):
        if was_cut:
            in_parts.censored(seconds)
        else:
            in_parts.pending.append(seconds)
        if index in cuts:
            in_parts.refresh(0.0)
    in_parts.refresh(1.0)
    assert in_parts.count == at_once.count == len(observations)
    for q in (0.5, 0.9, 0.99):
        assert in_parts.quantile(q) == at_once.quantile(q)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 5)), max_size=40))
def test_the_window_holds_between_one_and_two_halves(steps: list[tuple[float, int]]) -> None:
    window = Window(half_seconds=1.0)
    window.refresh(0.0)
    now = 0.0
    arrived: list[float] = []
    for seconds, count in steps:
        now += seconds
        window.pending.extend([0.01] * count)
        arrived.extend([now] * count)
        window.refresh(now)
        assert sum(now - at < 1.0 - 1e-9 for at in arrived) <= window.count
        assert window.count <= sum(now - at < 2.0 + 1e-9 for at in arrived)
