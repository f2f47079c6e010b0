# SPDX-License-Identifier: MIT
"""The C programs of these benches, compiled when first wanted."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

__all__ = ["program"]

_BENCHES = Path(__file__).parent
_BUILD = _BENCHES.parents[1] / "build" / "bench"


@functools.cache
def program(source: Path) -> str:
    """Compile a C file and return the path of the program."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    output = _BUILD / source.stem
    command = ["clang", "-O2", "-Wall", "-Werror", "-I", _BENCHES, "-o", output, source]
    subprocess.run(command, check=True)
    return str(output)
