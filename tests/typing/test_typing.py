# SPDX-License-Identifier: MIT
"""Type checkers of users agree with what the documents promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.parametrize("path", sorted(HERE.glob("sdk_*.py")), ids=lambda path: path.name)
def test_mypy_agrees(path: Path, tmp_path: Path) -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "/dev/null"),
            *("--cache-dir", str(tmp_path), str(path)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT / "sdk",
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
