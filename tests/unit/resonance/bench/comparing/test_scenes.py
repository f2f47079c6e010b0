# SPDX-License-Identifier: MIT
from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fakes.bench_runs import MACHINE, run, scene, slot
from resonance.bench.comparing import compare, scene_of
from resonance.bench.errors import IncomparableError
from resonance.bench.records import Rule, Run

SHORT: dict[str, Any] = {"repetitions": 2, "calls": 20}


def _pair(**changed: Any) -> list[Run]:
    return [run("before", **SHORT), run("after", turn=1, **SHORT, **changed)]


def test_runs_of_the_same_load_are_a_scene_with_the_first_as_baseline() -> None:
    made = scene_of(_pair())
    assert (made.baseline, made.placebo) == ("before", None)
    assert [each.name for each in made.runs] == ["before", "after"]
    assert made.name == "before / after"


def test_the_baseline_may_be_another_one() -> None:
    assert scene_of(_pair(), baseline="after").baseline == "after"


@pytest.mark.parametrize(
    ("what", "changed", "values"),
    [
        ("release", {"version": "0.2.0"}, "0.1.0 of before, 0.2.0 of after"),
        ("tool", {"tool": "k6"}, "resonance of before, k6 of after"),
        ("arrival", {"arrival": "constant"}, "poisson of before, constant of after"),
        ("rate", {"rate_per_second": 4.05}, "4/s of before, 4.05/s of after"),
        ("format", {"format": 2}, "1 of before, 2 of after"),
        ("unit", {"unit": "us"}, "ns of before, us of after"),
        (
            "connections",
            {"asked": {"seed": 7, "connections": 8, "timeout_seconds": 10.0}},
            "256 of before, 8 of after",
        ),
        (
            "stages",
            {
                "asked": {
                    "connections": 256,
                    "timeout_seconds": 10.0,
                    "stages": [{"rate_per_second": 4}],
                }
            },
            'nothing of before, [{"rate_per_second":4}] of after',
        ),
        (
            "machine",
            {"machine": msgspec.structs.replace(MACHINE, cpus=64)},
            "Example CPU, 2 CPUs, virtual, Linux 6.6.0-example x86_64 of before, Example CPU, 64",
        ),
        ("rule", {"rule": Rule(min_achieved_ratio=0.5)}, "min_achieved_ratio=0.5"),
    ],
)
def test_what_differs_besides_the_arms_is_refused_with_both_values(
    what: str, changed: dict[str, Any], values: str
) -> None:
    with pytest.raises(IncomparableError) as caught:
        scene_of(_pair(**changed))
    assert caught.value.what == what
    assert values in caught.value.reason
    assert ": measure both" in caught.value.reason or ": import both" in caught.value.reason


def test_the_third_run_is_looked_at_too() -> None:
    with pytest.raises(IncomparableError, match="rate: 4/s of before, 8/s of third"):
        scene_of([*_pair(), run("third", turn=2, **SHORT, rate_per_second=8.0)])


@pytest.mark.parametrize(
    "changed",
    [
        {"rate_per_second": 4.02},
        {"asked": {"seed": 8, "connections": 256, "timeout_seconds": 10.0}},
        {"target": "http://127.0.0.1:9090/"},
    ],
)
def test_what_does_not_change_the_load_may_differ(changed: dict[str, Any]) -> None:
    assert len(scene_of(_pair(**changed)).runs) == 2


def test_an_unknown_machine_is_let_through_and_told() -> None:
    made = scene_of(_pair(machine=None))
    assert any("on which machine after ran is not known" in line for line in compare(made).warnings)


def test_two_runs_of_one_name_are_refused() -> None:
    with pytest.raises(IncomparableError, match="'before' is the name of 2 runs"):
        scene_of([run("before", **SHORT), run("before", turn=1, **SHORT)])


def test_one_run_is_no_comparison() -> None:
    with pytest.raises(IncomparableError, match="two or more"):
        scene_of([run("before", **SHORT)])


def test_the_same_measurement_under_two_names_is_refused() -> None:
    before = run("before", **SHORT)
    again = msgspec.structs.replace(before, name="again")
    with pytest.raises(IncomparableError, match="before and again are the same measurement"):
        scene_of([before, again])


def test_the_baseline_is_not_its_own_placebo() -> None:
    with pytest.raises(IncomparableError, match="'before' is the baseline itself"):
        scene_of(_pair(), placebo="before")
    assert scene_of(_pair(), baseline="after", placebo="before").placebo == "before"


@pytest.mark.parametrize("role", ["baseline", "placebo"])
def test_a_name_that_no_run_has_is_refused_with_those_there_are(role: str) -> None:
    with pytest.raises(IncomparableError, match=f"{role}: no run is called 'x'; .*: before, after"):
        scene_of(_pair(), **{role: "x"})


def test_repetitions_without_a_pair_are_refused() -> None:
    later = run("after", slots=[slot([0.001] * 20, repetition=9)], rate_per_second=4.0)
    with pytest.raises(IncomparableError, match="repetitions: 0, 1 of before, 9 of after"):
        scene_of([run("before", **SHORT), later])


def test_a_repetition_that_is_there_twice_is_refused() -> None:
    twice = run("after", slots=[slot([0.001]), slot([0.002])], rate_per_second=4.0)
    with pytest.raises(IncomparableError, match="after has number 0 2 times"):
        scene_of([run("before", **SHORT), twice])


def test_a_run_without_repetitions_is_refused() -> None:
    with pytest.raises(IncomparableError, match="after has none"):
        scene_of([run("before", **SHORT), run("after", slots=[], rate_per_second=4.0)])


def test_closed_loops_that_reached_different_rates_did_not_meet_the_same_load() -> None:
    pair = [
        run(name, turn=turn, **SHORT, arrival="closed", rate_per_second=rate)
        for turn, (name, rate) in enumerate({"slow": 90.0, "fast": 100.0}.items())
    ]
    with pytest.raises(IncomparableError, match="rate"):
        scene_of(pair)


def test_the_scene_of_the_fakes_could_have_been_made_so() -> None:
    made = scene(*_pair())
    assert scene_of(made.runs, name=made.name, summary=made.summary) == made
