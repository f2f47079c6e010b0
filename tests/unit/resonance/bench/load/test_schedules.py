# SPDX-License-Identifier: MIT
"""When calls are due, whatever the stages are."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance.bench.load.schedules import draw_kinds, draw_moments
from resonance.bench.plan import Request, Stage

RATES = st.floats(0.0, 500.0)
STAGES = st.lists(
    st.builds(
        Stage,
        seconds=st.floats(0.1, 3.0),
        rate_per_second=st.floats(0.5, 500.0),
        to_rate_per_second=st.none() | RATES,
    ),
    min_size=1,
    max_size=4,
)


@given(stages=STAGES, seed=st.integers(0, 2**32), arrival=st.sampled_from(["poisson", "constant"]))
def test_moments_rise_within_the_stages(stages: list[Stage], seed: int, arrival: str) -> None:
    due_ns = list(draw_moments(stages, arrival, seed))  # type: ignore[arg-type]
    assert all(first <= second for first, second in pairwise(due_ns))
    assert all(0 <= each <= sum(stage.seconds for stage in stages) * 1e9 for each in due_ns)


@given(stages=STAGES)
def test_constant_arrival_has_as_many_calls_as_the_rate_says(stages: list[Stage]) -> None:
    calls = sum(stage.calls for stage in stages)
    assert len(draw_moments(stages, "constant", 0)) == pytest.approx(calls, abs=1.01)


@given(stages=STAGES, seed=st.integers(0, 2**32))
def test_poisson_arrival_has_about_as_many_calls(stages: list[Stage], seed: int) -> None:
    calls = sum(stage.calls for stage in stages)
    assert abs(len(draw_moments(stages, "poisson", seed)) - calls) <= 7.0 * sqrt(calls) + 7.0


def test_constant_arrival_is_evenly_spaced() -> None:
    assert list(draw_moments([Stage(0.01, 500.0)], "constant", 0)) == [
        0,
        2_000_000,
        4_000_000,
        6_000_000,
        8_000_000,
    ]


def test_a_rate_that_rises_from_zero_has_half_of_its_calls_after_the_root_of_a_half() -> None:
    due_ns = draw_moments([Stage(10.0, 0.0, 2_000.0)], "constant", 0)
    assert len(due_ns) == 10_000
    assert due_ns[5_000] / 1e10 == pytest.approx(sqrt(0.5), abs=1e-3)


def test_poisson_gaps_vary_as_much_as_they_last() -> None:
    due_ns = draw_moments([Stage(10.0, 1_000.0)], "poisson", 1)
    gaps = [second - first for first, second in pairwise(due_ns)]
    mean = sum(gaps) / len(gaps)
    deviation = sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation / mean == pytest.approx(1.0, abs=0.1)


def test_a_seed_repeats_its_moments_and_another_one_does_not() -> None:
    stages = [Stage(1.0, 100.0)]
    assert draw_moments(stages, "poisson", 7) == draw_moments(stages, "poisson", 7)
    assert draw_moments(stages, "poisson", 7) != draw_moments(stages, "poisson", 8)


def test_kinds_come_by_their_weights() -> None:
    kinds = draw_kinds([Request("a", 1.0), Request("b", 3.0)], 10_000, 0)
    assert kinds is not None
    assert sum(kinds) / len(kinds) == pytest.approx(0.75, abs=0.03)
    assert draw_kinds([Request()], 10_000, 0) is None
