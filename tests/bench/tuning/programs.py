# SPDX-License-Identifier: MIT
"""The C programs of these benches, compiled when first wanted."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

__all__ = ["program"]

_SOURCES = Path(__file__).parent
_BUILD = _SOURCES.parents[2] / "build" / "bench"


@functools.cache
def program(name: str) -> str:
    """Compile ``name.c`` and return the path of the program."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    output = _BUILD / name
    source = _SOURCES / f"{name}.c"
    subprocess.run(["clang", "-O2", "-Wall", "-Werror", "-o", output, source], check=True)
    return str(output)
