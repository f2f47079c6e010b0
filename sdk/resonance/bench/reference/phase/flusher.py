# SPDX-License-Identifier: MIT
"""One periodic task: so much CPU time once a period, when the SDK says.

``flusher NAME PERIOD WORK SPREAD ORIGIN UNTIL [ORIGIN UNTIL ...] [CGROUP_DIRECTORY ...]``: its
phase is that of an origin until a moment, both on CLOCK_MONOTONIC, then that of the next. Prints
one line per release at its end: when it was due, and how long from then to the end of its work.
With a spread it waits a random part of it before it works: where that is the whole period, the
timer is periodic and the work is not.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import resonance


def _work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def _due(name: str, period: float, numbers: list[float]) -> Iterator[float]:
    for origin, until in zip(numbers[::2], numbers[1::2], strict=True):
        for tick in resonance.every(period, name=name, phase_free=True, origin=origin):
            if tick.scheduled_seconds >= until:
                break
            yield tick.scheduled_seconds


def main() -> None:
    """Run for so long, then tell."""
    name, *words = sys.argv[1:]
    directories = [word for word in words if word.startswith("/")]
    period, work, spread, *phases = map(float, words[: len(words) - len(directories)])
    for directory in directories:
        (Path(directory) / "cgroup.procs").write_text("0")
    draw = random.Random(name)  # noqa: S311 - spreads, hides nothing
    done: list[tuple[float, float]] = []
    for scheduled in _due(name, period, phases):
        due = scheduled + draw.uniform(0.0, spread)
        time.sleep(max(0.0, due - time.monotonic()))
        _work(work)
        done.append((due, time.monotonic() - due))
    print(*(f"{due:.6f} {elapsed:.6f}" for due, elapsed in done), sep="\n")


if __name__ == "__main__":
    main()
