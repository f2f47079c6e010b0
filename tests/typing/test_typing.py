# SPDX-License-Identifier: MIT
"""Do a user's type checkers say what we promise: the right types, and errors where one errs?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = Path(__file__).with_name("application.py")
CHECKERS = {
    "mypy": ["mypy", "--strict", "--config-file=", "--cache-dir=/dev/null"],
    "pyright": ["pyright", f"--pythonpath={sys.executable}"],
}


def _lines_expected() -> set[int]:
    lines = APPLICATION.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "# expect: error" in line}


@pytest.mark.parametrize("checker", CHECKERS)
def test_errors_are_found_exactly_where_the_application_errs(checker: str, tmp_path: Path) -> None:
    copy = tmp_path / APPLICATION.name
    copy.write_bytes(APPLICATION.read_bytes())
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    done = subprocess.run(
        [sys.executable, "-m", *CHECKERS[checker], copy.name],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    found = re.findall(rf"{copy.name}:(\d+)(?::\d+)?(?: -)?:? error", done.stdout)
    assert {int(line) for line in found} == _lines_expected(), done.stdout + done.stderr
