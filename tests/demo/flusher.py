# SPDX-License-Identifier: MIT
"""A flusher as an application would have one: ``flusher NAME SECONDS``.

Ten times a second it compresses what has piled up. All flushers of this demo begin on the same
full second, as jobs do that were deployed together.
"""

from __future__ import annotations

import math
import sys
import time

import resonance

PERIOD_SECONDS = 0.1
WORK_SECONDS = 0.0125
"""Eight flushers take half of two CPUs."""


def flush() -> None:
    """Stand in for the compression: so much CPU time."""
    end = time.thread_time() + WORK_SECONDS
    while time.thread_time() < end:
        pass


def main() -> None:
    """Flush until the time is over."""
    name, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
    together = math.ceil(time.monotonic())
    for _ in resonance.every(PERIOD_SECONDS, name=name, phase_free=True, origin=together):
        flush()
        if time.monotonic() >= end:
            break


if __name__ == "__main__":
    main()
