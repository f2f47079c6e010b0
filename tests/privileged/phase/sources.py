# SPDX-License-Identifier: MIT
"""A process with timers: ``sources PERIOD WORK KIND...``; asserts nothing.

Each KIND is a timer: ``free``, ``anchored``, ``slack`` or ``critical``. All begin at one
point. Each release is a line of JSON on standard output: which timer, its number, when it was
scheduled and with which hold.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import resonance

KINDS: dict[str, dict[str, Any]] = {
    "free": {"phase_free": True},
    "anchored": {},
    "slack": {"slack": 0.005},
    "critical": {"phase_free": True, "importance": "critical"},
}


def _run(number: int, kind: str, period: float, work: float, origin: float) -> None:
    name = f"{kind}-{number}"
    for tick in resonance.every(period, name=name, origin=origin, **KINDS[kind]):
        end = time.thread_time() + work
        while time.thread_time() < end:
            pass
        line = {
            "name": name,
            "number": tick.number,
            "scheduled": tick.scheduled_seconds,
            "offset": tick.offset_seconds,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Run until somebody ends us."""
    period, work, origin = float(sys.argv[1]), float(sys.argv[2]), time.monotonic() + 0.5
    threads = [
        threading.Thread(target=_run, args=(number, kind, period, work, origin), daemon=True)
        for number, kind in enumerate(sys.argv[3:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
