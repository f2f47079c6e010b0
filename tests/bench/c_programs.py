# SPDX-License-Identifier: MIT
"""The C programs of these benches, compiled when first wanted."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

__all__ = ["program"]

_BUILD = Path(__file__).parents[2] / "build" / "bench"


@functools.cache
def program(source: Path) -> str:
    """Compile a C file and return the path of the program."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    output = _BUILD / source.stem
    subprocess.run(["clang", "-O2", "-Wall", "-Werror", "-o", output, source], check=True)
    return str(output)
