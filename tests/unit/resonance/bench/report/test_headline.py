# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.bench_reports import experiment, quick_run
from fakes.bench_runs import scene
from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.records import Experiment, Scene
from resonance.bench.report.headline import BEGIN, END, Claim, headline, inserted, read_claims

FILE = Path("/repository/docs/results/reference.json")
BASE = Path("/repository")


@cache
def _scene(again: float = 1.0, repetitions: int = 8) -> Scene:
    runs = [
        quick_run(name, scale, repetitions=repetitions)
        for name, scale in (("random", 1.0), ("random again", again), ("p2c", 0.8), ("idle", 0.4))
    ]
    return scene(*runs, name="one node", placebo="random again")


def _claim(**changed: Any) -> Claim:
    fields: dict[str, Any] = {"words": "the idle class", "scene": "one node", "arm": "idle"}
    return Claim(**{**fields, "against": "random", "gate": "p99<=0.45", **changed})


def _lines(*claims: Claim, results: Mapping[Path, Experiment] | None = None) -> list[str]:
    results = results or {FILE: experiment(_scene())}
    return headline(claims, results, BASE).splitlines()


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" |")]


def test_a_line_is_one_arm_of_one_scene_with_its_interval_and_its_bar() -> None:
    heads, rule, line, *_ = _lines(_claim())
    assert heads == "| what | arm, scene | against | measured | bar | |"
    assert rule == "|---|---|---|---|---|---|"
    words, arm, against, measured, bar, outcome = _cells(line)
    assert (words, arm, against) == ("the idle class", "idle, one node", "random")
    assert measured.startswith("p99 0.40 (0.")
    assert measured.endswith(" ms")
    assert (bar, outcome) == ("0.45", "met")


def test_what_is_missed_says_by_how_much() -> None:
    line = _lines(_claim(gate="p99<=0.20"))[2]
    assert _cells(line)[-1] == "**missed** by 100%"


def test_a_gain_that_may_be_nothing_is_missed() -> None:
    results = {FILE: experiment(scene(quick_run("random", 1.0), quick_run("peak_ewma", 0.97)))}
    line = _lines(_claim(arm="peak_ewma", gate="p99<=0.995"), results=results)[2]
    assert _cells(line)[-1] == "**missed**: the interval holds 1"


def test_too_few_repetitions_are_not_known() -> None:
    line = _lines(_claim(), results={FILE: experiment(_scene(repetitions=4))})[2]
    assert _cells(line)[-1] == "not known: 4 of the 6 repetitions that it takes at least"


@pytest.mark.parametrize("against", ["random", "p2c"])
def test_beside_a_placebo_that_differs_nothing_is_known(against: str) -> None:
    lines = _lines(_claim(against=against), results={FILE: experiment(_scene(again=1.4))})
    assert _cells(lines[2])[-1].startswith("not known: too noisy, the placebo itself has 1.4")
    assert "(**excludes 1**)" in lines[-1]


def test_an_arm_may_stand_beside_another_than_the_baseline() -> None:
    line = _lines(_claim(against="p2c", gate="p99<=0.60"))[2]
    assert _cells(line)[2] == "p2c"
    assert _cells(line)[3].startswith("p99 0.50 (")
    assert _cells(line)[-1] == "met"


def test_a_cost_is_given_as_it_is() -> None:
    line = _lines(_claim(gate="extra_ratio<=0.08"))[2]
    assert _cells(line)[3:] == ["extra_ratio 0.03", "0.08", "met"]
    line = _lines(_claim(gate="job_rate_per_second>=9"))[2]
    assert _cells(line)[3:] == ["job_rate_per_second 3.6", "at least 9", "**missed** by 60%"]


def test_a_percentile_of_too_few_answers_is_not_known() -> None:
    line = _lines(_claim(gate="p99.9<=0.5"))[2]
    assert _cells(line)[3] == "p99.9 –"  # noqa: RUF001 - as it is printed
    assert "400 answers in a slot" in _cells(line)[-1]


def test_the_last_line_says_on_what_it_was_measured_and_where_it_is_written() -> None:
    told = _lines(_claim(), _claim(arm="p2c"))[-1]
    assert told.startswith("Measured on 2023-11-14 on Example CPU, 2 CPUs, virtual, Linux 6.6.0")
    assert "[`docs/results/reference.json`](docs/results/reference.json)" in told
    assert "Placebo arms at p99: one node 1.0" in told


def test_each_file_has_a_line_of_its_own() -> None:
    other = FILE.with_name("phase.json")
    renamed = msgspec.structs.replace(_scene(), name="phase")
    results = {FILE: experiment(_scene()), other: experiment(renamed)}
    lines = _lines(_claim(), _claim(scene="phase"), results=results)
    assert [name for line in lines[-2:] for name in ("reference", "phase") if name in line[:200]]
    assert len([line for line in lines if line.startswith("Measured")]) == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"arm": "ilde"}, "reference.json has no arm 'ilde' in that scene, but random, "),
        ({"against": "rnd"}, "reference.json has no arm 'rnd'"),
        ({"scene": "two"}, "no result has a scene 'two'"),
        ({"result": "old"}, "no result has a scene 'one node' and is called old"),
        ({"gate": "p98<=1"}, "p98 is not compared"),
        ({"gate": "idle:p99<=1"}, "the arm stands in its own key"),
        ({"gate": "beauty>=1"}, "there is no such cost"),
    ],
)
def test_a_claim_of_what_was_not_measured_is_refused(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(PlanError) as caught:
        _lines(_claim(**changed))
    assert reason in str(caught.value)


def test_a_scene_that_two_results_have_must_be_told_apart() -> None:
    results = {FILE: experiment(_scene()), FILE.with_name("again.json"): experiment(_scene())}
    with pytest.raises(PlanError, match="several results have that scene.*reference, again"):
        _lines(_claim(), results=results)
    assert "again.json" in _lines(_claim(result="again"), results=results)[-1]


def test_names_cannot_break_the_table() -> None:
    odd = scene(quick_run("a|b", 1.0), quick_run("<i>*", 0.5), name="s|t")
    claim = _claim(scene="s|t", arm="<i>*", against="a|b", words="w|x")
    line = _lines(claim, results={FILE: experiment(odd)})[2]
    assert line.startswith(r"| w\|x | &lt;i>\*, s\|t | a\|b | p99 0.5")


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"# Title\n{BEGIN}\nold\nlines\n{END}\nrest\n"
    once = inserted(text, "new")
    assert once == f"# Title\n{BEGIN}\nnew\n{END}\nrest\n"
    assert inserted(once, "new") == once


@pytest.mark.parametrize(
    "text",
    ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"],
    ids=["none", "no end", "turned", "twice"],
)
def test_markers_must_be_there_once(text: str) -> None:
    with pytest.raises(PlanError, match="there must be one line"):
        inserted(text, "new")


def test_claims_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text('[[claim]]\nwords="w"\nscene="s"\narm="a"\nagainst="b"\ngate="p99<=1"\n')
    assert read_claims(path) == [Claim(words="w", scene="s", arm="a", against="b", gate="p99<=1")]


@pytest.mark.parametrize(
    "text", ["", "[[claim]]\nwords=1\n", "[[claim]]\nbar=1\n", "not toml", "\xff"]
)
def test_a_file_of_other_claims_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ResultFormatError, match=r"claims\.toml: not a file of claims"):
        read_claims(path)
