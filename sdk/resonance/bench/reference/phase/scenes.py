# SPDX-License-Identifier: MIT
"""Requests beside periodic work: its phases aligned, at random, and controlled.

Eight tasks of 13 ms once in 100 ms and a server of 0.3 ms at 1,000 requests a second, on two CPUs
and in one cgroup. The same slots are told twice: beside aligned phases, and beside those of chance,
which is what a node has whose tasks were started at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import metadata
from random import Random
from typing import Final

from resonance.bench.errors import ExperimentError
from resonance.bench.machine import this_machine
from resonance.bench.records import Run, Scene, Slot
from resonance.bench.reference.cgroups import tree
from resonance.bench.reference.phase.neighbours import (
    PERIOD_SECONDS,
    RATE_HZ,
    REQUEST_SECONDS,
    TASKS,
    WORK_SECONDS,
)
from resonance.bench.reference.phase.rounds import RULE, repetition
from resonance.bench.reference.phase.timetable import ARMS, Timing

__all__ = ["SMOKE", "measure"]

ALIGNED, AGAIN, RANDOM, CONTROL = ARMS
SMOKE: Final = Timing(
    measured_seconds=0.5, settle_seconds=0.5, control_seconds=0.5, start_seconds=1.5
)
"""Too short to say anything: whether it works."""
_CPUS: Final = 2
_SPARE: Final = 3
"""*Chosen*: one more repetition for each so many, where some were disturbed."""
_BESIDE: Final = (
    f"{TASKS} tasks of 13 ms once in 100 ms beside requests of 0.3 ms, 1,000 a second, on two CPUs"
)


def measure(
    repetitions: int,
    progress: Callable[[str, int, int], None],
    timing: Timing | None = None,
    *,
    seed: int = 0,
) -> list[Scene]:
    """Measure all arms, in a random order in each repetition.

    Parameters
    ----------
    repetitions : int
        Of half a minute each; up to a third more where some were disturbed.
    progress : callable
        Told what is next, and how many repetitions are done, of how many.
    timing : Timing, optional
    seed : int
        Of the phases and of the order.

    Returns
    -------
    list of Scene
        The same slots beside aligned phases, and beside random ones.

    Raises
    ------
    ExperimentError
        The machine lacks something, or something is left.
    """
    if len(os.sched_getaffinity(0)) < _CPUS:
        raise ExperimentError("the phase scene", f"it takes {_CPUS} CPUs")
    timing = timing or Timing()
    slots: dict[str, list[Slot]] = {name: [] for name in ARMS}
    with tree() as made:
        group = made.make()
        doubtful = 0
        for number in range(repetitions + repetitions // _SPARE):
            if number - doubtful == repetitions:
                break
            draw = Random(f"{seed} {number}")  # noqa: S311 - the order is no secret
            order = draw.sample(list(ARMS), len(ARMS))
            progress(f"periodic tasks: {', '.join(order)}", number, repetitions)
            measured = repetition(number, order, draw, group, timing)
            doubtful += any(slot.doubts for slot in measured.values())
            for name, slot in measured.items():
                slots[name].append(slot)
    asked: dict[str, object] = {"seed": seed, **asdict(timing)}
    runs = {name: _run(name, of, asked) for name, of in slots.items()}
    return [
        _scene("periodic, aligned", f"{_BESIDE}; they fire in step.", ALIGNED, AGAIN, runs),
        _scene("periodic, random", f"{_BESIDE}; their phases are chance.", RANDOM, None, runs),
    ]


def _scene(
    name: str, summary: str, baseline: str, placebo: str | None, runs: dict[str, Run]
) -> Scene:
    told: Sequence[str] = list(runs) if placebo else [baseline, CONTROL]
    return Scene(
        name=name,
        summary=summary,
        baseline=baseline,
        placebo=placebo,
        runs=[runs[each] for each in told],
    )


def _run(name: str, slots: list[Slot], asked: dict[str, object]) -> Run:
    return Run(
        version=metadata.version("resonance-runtime"),
        name=name,
        target="a server beside periodic tasks",
        arrival="constant",
        rate_per_second=RATE_HZ,
        machine=this_machine(),
        rule=RULE,
        asked={
            **asked,
            "tasks": TASKS,
            "period_seconds": PERIOD_SECONDS,
            "work_seconds": WORK_SECONDS,
            "request_seconds": REQUEST_SECONDS,
        },
        slots=slots,
    )
