# SPDX-License-Identifier: MIT
"""A process that may read no code any more must need none: hearing and deciding import nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[3]
PROGRAM = """
import importlib
import sys

import numpy as np

import resonanced.service
from fakes.snapshots import OTHER, WEB, snapshot
from resonance_core.control.controller import Controller
from resonance_core.control.records import Releases, Source
from resonanced.phase.bins import Bins
from resonanced.phase.listener import Listener
from resonanced.phase.loop import parameters_of
from resonanced.phase.settings import PhaseSettings

class Reader:
    reach_seconds = 1.0
    first = 5_000

    def read(self, now_ns):
        at = np.arange(self.first, self.first + 750)
        burst, queue = np.flatnonzero(at % 80 < 10), np.flatnonzero((at - 20) % 80 < 10)
        place = np.concatenate([burst, queue])
        slot = np.repeat([WEB.index, OTHER.index], [burst.size, queue.size])
        wait = np.repeat([1e-5, 2e-3], [burst.size, queue.size])
        bins = Bins(self.first * 1_000_000, self.first, 750, 0, slot, place, wait * 0 + 1, wait)
        self.first += 750
        return bins

for name in resonanced.service._LATE_MODULES:
    importlib.import_module(name)
before = set(sys.modules)

listener = Listener(Reader())
for step in range(1, 30):
    listener.listen(snapshot(monotonic_ns=step * 750_000_000, slots=(OTHER, WEB)))
assert abs(listener.heard.period_seconds - 0.08) < 0.001
assert listener.heard.neighbours

controller = Controller(parameters_of(PhaseSettings()), "active")
for key in range(8):
    source = Source(
        key=key, name=f"s{key}", period_seconds=0.1, origin_seconds=100.0, phase_free=True
    )
    controller.register(source, 100.0)
commands = 0
for step in range(1, 600):
    now = 100.0 + step / 10
    controller.observe_waits(now, np.array([1e-3, 5e-3]), np.array([50.0, 3.0]))
    controller.observe_bins(now - 0.1, 1e-3, np.ones(100), np.full(100, 1e-4))
    controller.observe_load(0.5)
    for key in range(8):
        at = np.array([now - 0.05])
        work, completion = np.array([0.013]), np.array([0.02])
        controller.observe(
            Releases(key=key, at_seconds=at, work_seconds=work, completion_seconds=completion)
        )
    commands += len(controller.tick(now).commands)
controller.explain(0), controller.numbers(0), controller.sources()
controller.stop(now)
assert commands
print(sorted(set(sys.modules) - before))
"""


def test_neither_a_period_nor_a_decision_reads_a_module_at_first_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(TESTS)},
    )
    assert done.stdout == "[]\n"
