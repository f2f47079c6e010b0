# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.bench_foreign import request_points, wrk2_text
from resonance.bench.records import Run, read_result
from resonance.cli import main

Bench = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]

URL = "http://127.0.0.1:8080/"
LATENCIES_US = list(range(500, 1_500))
SCENARIO = """\
target = "http://127.0.0.1:8080/"
arrival = "poisson"
thresholds = ["p99<20ms"]
[[stages]]
duration = "30s"
rate = 2000
[[requests]]
name = "write"
method = "POST"
body = "x"
"""


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    def bench(*arguments: object) -> tuple[int, str, str]:
        code = main(["bench", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return bench


@pytest.fixture
def refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return what is said of wrong arguments, in the last line."""

    def refused(*arguments: object) -> str:
        with pytest.raises(SystemExit, match="2"):
            bench(*arguments)
        return capsys.readouterr().err.splitlines()[-1]

    return refused


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "load.toml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture
def wrk2(tmp_path: Path) -> Path:
    path = tmp_path / "wrk2.txt"
    path.write_text(wrk2_text(LATENCIES_US))
    return path


def test_a_target_is_exported_to_standard_output(bench: Bench) -> None:
    code, out, err = bench(
        "export", URL, "--rate", 2000, "--duration", "1m", "--connections", 10,
        "--timeout", "2s", "--to", "wrk2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.startswith("#!/bin/sh\n")
    assert out.endswith(f'"${{WRK2:-wrk2}}" -t1 -c10 -d60s -R2000 -T2s -U {URL}\n')


def test_a_scenario_is_exported_to_a_file(bench: Bench, scenario: Path, tmp_path: Path) -> None:
    output = tmp_path / "load.js"
    code, out, _ = bench(
        "export", scenario, "--arrival", "constant", "--to", "k6", "--output", output
    )
    assert (code, out) == (0, f"wrote {output}\n")
    text = output.read_text()
    assert '"p(99)<20"' in text
    assert 'method: "POST"' in text


def test_poisson_arrival_is_refused_with_what_to_do(refused: Refused, scenario: Path) -> None:
    for tool in ("k6", "wrk2"):
        assert "say --arrival constant" in refused("export", scenario, "--to", tool)


def test_what_a_scenario_says_is_not_said_twice(refused: Refused, scenario: Path) -> None:
    said = refused("export", scenario, "--to", "k6", "--warm-up", "1s")
    assert said.endswith(f"--warm-up: is what {scenario} says; change it there")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((URL,), "--rate: how many calls per second?"),
        ((URL, "--rate", 0), "is zero: nothing would be sent"),
        (("gopher://x", "--rate", 1), "target: 'gopher://x' is none of"),
        (("grpc://h:1/p.S/M", "--rate", 1), "target: "),
        ((URL, "--rate", 1, "--duration", "soon"), "argument --duration"),
        (("none.toml",), "none.toml: No such file"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    refused: Refused, arguments: tuple[object, ...], reason: str
) -> None:
    assert reason in refused("export", *arguments, "--to", "wrk2")


def test_a_script_that_cannot_be_written_is_told(bench: Bench, tmp_path: Path) -> None:
    code, out, err = bench(
        "export", URL, "--rate", 1, "--to", "k6", "--output", tmp_path / "none/load.js"
    )
    assert (code, out) == (1, "")
    assert err.endswith("No such file or directory; nothing was written\n")


def test_a_result_of_wrk2_becomes_a_run(bench: Bench, wrk2: Path, tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    code, out, err = bench(
        "import", wrk2, "--from", "wrk2", "--rate", 200, "--name", "before", "--output", output
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "wrk2 to http://127.0.0.1:8080/path?q=1",
        "1,000 calls at 200/s, evenly spaced: 1,000 sent, 1,000 answered",
        "response p50 999us  p95 1.45ms  p99 1.49ms  p99.9 1.50ms",
        f"wrote {output}",
    ]
    run = read_result(output)
    assert isinstance(run, Run)
    assert (run.tool, run.name, run.rate_per_second) == ("wrk2", "before", 200.0)


def test_points_of_k6_become_a_run(bench: Bench, tmp_path: Path) -> None:
    points, output = tmp_path / "points.json", tmp_path / "run.json"
    lines = [line for n in range(20) for line in request_points(n / 10, 5.0)]
    points.write_text("".join(f"{line}\n" for line in lines))
    code, out, _ = bench("import", points, "--from", "k6", "--target", URL, "--output", output)
    assert code == 0
    assert out.splitlines()[1] == (
        "20 calls at 10/s, each sent after another: 20 sent, 20 answered"
    )
    run = read_result(output)
    assert isinstance(run, Run)
    assert (run.tool, run.target, run.arrival) == ("k6", URL, "closed")


def test_a_doubtful_result_is_written_without_percentiles(
    bench: Bench, wrk2: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run.json"
    code, out, _ = bench("import", wrk2, "--from", "wrk2", "--rate", 400, "--output", output)
    assert code == 3
    assert "not to be believed: 50.0% of the calls were sent in time" in out
    assert "p99 " not in out
    assert output.exists()


def test_the_rate_of_wrk2_must_be_said(refused: Refused, wrk2: Path, tmp_path: Path) -> None:
    said = refused("import", wrk2, "--from", "wrk2", "--output", tmp_path / "run.json")
    assert said.endswith("--rate: wrk2 does not print what -R told it; say --rate R")


def test_a_damaged_result_is_told_and_nothing_written(
    bench: Bench, wrk2: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run.json"
    wrk2.write_text("Running 5s test @ http://h/\n")
    code, out, err = bench("import", wrk2, "--from", "wrk2", "--rate", 1, "--output", output)
    assert (code, out) == (1, "")
    assert err.startswith(f"resonance: {wrk2}: it was cut off after line 1")
    assert not output.exists()


def test_a_result_that_is_not_there_is_told(bench: Bench, tmp_path: Path) -> None:
    code, _, err = bench(
        "import", tmp_path / "none", "--from", "k6", "--output", tmp_path / "run.json"
    )
    assert code == 1
    assert "none" in err


def test_a_run_that_cannot_be_written_is_told(bench: Bench, wrk2: Path, tmp_path: Path) -> None:
    code, out, err = bench(
        "import", wrk2, "--from", "wrk2", "--rate", 200, "--output", tmp_path / "none/run.json"
    )
    assert (code, out) == (1, "")
    assert err.endswith("No such file or directory; nothing was written\n")
