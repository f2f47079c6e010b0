# SPDX-License-Identifier: MIT
"""Do the rules of ``conftest.py`` hold? No skip is counted as passed where tests are demanded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("options", "status"), [((), 0), (("--no-skips",), 1)], ids=["allowed", "demanded"]
)
@pytest.mark.parametrize(
    "body", ["def test_it(): pytest.skip('cannot')", "@pytest.mark.skip\ndef test_it(): ..."]
)
def test_a_skip_fails_where_tests_are_demanded(
    body: str, options: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", *options, "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
