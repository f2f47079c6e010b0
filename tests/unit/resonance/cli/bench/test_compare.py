# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.bench_runs import MACHINE, STARTED_AT, run, scene, slot
from resonance.bench.digest import Outcome
from resonance.bench.records import Experiment, Run, write_result
from resonance.cli import main

Compare = Callable[..., tuple[int, str, str]]
Written = Callable[..., Path]


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Compare:
    def compare(*arguments: object) -> tuple[int, str, str]:
        code = main(["bench", "compare", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return compare


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def written(of: Run | Experiment, name: str = "") -> Path:
        path = tmp_path / f"{name or (of.name if isinstance(of, Run) else 'experiment')}.json"
        write_result(path, of)
        return path

    return written


@pytest.fixture
def before(written: Written) -> Path:
    return written(run("before", noise=0.04))


@pytest.fixture
def after(written: Written) -> Path:
    return written(run("after", scale=0.7, noise=0.04, turn=1))


@pytest.fixture
def again(written: Written) -> Path:
    return written(run("again", noise=0.04, turn=2))


def _experiment(*names: str) -> Experiment:
    arms = run("a"), run("a again", turn=1), run("b", scale=0.5, turn=2)
    return Experiment(
        version="0.1.0",
        title="an experiment",
        started_at=STARTED_AT,
        seconds=600.0,
        machine=MACHINE,
        scenes=[scene(*arms, name=name, placebo="a again") for name in names],
    )


def _last(output: str) -> str:
    return output.splitlines()[-1]


def test_the_table(compare: Compare, written: Written, golden: Callable[[str, str], None]) -> None:
    """All that can be said: a placebo, costs, failures, a repetition left out, verdicts."""
    costs = {"extra_ratio": 0.062, "job_p50_seconds": 0.0431}
    failing = [
        slot(
            [0.0015] * 2_990 + [0.02] * 10,
            repetition=number,
            started_at=STARTED_AT + 60.0 * number + 18.0,
            failed={Outcome.STATUS: 40},
            costs=costs,
            rule=run("x", repetitions=0).rule,
        )
        for number in range(8)
    ]
    paths = [
        written(run("one of two", calls=3_000, noise=0.04)),
        written(run("batch idle", calls=3_000, scale=0.45, noise=0.04, turn=1, doubtful=[3])),
        written(run("shed", calls=3_000, slots=failing)),
    ]
    placebo = written(run("one of two again", calls=3_000, noise=0.04, turn=2))
    gates = "p99<=0.85", "batch idle:p99.9<=0.4", "failed_ratio<=0.1%", "p50<=1.03"
    options = [part for gate in gates for part in ("--gate", gate)]
    code, output, error = compare(*paths, "--placebo", placebo, *options)
    assert (code, error) == (1, "")
    assert max(map(len, output.splitlines())) <= 80
    golden("cli/bench-compare.txt", output)


def test_without_gates_a_comparison_to_be_believed_is_a_success(
    compare: Compare, before: Path, after: Path
) -> None:
    code, output, _ = compare(before, after)
    assert code == 0
    assert _last(output).startswith("compared: 8 repetitions; p99 of after 0.")
    assert "no placebo" in output


@pytest.mark.parametrize(
    ("gates", "code", "last"),
    [
        (["p99<=0.85"], 0, "gates: 1 met, 0 missed, 0 not known; 8 repetitions"),
        (["p99<=0.5"], 1, "gates: 0 met, 1 missed, 0 not known; 8 repetitions"),
        (["p99.9<=0.85"], 3, "gates: 0 met, 0 missed, 1 not known; 8 repetitions"),
        (["p99<=0.85", "p99.9<=0.85"], 3, "gates: 1 met, 0 missed, 1 not known; 8 repetitions"),
        (["p50<=0.5", "p99.9<=0.85"], 1, "gates: 0 met, 1 missed, 1 not known; 8 repetitions"),
    ],
)
def test_the_exit_code_is_that_of_the_worst_gate(
    compare: Compare, before: Path, after: Path, gates: list[str], code: int, last: str
) -> None:
    options = [part for gate in gates for part in ("--gate", gate)]
    answer = compare(before, after, *options)
    assert (answer[0], _last(answer[1])) == (code, last)


def test_a_placebo_that_is_not_the_baseline_is_noise(
    compare: Compare, written: Written, before: Path, after: Path
) -> None:
    noisy = written(run("again", scale=1.3, turn=2))
    code, output, _ = compare(before, after, "--placebo", noisy)
    assert code == 3
    assert "too noisy: the same thing differed from itself in p50, p95, p99" in output
    assert _last(output) == "not to be believed: noise in p50, p95, p99; 8 repetitions"
    code, output, _ = compare(before, after, "--placebo", noisy, "--gate", "p99<=0.85")
    assert code == 3
    assert "gate p99<=0.85: after: NOT KNOWN: too noisy" in output


def test_one_repetition_each_is_told_and_not_believed(compare: Compare, written: Written) -> None:
    paths = [written(run(name, repetitions=1, turn=turn)) for turn, name in enumerate(("a", "b"))]
    code, output, _ = compare(*paths)
    assert code == 3
    assert "1.000 no interval" in output
    assert "too few: 1 of the 6 repetitions" in output


def test_where_all_was_left_out_the_reasons_are_all_there_is(
    compare: Compare, written: Written
) -> None:
    paths = [written(run("a", doubtful=range(8))), written(run("b", turn=1))]
    code, output, _ = compare(*paths)
    assert code == 3
    assert output.count("nothing is known") == 2
    assert output.count("left out: repetition") == 8
    assert "not told" not in output
    assert _last(output) == (
        "not to be believed: 8 of 8 repetitions had to be left out; 0 repetitions"
    )


def test_json_has_everything(compare: Compare, before: Path, after: Path, again: Path) -> None:
    code, output, _ = compare(
        before, after, "--placebo", again, "--gate", "p99<=0.85", "--output", "json"
    )
    answer: dict[str, Any] = json.loads(output)
    assert answer["exit_status"] == code == 0
    assert answer["machine"]["processor"] == "Example CPU"
    assert (answer["baseline"], answer["placebo"]) == ("before", "again")
    assert [row["name"] for row in answer["rows"]] == ["before", "again", "after"]
    effect = answer["rows"][2]["against"]["p99"]
    assert effect["estimate"].keys() == {"ratio", "low", "high"}
    assert effect["pairs"] == answer["repetitions"] == 8
    assert len(answer["rows"][2]["values"]["p99"]) == 8
    assert answer["gates"][0]["outcome"] == "met"
    assert answer["conclusion"].startswith("gates: 1 met")


def test_the_baseline_is_the_first_or_the_one_named(
    compare: Compare, before: Path, after: Path
) -> None:
    assert "BY before" in compare(before, after)[1]
    assert "BY after" in compare(before, after, "--baseline", "after")[1]


def test_the_placebo_may_be_one_of_the_files_already_named(
    compare: Compare, before: Path, after: Path, again: Path
) -> None:
    for placebo in (again, "again"):
        code, output, _ = compare(before, after, again, "--placebo", placebo)
        assert code == 0
        assert "noise: the placebo's interval" in output


def test_a_directory_is_the_results_in_it(
    compare: Compare, tmp_path: Path, before: Path, after: Path
) -> None:
    (tmp_path / "run.hlog").write_text("no result")
    code, output, _ = compare(tmp_path, "--baseline", "before")
    assert code == 0
    assert "p99 of after" in _last(output)


def test_what_run_wrote_into_a_directory_needs_no_names(
    compare: Compare, tmp_path: Path, written: Written
) -> None:
    for turn, name in enumerate(("a", "baseline", "placebo")):
        written(run(name, noise=0.04, turn=turn))
    output = compare(tmp_path)[1]
    assert "BY baseline" in output
    assert "noise: the placebo's interval" in output


def test_a_directory_without_a_baseline_is_asked_for_it(
    compare: Compare, tmp_path: Path, before: Path, after: Path
) -> None:
    code, _, error = compare(tmp_path)
    assert code == 2
    assert "--baseline: say which arm it is; there are: after, before" in error


def test_runs_of_one_name_are_called_by_their_files(compare: Compare, written: Written) -> None:
    paths = [
        written(run("web", scale=scale, turn=turn), name)
        for turn, (name, scale) in enumerate({"old": 1.0, "new": 0.5}.items())
    ]
    output = compare(*paths)[1]
    assert "BY old" in output
    assert "p99 of new" in _last(output)


def test_a_scene_of_an_experiment_is_compared_in_itself(compare: Compare, written: Written) -> None:
    path = written(_experiment("one node", "two nodes"))
    code, output, _ = compare(path, "--scene", "two nodes", "--gate", "p99<=0.85")
    assert code == 0
    assert output.startswith("two nodes: ")
    assert "noise: the placebo's interval" in output


def test_a_single_scene_needs_no_name(compare: Compare, written: Written) -> None:
    assert compare(written(_experiment("one node")))[1].startswith("one node: ")


def test_a_scene_may_be_seen_from_another_arm(compare: Compare, written: Written) -> None:
    """Its placebo is that of its own baseline."""
    output = compare(written(_experiment("one node")), "--baseline", "b")[1]
    assert "BY b" in output
    assert "no placebo" in output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "--scene: say which one; there are: 'one', 'two'"),
        (["--scene", "three"], "--scene: none is called 'three'; there are: 'one', 'two'"),
        (["--scene", "one", "--baseline", "x"], "--baseline: no arm is called 'x'"),
        (["--scene", "one", "--placebo", "x"], "--placebo: no arm is called 'x'"),
        (["--scene", "one", "--gate", "x:p99<=1"], "no arm is called so; there are: b"),
        (["--scene", "one", "--gate", "spent_ratio<=1"], "there is no such cost"),
    ],
)
def test_what_an_experiment_has_not_is_refused(
    compare: Compare, written: Written, options: list[str], reason: str
) -> None:
    code, output, error = compare(written(_experiment("one", "two")), *options)
    assert (code, output) == (2, "")
    assert error.startswith("resonance: ")
    assert reason in error


