# SPDX-License-Identifier: MIT
from __future__ import annotations

from typing import Any

import pytest

from fakes.bench_runs import run, scene
from resonance.bench.comparing import Comparison, Gate, Verdict, compare, judge, parse_gate
from resonance.bench.errors import PlanError


def _comparison(scale: float = 0.8, **changed: Any) -> Comparison:
    return compare(scene(run("a"), run("b", scale=scale, turn=1, **changed)))


def _outcome(comparison: Comparison, text: str) -> Verdict:
    (verdict,) = judge(comparison, [parse_gate(text)])
    return verdict


@pytest.mark.parametrize(
    ("text", "name", "bound", "is_floor", "arm"),
    [
        ("p99<=0.85", "p99", 0.85, False, None),
        (" p99.9 <= 0.4 ", "p99.9", 0.4, False, None),
        ("p50<=1.03", "p50", 1.03, False, None),
        ("p95<=85%", "p95", 0.85, False, None),
        ("extra_ratio<=0.08", "extra_ratio", 0.08, False, None),
        ("failed_ratio<=1e-3", "failed_ratio", 0.001, False, None),
        ("failed_ratio<=0", "failed_ratio", 0.0, False, None),
        ("job_rate_per_second>=20", "job_rate_per_second", 20.0, True, None),
        ("idle:p99<=0.5", "p99", 0.5, False, "idle"),
        ("P2C, 20 clients: p99<=1", "p99", 1.0, False, "P2C, 20 clients"),
        ("a:b:p99<=1", "p99", 1.0, False, "a:b"),
    ],
)
def test_a_gate_is_read(text: str, name: str, bound: float, is_floor: bool, arm: str) -> None:
    gate = parse_gate(text)
    assert gate == Gate(text=text.strip(), name=name, bound=bound, is_floor=is_floor, arm=arm)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be like p99<=0.85"),
        ("p99", "must be like p99<=0.85"),
        ("p99<=", "must be like p99<=0.85"),
        ("p99<=fast", "must be like p99<=0.85"),
        ("p99<=20ms", "must be like p99<=0.85"),
        ("p99<=1e", "1e is not a number"),
        ("p99<=1-2", "1-2 is not a number"),
        ("p98<=0.85", "p98 is not compared; there are: p50, p95, p99, p99.9"),
        ("p99<0.85", "say <= instead of <"),
        ("p99>=0.85", "say <= instead of >="),
        ("p99=0.85", "say <= instead of ="),
        ("extra_ratio==0.85", "say <= or >= instead of =="),
        ("p99<=0", "must be above 0"),
        ("p99<=-1", "must be above 0"),
        ("p99<=1e999", "must be above 0, and finite"),
    ],
)
def test_what_is_no_gate_is_refused_with_what_is_right(text: str, reason: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_gate(text)
    assert caught.value.key == f"gate {text!r}"
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("scale", "gate", "outcome"),
    [
        (0.8, "p99<=0.85", "met"),
        (0.8, "p99<=0.75", "missed"),
        (0.8, "p99<=1.03", "met"),
        (1.1, "p99<=1.03", "missed"),
        (1.1, "p99<=1.2", "met"),
    ],
)
def test_a_ratio_is_within_its_bound_or_not(scale: float, gate: str, outcome: str) -> None:
    verdict = _outcome(_comparison(scale), gate)
    assert (verdict.gate, verdict.arm, verdict.outcome) == (gate, "b", outcome)
    assert verdict.reason.startswith(f"{scale:.3f} [")


def test_a_gain_that_may_be_nothing_is_no_gain() -> None:
    noisy = _comparison(0.97, noise=0.2, seed=3)
    estimate = noisy.row("b").against["p99"].estimate
    assert estimate.low < 1.0 < estimate.high
    assert estimate.ratio < 0.99
    missed = _outcome(noisy, "p99<=0.99")
    assert missed.outcome == "missed"
    assert missed.reason.endswith("the interval holds 1, so it may be nothing")
    assert _outcome(noisy, "p99<=1.03").outcome == "met"


