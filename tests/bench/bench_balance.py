# SPDX-License-Identifier: MIT
"""What choosing replicas well does for the tail: two nodes, batch neighbours, 1 and 20 clients."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

import paired
from paired import Result
from sdk.arms import AGAIN, ARMS, BASELINE, DEFAULT, SCENES, WORST_BAR, Scene
from sdk.report import compared, screened, show
from sdk.rig import Clients, Rig, rig
from sdk.slots import Sample

_PORT: Final = 19_761
_ROUNDS: Final = 6
"""*Chosen*: what fits into a quarter of an hour."""
_QUICK_SECONDS: Final = 1.5
_PLACEBO_BAR: Final = 1.20
"""*Chosen*: the p99 of 1,260 calls is the thirteenth worst of them."""
_MOST_FOREIGN_CORES: Final = 0.3


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="of two minutes and a half")
    parser.add_argument("--only", choices=SCENES, action="append", help="a scene")
    parser.add_argument("--arm", choices=ARMS, action="append", help="beside the random ones")
    parser.add_argument("--quick", action="store_true", help="one round of short slots")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    results: list[Result] = []
    scenes = {name: _cut(SCENES[name], arguments) for name in arguments.only or SCENES}
    with rig(_PORT, max(scene.load.clients for scene in scenes.values())) as on:
        for name, scene in scenes.items():
            results += _measure(on, name, scene, 1 if arguments.quick else arguments.rounds)
    return paired.conclude("balance", results)


def _cut(scene: Scene, arguments: argparse.Namespace) -> Scene:
    wanted = {BASELINE, AGAIN, *(arguments.arm or scene.arms)}
    load = replace(scene.load, seconds=_QUICK_SECONDS) if arguments.quick else scene.load
    return replace(scene, load=load, arms=tuple(arm for arm in scene.arms if arm in wanted))


def _measure(on: Rig, name: str, scene: Scene, rounds: int) -> list[Result]:
    arms = {arm: _slots(on, name, scene, arm) for arm in scene.arms}
    with on.nodes.starved(is_so=scene.load.is_starved):
        samples = paired.interleave(arms, rounds)
    kept, disturbed = screened(name, samples, _MOST_FOREIGN_CORES)
    show(name, kept, BASELINE)
    return [disturbed, *_results(name, scene, kept)]


def _slots(on: Rig, name: str, scene: Scene, arm: str) -> Callable[[], Sample]:
    """Return what runs the slot of the next round; the clients of an arm stay the same."""
    clients = ARMS[arm].clients(scene.load.clients, f"{name} {arm}")
    return partial(_slot, on, scene, clients, name, count())


def _slot(on: Rig, scene: Scene, clients: Clients, name: str, rounds: Iterator[int]) -> Sample:
    return on.slot(scene.load, clients, f"{name} {next(rounds)}")


def _results(name: str, scene: Scene, samples: dict[str, list[Sample]]) -> list[Result]:
    p99 = {arm: [sample.p99 for sample in of] for arm, of in samples.items()}
    again = paired.placebo(p99[AGAIN], p99[BASELINE])
    rows = [Result(f"A/A: {name}: p99", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for arm in samples:
        if arm in {BASELINE, AGAIN}:
            continue
        bar = scene.candidate_bar if ARMS[arm].is_candidate else WORST_BAR
        bar = scene.default_bar if arm == DEFAULT else bar
        estimate = compared(samples, arm, BASELINE, "p99")
        rows.append(Result(f"{name}: {arm}: p99", BASELINE, estimate, bar))
    return rows


if __name__ == "__main__":
    sys.exit(main())
