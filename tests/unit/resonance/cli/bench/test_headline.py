# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.bench_reports import experiment, quick_run
from fakes.bench_runs import run, scene
from resonance.bench.records import write_result
from resonance.bench.report.headline import BEGIN, END
from resonance.cli import main

Headline = Callable[..., tuple[int, str, str]]
CLAIM = '[[claim]]\nwords="w"\nscene="one node"\narm="idle"\nagainst="random"\ngate="p99<=0.45"\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with a result, a claim and a README."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "docs" / "results"
    results.mkdir(parents=True)
    arms = quick_run("random", 1.0), quick_run("idle", 0.4)
    write_result(results / "reference.json", experiment(scene(*arms)))
    write_result(results / "run.json", run("alone", repetitions=1))
    (results / "claims.toml").write_text(CLAIM)
    (tmp_path / "README.md").write_text(f"# T\n\n{BEGIN}\nold\n{END}\n\nrest\n")
    return tmp_path


@pytest.fixture
def headline(place: Path, capsys: pytest.CaptureFixture[str]) -> Headline:
    def headline(*arguments: object) -> tuple[int, str, str]:
        code = main(["bench", "headline", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return headline


def test_the_lines_are_printed(headline: Headline) -> None:
    code, told, _ = headline("docs/results")
    assert code == 0
    assert "| w | idle, one node | random | p99 0.40 (" in told
    assert "](docs/results/reference.json)" in told


def test_they_are_put_between_the_markers_and_then_there_is_no_difference(
    headline: Headline, place: Path
) -> None:
    assert headline("docs/results", "--into", "README.md") == (0, "wrote README.md\n", "")
    text = (place / "README.md").read_text("utf-8")
    assert text.startswith(f"# T\n\n{BEGIN}\n| what |")
    assert text.endswith(f"\n{END}\n\nrest\n")
    assert headline("docs/results", "--into", "README.md", "--check") == (0, "", "")


def test_a_difference_is_shown_and_nothing_is_written(headline: Headline, place: Path) -> None:
    before = (place / "README.md").read_text("utf-8")
    code, told, _ = headline("docs/results", "--into", "README.md", "--check")
    assert code == 1
    assert "-old\n" in told
    assert "+| w | idle" in told
    assert (place / "README.md").read_text("utf-8") == before


def test_claims_may_be_elsewhere(headline: Headline, place: Path) -> None:
    (place / "docs/results/claims.toml").rename(place / "mine.toml")
    assert headline("docs/results/reference.json", "--claims", "mine.toml")[0] == 0


def test_links_begin_where_the_file_is(headline: Headline, place: Path) -> None:
    (place / "README.md").rename(place / "docs" / "page.md")
    assert headline("docs/results", "--into", "docs/page.md")[0] == 0
    assert "](results/reference.json)" in (place / "docs/page.md").read_text("utf-8")


RESULT, CLAIMS, README = "docs/results/reference.json", "docs/results/claims.toml", "README.md"


@pytest.mark.parametrize(
    ("file", "instead", "arguments", "reason"),
    [
        (README, "", ["--check"], "--check: needs --into"),
        (RESULT, None, [], "holds no experiment"),
        (CLAIMS, None, [], "claims.toml"),
        (CLAIMS, CLAIM.replace("idle", "gone"), [], "has no arm 'gone'"),
        (README, None, ["--into", README], "README.md"),
        (README, "# T\n", ["--into", README], "there must be one line"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    headline: Headline,
    place: Path,
    file: str,
    instead: str | None,
    arguments: list[str],
    reason: str,
) -> None:
    (place / file).unlink()
    if instead is not None:
        (place / file).write_text(instead)
    code, told, error = headline("docs/results", *arguments)
    assert (code, told) == (2, "")
    assert error.startswith("resonance: ")
    assert reason in error
    assert error.count("\n") == 1
