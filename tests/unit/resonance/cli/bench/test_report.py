# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.bench_reports import experiment, quick_run
from fakes.bench_runs import run, scene
from resonance.bench.records import Experiment, Run, write_result
from resonance.cli import main

Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Report:
    monkeypatch.chdir(tmp_path)

    def report(*arguments: object) -> tuple[int, str, str]:
        code = main(["bench", "report", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return report


def _written(path: Path, of: Run | Experiment) -> Path:
    write_result(path, of)
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    arms = quick_run("random", 1.0), quick_run("p2c", 0.8), quick_run("idle", 0.5)
    return _written(tmp_path / "whole.json", experiment(scene(*arms)))


def test_a_run_becomes_a_page(report: Report, tmp_path: Path) -> None:
    alone = _written(tmp_path / "alone.json", run("alone", repetitions=1))
    assert report(alone) == (0, "wrote report.html\n", "")
    assert "Response times of alone" in (tmp_path / "report.html").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


def test_runs_become_a_page_of_one_scene(report: Report, tmp_path: Path) -> None:
    for place, (name, scale) in enumerate((("before", 1.0), ("after", 0.5))):
        arm = run(name, scale=scale, turn=place, repetitions=6, noise=0.05)
        _written(tmp_path / f"{name}.json", arm)
    code, *_ = report(
        "before.json",
        "after.json",
        "--baseline",
        "after",
        "--title",
        "A <day>",
        "--output",
        "a.html",
    )
    text = (tmp_path / "a.html").read_text("utf-8")
    assert code == 0
    assert "<title>A &lt;day&gt;</title>" in text
    assert "after <small>baseline</small>" in text


def test_an_experiment_becomes_a_page_and_pictures(
    report: Report, whole: Path, tmp_path: Path
) -> None:
    code, told, _ = report(whole, "--pictures", "drawn/of it", "--highlight", "p2c")
    assert (code, told) == (0, "wrote report.html\nwrote 4 pictures to drawn/of it\n")
    names = {path.name for path in (tmp_path / "drawn/of it").iterdir()}
    assert names == {
        f"1-one-node-{name}.png" for name in ("ratios", "percentiles", "beyond", "timeline")
    }


def test_another_arm_may_be_the_baseline_of_each_scene(
    report: Report, whole: Path, tmp_path: Path
) -> None:
    assert report(whole, "--baseline", "idle")[0] == 0
    assert "idle <small>baseline</small>" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none.json"], "none.json"),
        (["text.json"], "not a result of `resonance bench`"),
        (["whole.json", "--baseline", "nobody"], "no arm is called 'nobody'"),
        (["whole.json", "--highlight", "nobody"], "no arm is called 'nobody'; there are: random, "),
        (["whole.json", "--output", "no/such/report.html"], "no/such/report.html"),
        (["whole.json", "--output", "full"], "No space left on device: 'full'"),
        (["empty.json"], "the run has no repetition"),
        (["sceneless.json"], "the experiment has no scene"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    report: Report, whole: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "text.json").write_text("text")
    _written(tmp_path / "empty.json", run("empty", slots=[]))
    _written(tmp_path / "sceneless.json", experiment())
    (tmp_path / "full").symlink_to("/dev/full")
    code, told, error = report(*arguments)
    assert (code, told) == (2, "")
    assert error.startswith("resonance: ")
    assert reason in error
    assert error.count("\n") == 1
    assert (tmp_path / "full").is_char_device()


def test_a_full_disk_leaves_the_report_of_before(
    report: Report, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("of before")

    def full(path: Path, data: bytes) -> int:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    code, told, error = report(whole)
    assert (code, told) == (2, "")
    assert error == "resonance: [Errno 28] No space left on device: 'report.html'\n"
    assert (tmp_path / "report.html").read_text() == "of before"
    assert not (tmp_path / "report.html.part").exists()


def test_without_matplotlib_it_says_what_to_install(
    report: Report, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, error = report(whole)
    assert code == 2
    assert "pip install 'resonance-runtime[bench]'" in error
