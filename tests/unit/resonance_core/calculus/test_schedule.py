# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import pytest

from resonance_core.calculus.schedule import graham_bound, makespan
from resonance_core.errors import InvalidSampleError

_DURATIONS = {"a": 3.0, "b": 2.0, "c": 4.0, "d": 2.0, "e": 1.0}
_EDGES = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")]


def test_the_longest_chain_sets_the_end_and_the_others_have_slack() -> None:
    schedule = makespan(_DURATIONS, _EDGES)
    assert schedule.makespan == 10.0
    assert schedule.slack == {"a": 0.0, "b": 2.0, "c": 0.0, "d": 0.0, "e": 0.0}
    assert schedule.starts == {"a": 0.0, "b": 3.0, "c": 3.0, "d": 7.0, "e": 9.0}


def test_a_task_beside_the_rest_may_wait_until_the_end() -> None:
    schedule = makespan({"long": 5.0, "short": 1.0}, [])
    assert (schedule.makespan, schedule.slack["short"]) == (5.0, 4.0)
    assert makespan({}, []).makespan == 0.0


def test_tasks_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(InvalidSampleError, match="edges: a cycle: .*x.*"):
        makespan({"x": 1.0, "y": 1.0}, [("x", "y"), ("y", "x")])


def test_a_task_without_a_duration_is_named() -> None:
    with pytest.raises(InvalidSampleError, match="'z' has no duration"):
        makespan({"x": 1.0}, [("x", "z")])
    with pytest.raises(InvalidSampleError, match="durations"):
        makespan({"x": -1.0}, [])


def test_grahams_bound_lies_between_the_chain_and_all_work() -> None:
    assert graham_bound(12.0, 10.0, 1) == 12.0
    assert graham_bound(12.0, 10.0, 2) == pytest.approx(11.0)
    assert graham_bound(12.0, 10.0, 1_000_000) == pytest.approx(10.0, abs=1e-4)


@pytest.mark.parametrize(
    ("work", "span", "processors"),
    [(1.0, 2.0, 1.0), (2.0, 1.0, 0.5), (math.nan, 1.0, 1.0), (2.0, -1.0, 1.0)],
)
def test_bounds_of_impossible_graphs_are_refused(
    work: float, span: float, processors: float
) -> None:
    with pytest.raises(InvalidSampleError):
        graham_bound(work, span, processors)
