# SPDX-License-Identifier: MIT
"""The mathematics: tick, plan, re-analysis, for 256 sources or cgroups.

Times are CPU time of one thread, as the daemon has one to give. The bars are absolute, so a
ratio is a measured time over its bar. The A/A arm is a Fourier transform, twice: where that
differs, so would everything.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # it is read when numpy is imported

import numpy as np

import paired
from paired import Result
from resonance_core.calculus.phasor import order_parameters
from resonance_core.calculus.placement import place_harmonic, weighted_splay
from resonance_core.control.controller import Controller
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Releases, Source
from resonance_core.spectral.coupling import coupling_matrix
from resonance_core.spectral.frames import frame
from resonance_core.spectral.neighbours import rank, waits_of_others
from resonance_core.spectral.period import dominant_period

SOURCES: Final = 256
BINS: Final = 4096
BIN_SECONDS: Final = 0.005
PERIOD_SECONDS: Final = 0.1
TICK_SECONDS: Final = 0.1
REPORT_TICKS: Final = 5
"""A source reports every half second: the daemon asks for no more."""
_WARM_TICKS: Final = 60
_TICKS: Final = 50
"""Ten decisions among them."""
_PLACEBO_BAR: Final = 1.25
_BARS_SECONDS: Final = {
    "tick, mean": 0.002,
    "tick, slowest of 50": 0.002,
    "plan, one period": 0.005,
    "plan, periods T, T/2, T/4": 0.005,
    "re-analysis": 0.030,
    "frame of 256 series": 0.0005,
    "coupling, 256 x 256": 0.005,
    "order parameters Z_1..Z_16": 0.0005,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args(argv)
    arms = _arms(np.random.default_rng(20_011))
    paired.interleave(arms, 2)  # fills caches, and is not counted
    gc.freeze()
    taken = paired.interleave(arms, arguments.rounds)
    ticks = taken.pop("tick, mean"), taken.pop("tick, slowest of 50")
    taken = {"tick, mean": ticks[0], "tick, slowest of 50": ticks[1], **taken}
    for name, values in taken.items():
        print(f"{name:28}  {statistics.median(values) * 1e3:8.3f} ms")
    again = paired.placebo(taken.pop("again"), taken.pop("transform"))
    rows = [Result("A/A: transform", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for name, values in taken.items():
        bar = _BARS_SECONDS[name]
        rows.append(Result(name, f"{bar * 1e3:g} ms", paired.within(values, bar), 1.0))
    return paired.conclude("core", rows)


def _arms(random: np.random.Generator) -> dict[str, Callable[[], float]]:
    weights, phases = random.lognormal(0.0, 0.5, SOURCES), random.uniform(0.0, 6.28, SOURCES)
    multiples = random.choice([1, 2, 4], SOURCES)
    counts = random.poisson(1.0, (SOURCES, BINS)).astype(np.float32)
    waits = random.exponential(1e-4, (SOURCES, BINS)).astype(np.float32) * (counts > 0.0)
    spectra = random.normal(size=(SOURCES, 61)) + 1j * random.normal(size=(SOURCES, 61))
    window = counts[:, :256].copy()
    node = _Node(random)
    transform = partial(np.fft.rfft, counts[:, :2048], axis=-1)
    return {
        "transform": partial(_seconds, transform),
        "again": partial(_seconds, transform),
        "tick, mean": lambda: statistics.fmean(node.ticks()),
        "tick, slowest of 50": lambda: max(node.ticks()),
        "plan, one period": partial(_seconds, partial(weighted_splay, weights)),
        "plan, periods T, T/2, T/4": partial(
            _seconds, partial(place_harmonic, phases, weights, multiples)
        ),
        "re-analysis": partial(_seconds, partial(_reanalysis, counts, waits)),
        "frame of 256 series": partial(_seconds, partial(frame, window)),
        "coupling, 256 x 256": partial(_seconds, partial(coupling_matrix, spectra)),
        "order parameters Z_1..Z_16": partial(
            _seconds, lambda: order_parameters(phases, 16, weights)
        ),
    }


def _seconds(call: Callable[[], object]) -> float:
    """Return the shortest of five runs: what the machine adds is not the mathematics."""
    taken = []
    for _ in range(5):
        started = time.thread_time_ns()
        call()
        taken.append((time.thread_time_ns() - started) / 1e9)
    return min(taken)


def _reanalysis(counts: np.ndarray, waits: np.ndarray) -> None:
    """Rank everybody and look for the period of the queue, from nothing but the bins."""
    rank(counts, waits_of_others(waits), BIN_SECONDS)
    dominant_period(waits.sum(axis=0), BIN_SECONDS)


class _Node:
    """A controller in mode active with 256 sources that are in step."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._controller = Controller(Parameters(cores=4.0), "active")
        self._phases = random.normal(0.0, 0.002, SOURCES)
        self._work = random.lognormal(-7.0, 0.5, SOURCES)
        self._at_tick = 0
        for key in range(SOURCES):
            source = Source(
                key=key,
                name=f"source {key}",
                period_seconds=PERIOD_SECONDS,
                origin_seconds=float(self._phases[key]),
                phase_free=True,
            )
            self._controller.register(source, 0.0)
        for _ in range(_WARM_TICKS):
            self._tick()

    def ticks(self) -> list[float]:
        return [self._tick() for _ in range(_TICKS)]

    def _tick(self) -> float:
        self._at_tick += 1
        for key in range(self._at_tick % REPORT_TICKS, SOURCES, REPORT_TICKS):
            self._report(key)
        self._controller.observe_waits(
            self._at_tick * TICK_SECONDS, self._random.exponential(1e-3, 20), np.ones(20)
        )
        started = time.thread_time_ns()
        self._controller.tick(self._at_tick * TICK_SECONDS)
        return (time.thread_time_ns() - started) / 1e9

    def _report(self, key: int) -> None:
        first = max(0, self._at_tick - REPORT_TICKS)
        cycles = np.arange(first, self._at_tick) * PERIOD_SECONDS + PERIOD_SECONDS / 2.0
        at = np.sort(cycles + self._phases[key] + self._random.normal(0.0, 1e-3, len(cycles)))
        work = np.full(len(at), self._work[key])
        self._controller.observe(
            Releases(key=key, at_seconds=at, work_seconds=work, completion_seconds=2.0 * work)
        )


if __name__ == "__main__":
    sys.exit(main())
