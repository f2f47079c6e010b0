# SPDX-License-Identifier: MIT
"""The C programs of the experiment, compiled when first wanted and gone with this process.

::

    replica.c       a server of one thread that burns CPU time for each request
    neighbours.c    batch jobs, or threads that never sleep
    bench.h         what they share

They are in C because each must cost the same in every request, to the microsecond, and none may
wait for another thread of its own.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from resonance.bench.errors import ExperimentError

__all__ = ["HERE", "program"]

HERE: Final = Path(__file__).parent


@functools.cache
def program(source: Path) -> str:
    """Compile a C file.

    Parameters
    ----------
    source : Path
        It may include ``bench.h``, and may use threads.

    Returns
    -------
    str
        The path of the program.

    Raises
    ------
    ExperimentError
        There is no compiler, or it refuses.
    """
    compiler = next(filter(None, map(shutil.which, ("clang", "gcc", "cc"))), None)
    if compiler is None:
        raise ExperimentError("compiling the servers", "no C compiler: apt-get install clang")
    # A name that no other process has: profiles find processes by name.
    output = Path(_directory()) / f"{source.stem}-{os.getpid()}"
    command = [compiler, "-O2", "-Wall", "-Werror", "-pthread", f"-I{HERE}"]
    done = subprocess.run(
        [*command, "-o", output, source], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ExperimentError(f"compiling {source.name}", done.stderr.strip()[-500:])
    return str(output)


@functools.cache
def _directory() -> str:
    made = tempfile.mkdtemp(prefix="resonance-programs-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
