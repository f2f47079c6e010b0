# SPDX-License-Identifier: MIT
"""What importing the SDK takes in a fresh interpreter.

A value is the whole life of the process, start of the interpreter included; bare Python is
the A/A arm. The bar is absolute, so its ratio is the median time over 100 ms.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import paired
from paired import Result

IMPORT_BAR_SECONDS: Final = 0.100
GRPC_BAR: Final = 1.0
_PLACEBO_BAR: Final = 1.1
"""*Chosen*: a start of the interpreter takes 10 ms, and a tick of the clock 1 ms of it."""
_STATEMENTS: Final = {
    "python": "pass",
    "python again": "pass",
    "resonance": "import resonance",
    "resonance.hints": "import resonance.hints",
    "grpc": "import grpc",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args(argv)
    arms = {name: partial(_seconds, statement) for name, statement in _STATEMENTS.items()}
    paired.interleave(arms, 1)  # fills the page cache, and is not counted
    taken = paired.interleave(arms, arguments.rounds)
    for name, values in taken.items():
        print(f"{name:16}  {statistics.median(values) * 1e3:7.1f} ms")
    return paired.conclude("sdk", _results(taken))


def _seconds(statement: str) -> float:
    started = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (time.perf_counter_ns() - started) / 1e9


def _results(taken: dict[str, list[float]]) -> list[Result]:
    again = paired.placebo(taken["python again"], taken["python"])
    rows = [Result("A/A: bare Python", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for name in ("resonance", "resonance.hints"):
        absolute = paired.within(taken[name], IMPORT_BAR_SECONDS)
        rows.append(Result(f"import {name}", "100 ms", absolute, 1.0))
    beside = paired.compare(taken["resonance"], taken["grpc"])
    return [*rows, Result("import resonance", "import grpc", beside, GRPC_BAR)]


if __name__ == "__main__":
    sys.exit(main())
