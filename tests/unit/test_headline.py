# SPDX-License-Identifier: MIT
"""What the README claims is what was measured: its lines are made from the committed results."""

from __future__ import annotations

from pathlib import Path

import pytest

from resonance.cli import main

ROOT = Path(__file__).parents[2]


def test_the_headline_of_the_readme_is_that_of_the_results(
    capsys: pytest.CaptureFixture[str],
) -> None:
    results, readme = ROOT / "docs" / "results", ROOT / "README.md"
    code = main(["bench", "headline", str(results), "--into", str(readme), "--check"])
    told = capsys.readouterr()
    assert code == 0, f"run `make headline`\n{told.err}{told.out}"
