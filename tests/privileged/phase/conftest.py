# SPDX-License-Identifier: MIT
"""Timers of another process, as they run; asserts nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from privileged.running import Place

_SOURCES = Path(__file__).with_name("sources.py")


class Timers:
    """A process of `sources`, and what each of its timers did last."""

    def __init__(self, place: Place, period: float, work: float, kinds: list[str]) -> None:
        socket = str(place.runtime_directory / "hints.sock")
        self.process = subprocess.Popen(
            [sys.executable, str(_SOURCES), str(period), str(work), *kinds],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"RESONANCE_HINTS_SOCKET": socket},
        )
        self.offsets: dict[str, float] = {}
        self.largest_step = 0.0
        self.releases = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            release = json.loads(line)
            name, offset = release["name"], release["offset"]
            step = abs(offset - self.offsets.get(name, offset))
            self.largest_step = max(self.largest_step, step)
            self.offsets[name] = offset
            self.releases += 1

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()


StartTimers = Callable[..., Timers]


@pytest.fixture
def start_timers(place: Place) -> Iterator[StartTimers]:
    """Start timers that end with the test."""
    started: list[Timers] = []

    def start(*kinds: str, period: float = 0.05, work: float = 0.001) -> Timers:
        started.append(Timers(place, period, work, list(kinds)))
        return started[-1]

    yield start
    for timers in started:
        timers.end()


def until(condition: Callable[[], bool], patience_seconds: float = 30.0) -> bool:
    """Return whether a condition came true in time."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