def test_an_experiment_is_not_compared_with_something_else(
    compare: Compare, written: Written, before: Path
) -> None:
    code, _, error = compare(written(_experiment("one")), before)
    assert code == 2
    assert "an experiment is compared in itself" in error


def test_runs_that_may_not_be_compared_are_refused(
    compare: Compare, written: Written, before: Path
) -> None:
    code, output, error = compare(before, written(run("other", version="9.9")))
    assert (code, output) == (2, "")
    assert "not comparable: release: 0.1.0 of before, 9.9 of other: measure both" in error


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_beside_itself_is_refused(
    compare: Compare, tmp_path: Path, before: Path, is_link: bool
) -> None:
    other = before
    if is_link:
        other = tmp_path / "link.json"
        other.symlink_to(before)
    code, _, error = compare(before, other)
    assert code == 2
    assert "given twice" in error


def test_a_copy_of_a_file_is_refused(compare: Compare, tmp_path: Path, before: Path) -> None:
    copy = tmp_path / "copy.json"
    copy.write_bytes(before.read_bytes())
    code, _, error = compare(before, copy)
    assert code == 2
    assert "before and copy are the same measurement" in error


def test_what_cannot_be_read_is_one_line(compare: Compare, tmp_path: Path, before: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "truncated.json").write_bytes(before.read_bytes()[:500])
    for path, reason in {
        "absent.json": "No such file",
        "empty": "no file in it ends in .json",
        "truncated.json": "not a result of `resonance bench`",
    }.items():
        code, output, error = compare(before, tmp_path / path)
        assert (code, output, error.count("\n")) == (2, "", 1)
        assert reason in error


def test_scenes_are_of_experiments(compare: Compare, before: Path, after: Path) -> None:
    code, _, error = compare(before, after, "--scene", "one")
    assert code == 2
    assert "only a file of an experiment has scenes" in error


@pytest.mark.parametrize("gate", ["p99", "p98<=1", "p99<1"])
def test_a_gate_that_is_none_is_a_wrong_argument(
    capsys: pytest.CaptureFixture[str], compare: Compare, before: Path, after: Path, gate: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        compare(before, after, "--gate", gate)
    assert caught.value.code == 2
    assert f"argument --gate: gate '{gate}'" in capsys.readouterr().err


def test_the_help_tells_the_exit_codes(
    compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        compare("--help")
    told = capsys.readouterr().out
    assert all(f"\n  {code}  " in told for code in range(4))


def test_a_name_cannot_steer_the_terminal(compare: Compare, written: Written) -> None:
    paths = [written(run("a\33[2J"), "a"), written(run("b\n", turn=1), "b")]
    output = compare(*paths, "--gate", "p99<=1.03")[1]
    assert "\33" not in output
    assert "b?" in output
