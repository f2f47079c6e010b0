# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from fakes.bench_reports import ARMS, FOREIGN, many_arms, quick_run
from fakes.bench_runs import lognormal, run, scene, slot
from resonance.bench.comparing import compare
from resonance.bench.digest import Outcome
from resonance.bench.report.series import Curve, believed, curves, looks, spans


def _curves(*slots: object) -> list[Curve]:
    comparison = compare(scene(run("a", slots=list(slots))))  # type: ignore[arg-type]
    return curves(comparison.scene.runs, looks(comparison), believed(comparison))


def test_baseline_placebo_and_the_three_best_are_lifted_out() -> None:
    found = looks(compare(many_arms()))
    assert found["random"] == "ink"
    assert found["random again"] == "faint"
    assert [name for name in ARMS if found[name] == "first"] == [FOREIGN]
    assert {name for name, look in found.items() if look in {"second", "third"}} == {
        "batch idle",
        "weight",
    }
    assert list(found.values()).count("other") == len(ARMS) - 5


def test_a_named_arm_is_lifted_out_before_the_best() -> None:
    found = looks(compare(many_arms()), ["worse"])
    assert found["worse"] == "first"
    assert found[FOREIGN] == "second"
    assert found["weight"] == "other"


def test_a_line_is_the_median_of_the_repetitions_at_each_share() -> None:
    slots = [slot([value] * 100, repetition=place) for place, value in enumerate((0.1, 0.2, 0.9))]
    (curve,) = _curves(*slots)
    assert curve.seconds == pytest.approx([0.2] * len(curve.seconds), rel=1e-3)


def test_a_line_ends_where_three_answers_are_left() -> None:
    (curve,) = _curves(slot(lognormal(3_000)))
    assert curve.beyond[0] == 1.0
    assert curve.beyond[-1] == pytest.approx(0.001)
    assert list(curve.beyond) == sorted(curve.beyond, reverse=True)
    assert list(curve.seconds) == sorted(curve.seconds)


def test_a_line_ends_where_the_calls_without_an_end_begin() -> None:
    (curve,) = _curves(slot(lognormal(1_800), failed={Outcome.RESET: 200}))
    assert 0.1 <= curve.beyond[-1] < 0.13


def test_an_arm_of_two_answers_has_no_line() -> None:
    assert _curves(slot([0.1, 0.2])) == []


def test_timelines_follow_one_another_in_the_order_of_repetitions() -> None:
    slots = [slot(lognormal(50), repetition=place, seconds=4.0) for place in (2, 0, 1)]
    found = spans(run("a", slots=slots), {0, 2})
    assert [(span.start_seconds, span.end_seconds) for span in found] == [
        (0.0, 4.0),
        (4.0, 8.0),
        (8.0, 12.0),
    ]
    assert [span.is_believed for span in found] == [True, False, True]


def test_repetitions_that_count_are_those_of_the_comparison() -> None:
    comparison = compare(scene(run("a", doubtful=[2], repetitions=4), quick_run("b", 1.0)))
    assert believed(comparison) == {0, 1, 3}