def test_a_cost_is_compared_as_it_is() -> None:
    comparison = _comparison(costs={"extra_ratio": 0.07, "job_rate_per_second": 20.0})
    outcomes = {
        text: _outcome(comparison, text).outcome
        for text in (
            "extra_ratio<=0.08",
            "extra_ratio<=0.06",
            "job_rate_per_second>=19",
            "job_rate_per_second>=21",
            "failed_ratio<=0",
        )
    }
    assert list(outcomes.values()) == ["met", "missed", "met", "missed", "met"]
    assert _outcome(comparison, "extra_ratio<=0.06").reason == "0.07"


def test_a_cost_that_nobody_measured_is_refused_with_those_there_are() -> None:
    with pytest.raises(PlanError, match="no such cost; there are: p50, .*failed_ratio"):
        judge(_comparison(), [parse_gate("wasted_ratio<=0.1")])


def test_a_cost_that_only_another_arm_has_is_not_known() -> None:
    costs = {"extra_ratio": 0.05}
    arms = run("a"), run("b", turn=1), run("c", turn=2, costs=costs)
    verdicts = judge(compare(scene(*arms)), [parse_gate("extra_ratio<=0.08")])
    assert [(each.arm, each.outcome) for each in verdicts] == [("b", "not known"), ("c", "met")]


def test_each_arm_but_the_placebo_is_judged_by_each_gate() -> None:
    gates = [parse_gate("p99<=0.5"), parse_gate("p50<=1.03")]
    verdicts = judge(compare(scene()), gates)
    assert [(each.arm, each.gate, each.outcome) for each in verdicts] == [
        ("batch idle", "p99<=0.5", "met"),
        ("batch idle", "p50<=1.03", "met"),
    ]


def test_a_gate_of_one_arm_leaves_the_others_alone() -> None:
    arms = compare(scene(run("a"), run("b", turn=1), run("c", scale=0.5, turn=2)))
    assert [each.arm for each in judge(arms, [parse_gate("c:p99<=0.85")])] == ["c"]


@pytest.mark.parametrize("arm", ["x", "a"])
def test_a_gate_of_no_arm_is_refused(arm: str) -> None:
    with pytest.raises(PlanError, match="no arm is called so; there are: b"):
        judge(_comparison(), [parse_gate(f"{arm}:p99<=0.85")])


def test_a_noisy_placebo_leaves_the_gate_open() -> None:
    arms = run("a"), run("again", scale=1.2, turn=1), run("b", scale=0.5, turn=2)
    verdict = _outcome(compare(scene(*arms, placebo="again")), "p99<=0.85")
    assert verdict.outcome == "not known"
    assert verdict.reason == "too noisy: the placebo itself is 1.20 [1.20-1.20]"


def test_a_noisy_placebo_does_not_matter_to_a_cost() -> None:
    arms = run("a"), run("again", scale=1.2, turn=1), run("b", scale=0.5, turn=2)
    comparison = compare(scene(*arms, placebo="again"))
    assert _outcome(comparison, "failed_ratio<=0.1").outcome == "met"


@pytest.mark.parametrize("gate", ["p99<=0.85", "failed_ratio<=0.1"])
def test_too_few_repetitions_leave_the_gate_open(gate: str) -> None:
    few = run("a", repetitions=5), run("b", scale=0.5, repetitions=5, turn=1)
    verdict = _outcome(compare(scene(*few)), gate)
    assert verdict.outcome == "not known"
    assert verdict.reason == "5 of the 6 repetitions that it takes at least"


def test_too_few_answers_leave_the_gate_open() -> None:
    verdict = _outcome(_comparison(), "p99.9<=0.85")
    assert verdict.outcome == "not known"
    assert verdict.reason.startswith("400 answers in a slot, it takes 3000")


def test_where_nothing_is_left_every_gate_is_open() -> None:
    nothing = compare(scene(run("a", doubtful=range(8)), run("b", turn=1)))
    gates = [parse_gate("p99<=0.85"), parse_gate("extra_ratio<=0.08")]
    assert [each.outcome for each in judge(nothing, gates)] == ["not known"] * 2
