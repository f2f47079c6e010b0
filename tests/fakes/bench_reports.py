# SPDX-License-Identifier: MIT
"""Experiments to report of: many arms, foreign names, and slots that are not to be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from fakes.bench_runs import MACHINE, STARTED_AT, lognormal, run, scene, slot
from resonance.bench.comparing import Comparison, compare
from resonance.bench.digest import Outcome
from resonance.bench.records import Experiment, Rule, Run, Scene

FOREIGN = "all, $x_1$ <b>&\"'\u202e名"
"""Mathematics, markup, a letter that turns the line around, and one that the font lacks."""
ARMS: Mapping[str, float] = {
    "random": 1.0,
    "random again": 1.0,
    "round robin": 0.97,
    "p2c": 0.8,
    "peak_ewma": 0.72,
    "least_inflight": 0.85,
    "pressure, own cgroup": 0.7,
    "pressure, own cgroup, scan control": 0.73,
    "hedge": 0.9,
    "hedge, guarded": 0.66,
    "batch idle": 0.5,
    "weight": 0.55,
    "worse": 1.6,
    FOREIGN: 0.04,
}


def quick_run(name: str, scale: float, *, repetitions: int = 8, calls: int = 400) -> Run:
    """Make a run of one slot, which each repetition has once more, with a noise of its own."""
    turn = list(ARMS).index(name) if name in ARMS else 0
    costs = {"extra_ratio": 0.03, "wasted_ratio": 0.01, "job_p50_seconds": 0.1 / scale,
             "job_rate_per_second": 9.0 * scale}  # fmt: skip
    made = [
        slot([scale * noise * each for each in lognormal(calls)], costs=costs, foreign_cores=0.01)
        for noise in (0.97, 1.0, 1.02)
    ]
    slots = [
        msgspec.structs.replace(made[(place + turn) % 3], repetition=place,
                                started_at=STARTED_AT + 60.0 * place + 6.0 * turn)
        for place in range(repetitions)
    ]  # fmt: skip
    return run(name, slots=slots, calls=calls)


def many_arms(*, repetitions: int = 8, calls: int = 400) -> Scene:
    """Make a scene of fourteen arms."""
    runs = [
        quick_run(name, scale, repetitions=repetitions, calls=calls) for name, scale in ARMS.items()
    ]
    return scene(*runs, name="one node, 40 %", placebo="random again")


def disturbed() -> Scene:
    """Make a scene in which no repetition is to be believed."""
    rule = Rule(max_foreign_cores=0.3)
    slots = [slot(lognormal(400), repetition=place, foreign_cores=0.9, rule=rule)
             for place in range(3)]  # fmt: skip
    return scene(
        *(run(name, slots=slots, rule=rule) for name in ("random", "p2c")), name="disturbed"
    )


def failing() -> Scene:
    """Make a scene of one run, some of whose calls failed, and all of which waited."""
    failed = {Outcome.TIMEOUT: 3, Outcome.RESET: 30}
    slots = [slot(lognormal(800, seed=place), repetition=place, failed=failed, queued_seconds=1e-3)
             for place in range(2)]  # fmt: skip
    return scene(run("alone", slots=slots), name="alone", summary="Calls to <nobody>.")


def experiment(
    *scenes: Scene, differences: Sequence[str] | None = (), notes: Sequence[str] = ()
) -> Experiment:
    """Make an experiment of these scenes."""
    return Experiment(
        version="0.1.0",
        title="What it gains",
        started_at=STARTED_AT,
        seconds=880.0,
        machine=MACHINE,
        scenes=list(scenes),
        differences=None if differences is None else list(differences),
        notes=list(notes),
    )


def compared(measured: Experiment) -> list[Comparison]:
    """Return a comparison of each scene."""
    return [compare(each) for each in measured]
