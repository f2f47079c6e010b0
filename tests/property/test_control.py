# SPDX-License-Identifier: MIT
"""Laws of the phase controller that hold for any sources and any history."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.periodic_node import aligned_node
from resonance_core.control.holds import Holds
from resonance_core.control.plan import Members, make_plan, rms_discrepancy
from resonance_core.control.tail import histogram, quantile

holds_seconds = st.floats(0.0, 0.0999)


@given(st.lists(st.tuples(holds_seconds, st.floats(0.0, 3.0)), min_size=1, max_size=40))
def test_no_history_of_orders_costs_more_than_the_bucket_allows(
    history: list[tuple[float, float]],
) -> None:
    holds, row = Holds(), np.array([0])
    holds.place(0, 1, 0.1, 0.007, 0.0)
    grown = elapsed = 0.0
    for wanted, wait in history:
        holds.order(row, np.array([wanted]))
        before = float(holds.now_seconds[0])
        holds.advance(wait)
        elapsed += wait
        grown += max(float(holds.now_seconds[0]) - before, 0.0)
        assert 0.0 <= holds.now_seconds[0] < 0.1
        assert abs(holds.now_seconds[0] - before) <= 0.07 * wait + 1e-12
        assert grown <= 0.15 + 0.001 * elapsed + 1e-9
        assert holds.tokens_seconds[0] >= -1e-12


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 2.0 * math.pi, exclude_max=True),
            st.floats(0.01, 10.0),
            st.sampled_from([1, 1, 1, 2, 4]),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_plan_is_worse_than_what_there_is(
    sources: list[tuple[float, float, int, bool]],
) -> None:
    phases, works, multiples, movable = map(np.array, zip(*sources, strict=True))
    members = Members(phases, works, multiples.astype(np.int64), 0.1 / multiples)
    none = np.zeros(len(phases))
    plan = make_plan(members, none, movable.astype(np.bool_), 1.0)
    present = rms_discrepancy(members, none, 1.0)
    assert plan.discrepancy_seconds <= present * (1.0 + 1e-6) + 1e-9
    assert (plan.hold_seconds >= 0.0).all()
    assert (plan.hold_seconds < members.periods_seconds).all()
    assert not plan.hold_seconds[~movable.astype(np.bool_)].any()


@given(st.lists(st.floats(0.0, 2000.0), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_a_quantile_of_a_histogram_is_the_edge_above_the_exact_one(
    waits: list[float], ratio: float
) -> None:
    found = quantile(histogram(np.array(waits)), ratio)
    exact = float(np.quantile(waits, ratio, method="inverted_cdf"))
    assert found >= exact * (1.0 - 1e-9)
    assert found <= max(exact * 1.05, 1e-6) * (1.0 + 1e-9) or math.isinf(found)


@given(st.integers(0, 2**31), st.integers(2, 12), st.sampled_from(["aligned", "random"]))
@settings(max_examples=12, deadline=None)
def test_whatever_the_sources_no_command_is_out_of_bounds(
    seed: int, sources: int, start: str
) -> None:
    node = aligned_node(sources=sources, start=start, seed=seed)
    node.register()
    node.run(9.0)
    for command in node.commands:
        assert 0.0 <= command.offset_seconds < 0.1
        assert 0.0 < command.max_step_seconds <= 0.007
    assert node.discrepancy() <= 1.02 * max(node.group.natural_discrepancy_seconds, 3e-4)
    assert (node.increases <= 0.15 + 0.001 * 9.0 + 1e-9).all()
