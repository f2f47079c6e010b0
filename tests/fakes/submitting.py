# SPDX-License-Identifier: MIT
"""A node, a clock and workers that do what a test says, for tasks that are submitted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class FakeNode:
    """What a client is told of time and of its node; all of it stands until a test moves it."""

    def __init__(self, pressure: float | None = None, valley_seconds: float = 0.0) -> None:
        self.now = 100.0
        self.pressure = pressure
        self.valley_seconds = valley_seconds

    def clock(self) -> float:
        return self.now

    def own_pressure(self) -> float | None:
        return self.pressure

    def next_valley(self, within: float) -> float:
        return min(self.valley_seconds, within)

    @property
    def sources(self) -> dict[str, Any]:
        """As keyword arguments."""
        return {
            "clock": self.clock,
            "own_pressure": self.own_pressure,
            "next_valley": self.next_valley,
        }


class FreshThreads:
    """A thread for each job."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def submit(self, job: Callable[[], object]) -> bool:
        thread = threading.Thread(target=job, name="fresh", daemon=True)
        self.threads.append(thread)
        thread.start()
        return True


class HandWorked:
    """Jobs that run when the test says, in its own thread."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []

    def submit(self, job: Callable[[], object]) -> bool:
        self.jobs.append(job)
        return True

    def work(self) -> None:
        while self.jobs:
            self.jobs.pop(0)()


class NoWorkers:
    """A pool all of whose threads are taken."""

    def submit(self, _: Callable[[], object]) -> bool:
        return False


class Stuck(NamedTuple):
    """A function that returns when it is let go, and tells when it has begun."""

    has_begun: threading.Event
    let_go: threading.Event

    def __call__(self, *_: object) -> list[str]:
        self.has_begun.set()
        self.let_go.wait(60.0)
        return ["late"]


def stuck() -> Stuck:
    """Return a new one."""
    return Stuck(threading.Event(), threading.Event())
