# SPDX-License-Identifier: MIT
"""Does Debian's checker find an error in the packages?"""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_lintian_finds_no_error(packages: list[Path]) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error", *map(str, packages)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_exception_is_left_over(packages: list[Path]) -> None:
    command = ["lintian", "--allow-root", "--tags", "unused-override,mismatched-override"]
    done = subprocess.run(
        [*command, *map(str, packages)], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
