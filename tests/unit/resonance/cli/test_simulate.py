# SPDX-License-Identifier: MIT
from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from resonance.cli import main, simulate
from resonance.cli.simulate.files import read_scenario, shipped_names
from resonance.cli.simulate.report import table
from resonance_core.simulation import (
    ARMS,
    Comparison,
    Holds,
    Outcome,
    Play,
    Scenario,
    SourceBlock,
)
from resonance_core.simulation.shipped import NO_PREDICTION, Prediction

Simulate = Callable[..., tuple[int, str, str]]

NODE = """
name = "node"
summary = "two flushers on one core"
cores = 1
duration_seconds = 3.0
warmup_seconds = 1.0
requests = { utilisation_ratio = 0.2 }

[[sources]]
name = "flusher"
count = 2
work_seconds = 0.02
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(NODE)
    return path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Simulate:
    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["simulate", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def _play(latency: float, held: float = 0.0, prediction: Prediction = NO_PREDICTION) -> Play:
    row = (latency / 4.0, latency, 1.2 * latency, 1.5 * latency)
    outcome = Outcome(
        {"requests": row, "sources": row, "all": row}, latency, 3_000.0, Holds(held, 0.007, 0.5)
    )
    if math.isnan(prediction.wait_p99_ratio):
        return Play(outcome)
    states = ((0.1, "shadow"), (3.0, "acquire"), (4.1, "active"))
    return Play(outcome, prediction, states, {"rollback": 0, "overload": 2})


def _comparison() -> Comparison:
    scenario = Scenario(name="two", summary="of a kind", sources=(SourceBlock(count=2),))
    prediction = Prediction(0.31, 0.008, 0.002)
    return Comparison(
        scenario,
        {
            "none": (_play(0.030), _play(0.040)),
            "random": (_play(0.015), _play(0.016)),
            "splay": (_play(0.009, 0.000012, prediction), _play(0.010, 0.0, prediction)),
        },
    )


def test_table(golden: Callable[[str, str], None]) -> None:
    golden("cli/simulate.txt", "\n".join(table(_comparison())) + "\n")


def test_listing(command: Simulate, golden: Callable[[str, str], None]) -> None:
    code, output, error = command()
    assert (code, error) == (0, "")
    golden("cli/simulate-list.txt", output)


def test_no_line_is_wider_than_a_terminal(command: Simulate) -> None:
    _, listing, _ = command()
    lines = [*listing.splitlines(), *table(_comparison())]
    assert max(map(len, lines)) <= 100
    assert max(map(len, list(table(_comparison()))[3:8])) <= 80


@pytest.mark.parametrize("name", shipped_names())
def test_every_scenario_that_comes_with_it_can_be_read(name: str) -> None:
    scenario = read_scenario(name)
    assert scenario.name == name
    assert scenario.summary
    assert scenario.utilisation_ratio < 0.9


def test_a_file_is_simulated(command: Simulate, node: Path) -> None:
    code, output, error = command(node, "--arms", "random", "--seeds", "2", "--output", "json")
    answer = json.loads(output)
    assert (code, error) == (0, "")
    assert list(answer["arms"]) == ["none", "random"]
    assert answer["scenario"]["sources"][0]["work_seconds"] == 0.02
    assert answer["seeds"] == 2
    assert answer["arms"]["random"]["is_flattered"] is True
    assert len(answer["arms"]["random"]["seeds"]) == 2
    assert answer["arms"]["none"]["by_none"]["latency"]["requests"] == {
        "p50": 1.0,
        "p95": 1.0,
        "p99": 1.0,
        "p99.9": 1.0,
    }
    assert answer["controller"] == []


def test_the_shipped_controller_says_what_it_did(command: Simulate, node: Path) -> None:
    code, output, _ = command(node, "--arms", "splay", "--seeds", "1", "--output", "json")
    (controller,) = json.loads(output)["controller"]
    assert code == 0
    assert controller["states"][0]["state"] == "shadow"
    assert "rollback" in controller["trips"]


def test_the_same_seeds_give_the_same_answer(command: Simulate, node: Path) -> None:
    arguments = (node, "--arms", "splay,jitter", "--seeds", "1", "--output", "json")
    assert command(*arguments) == command(*arguments)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("name = ", "Invalid value"),
        ('name = "x"', "missing required field `sources`"),
        ('name = "x"\nsources = 3', "Expected `object | array`, got `int`"),
        ('name = "x"\nsources = [3]', "Expected `object`, got `int`"),
        ('name = "x"\ncoers = 4\n[[sources]]', "coers is no setting of a scenario; known here"),
        ('name = "x"\n[[sources]]\nperiod = 1', "sources: period is no setting"),
        ('name = "x"\n[requests]\nrate = 1\n[[sources]]', "requests: rate is no setting"),
        ('name = "x"\ncores = 0\n[[sources]]', "cores: must be at least 1"),
        ('name = "x"\n[[sources]]\nperiod_seconds = nan', "period_seconds: must be a positive"),
        ('name = "x"\n[[sources]]\nwork_seconds = 9', "must be less than the cores"),
        ('name = "x"\n[[sources]]\ncount = 1025\nwork_seconds = 1e-6', "1025 sources"),
        ('name = "x"\nduration_seconds = 1e9\n[[sources]]', "at most 1024 and 5e+07"),
        ("name = '\xff'", "codec can't decode"),
    ],
)
def test_a_bad_file_is_one_line_with_the_reason(
    command: Simulate, tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content.encode("latin-1"))
    code, output, error = command(path)
    assert (code, output) == (1, "")
    assert error.startswith(f"resonance: {path}: ")
    assert complaint in error
    assert error.count("\n") == 1


def test_what_is_not_there_is_said(command: Simulate, tmp_path: Path) -> None:
    code, _, error = command("aligned-9")
    assert code == 1
    assert "no scenario is called 'aligned-9'; known: aligned-16-busy, aligned-8" in error
    code, _, error = command(tmp_path / "nowhere.toml")
    assert code == 1
    assert "No such file" in error


def test_an_unknown_arm_is_refused(
    command: Simulate, node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(node, "--arms", "none,magic")
    assert "no arm is called 'magic'; known: none, jitter" in capsys.readouterr().err


def test_the_arms_that_are_offered_are_those_there_are() -> None:
    assert simulate._ARMS == ARMS


@pytest.mark.parametrize("seeds", ["0", "1001", "many"])
def test_seeds_are_a_number_of_runs(command: Simulate, node: Path, seeds: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(node, "--seeds", seeds)


def test_without_numpy_it_names_the_extra(
    command: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    code, output, error = command("aligned-8")
    assert (code, output) == (1, "")
    assert "pip install 'resonance-runtime[core]'" in error
