# SPDX-License-Identifier: MIT
"""One periodic task: so much CPU time once a period, when the SDK says.

``flusher NAME ORIGIN PERIOD WORK SPREAD SECONDS [CGROUP_DIRECTORY...]``; prints one line per
release at its end: when it was due (CLOCK_MONOTONIC) and how long from then to the end of its
work. With a spread it waits a random part of it before it works: where that is the whole
period, the timer is periodic and the work is not.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import resonance


def _work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def main() -> None:
    """Run for so long, then tell."""
    name, *numbers = sys.argv[1:7]
    origin, period, work, spread, seconds = map(float, numbers)
    for directory in sys.argv[7:]:
        (Path(directory) / "cgroup.procs").write_text("0")
    draw = random.Random(name)
    done: list[tuple[float, float]] = []
    end = time.monotonic() + seconds
    for tick in resonance.every(period, name=name, phase_free=True, origin=origin):
        due = tick.scheduled_seconds + draw.uniform(0.0, spread)
        time.sleep(max(0.0, due - time.monotonic()))
        _work(work)
        done.append((due, time.monotonic() - due))
        if due >= end:
            break
    for due, elapsed in done:
        print(f"{due:.6f} {elapsed:.6f}")


if __name__ == "__main__":
    main()
