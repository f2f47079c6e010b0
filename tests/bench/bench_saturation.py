# SPDX-License-Identifier: MIT
"""What copies cost where there is no room: two full nodes, with and without budget and guard."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Final

import paired
from paired import Result
from resonance.policies import BudgetPolicy, HedgePolicy, Policy, TaskHint, load
from sdk.pressure import Signal
from sdk.report import compared, screened, show
from sdk.rig import Clients, Rig, rig
from sdk.slots import Load, Sample

_PORT: Final = 19_762
_ROUNDS: Final = 12
"""*Chosen*: what fits into a quarter of an hour."""
_QUICK_SECONDS: Final = 2.0
_SATURATED_BAR: Final = 1.05
_UNBUDGETED_BAR: Final = 0.1
_EXTRA_ROOM: Final = 0.005
_PLACEBO_BAR: Final = 1.35
"""*Chosen*: near saturation the p99 of a slot is that of its longest queue or two."""
_MOST_FOREIGN_CORES: Final = 0.1
"""*Chosen*: at 95 % that is what is left."""
_NODES: Final = 2
_PILOT: Final = Load(1, 1_000.0, seconds=2.0)
_PILOT_UTILIZATION: Final = 0.7
_REPEATABLE: Final = TaskHint(idempotent=True)

_BALANCED: Final = load("balanced")
_ALONE: Final = _BALANCED.replace(hedge=None)
assert _BALANCED.hedge is not None
_EAGER: Final = _BALANCED.replace(hedge=_BALANCED.hedge.replace(min_tail_ratio=0.0))
"""Without the rule that keeps it from copying at all where the tail is short, as it is in a queue:
what is left are the guard and the budget."""
_UNBUDGETED: Final = _BALANCED.replace(
    hedge=HedgePolicy(
        quantile=0.5,
        min_delay=0.0001,
        max_inflight_pct=1e6,
        cancel_on_first=False,
        min_tail_ratio=0.0,
        saturation_guard=False,
        kernel_advance=False,
    ),
    budget=BudgetPolicy(ratio=1.0, cap=10_000.0, initial=10_000.0),
)

ALONE: Final = "no copies"
AGAIN: Final = "no copies again"
GUARDED: Final = "balanced"
INFORMED: Final = "balanced, daemon"
EAGER: Final = "balanced, any tail"
UNBUDGETED: Final = "p50, no budget, no cancel"


@dataclass(frozen=True, slots=True)
class Arm:
    """What is done about calls that take long, and whether the kernel has a say."""

    policy: Policy
    signal: Signal | None = None


_ARMS: Final = {
    ALONE: Arm(_ALONE),
    AGAIN: Arm(_ALONE),
    GUARDED: Arm(_BALANCED),
    INFORMED: Arm(_BALANCED, "own"),
    EAGER: Arm(_EAGER),
    UNBUDGETED: Arm(_UNBUDGETED),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """How full the nodes are, and the arms that meet it."""

    utilization: float
    arms: tuple[str, ...]


_SCENES: Final = {
    "95 %": Scene(0.95, (ALONE, AGAIN, GUARDED, INFORMED, EAGER)),
    "75 %": Scene(0.75, (ALONE, AGAIN, GUARDED, EAGER, UNBUDGETED)),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="of a minute")
    parser.add_argument("--only", choices=_SCENES, action="append", help="a scene")
    parser.add_argument("--quick", action="store_true", help="two rounds of short slots")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    rounds = 2 if arguments.quick else arguments.rounds
    seconds = _QUICK_SECONDS if arguments.quick else 5.0
    results: list[Result] = []
    with rig(_PORT, 1) as on:
        call_seconds = _cost_of_a_call(on)
        print(f"a call costs {call_seconds * 1e3:.3f} ms of CPU time, its client's included")
        for name in arguments.only or _SCENES:
            rate = _SCENES[name].utilization * _NODES / call_seconds
            results += _measure(on, name, Load(1, rate, 0.0, seconds, 1.0), rounds)
    return paired.conclude("saturation", results)


def _cost_of_a_call(on: Rig) -> float:
    """Return CPU seconds per call where the nodes are well used; a little less than where not."""
    first = on.slot(_PILOT, _clients(ALONE, "pilot"), "pilot").call_seconds
    used = replace(_PILOT, rate_per_second=_PILOT_UTILIZATION * _NODES / first)
    return on.slot(used, _clients(ALONE, "pilot"), "pilot").call_seconds


def _clients(arm: str, seed: object) -> Clients:
    each = _ARMS[arm]
    return Clients(1, each.policy, seed, signal=each.signal, hint=_REPEATABLE)


def _measure(on: Rig, name: str, asked: Load, rounds: int) -> list[Result]:
    print(f"{name}: {asked.rate_per_second:.0f} calls per second", flush=True)
    arms = {arm: _slots(on, name, asked, arm) for arm in _SCENES[name].arms}
    kept, disturbed = screened(name, paired.interleave(arms, rounds), _MOST_FOREIGN_CORES)
    show(name, kept, ALONE)
    return [disturbed, *_results(name, kept)]


def _slots(on: Rig, name: str, asked: Load, arm: str) -> Callable[[], Sample]:
    """Return what runs the slot of the next round; the client of an arm stays the same."""
    return partial(_slot, on, asked, _clients(arm, f"{name} {arm}"), name, count())


def _slot(on: Rig, asked: Load, clients: Clients, name: str, rounds: Iterator[int]) -> Sample:
    return on.slot(asked, clients, f"{name} {next(rounds)}")


def _results(name: str, samples: dict[str, list[Sample]]) -> list[Result]:
    p99 = {arm: [sample.p99 for sample in of] for arm, of in samples.items()}
    again = paired.placebo(p99[AGAIN], p99[ALONE])
    rows = [Result(f"A/A: {name}: p99", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for arm in (GUARDED, INFORMED, EAGER):
        if arm not in samples:
            continue
        if arm != EAGER:
            estimate = compared(samples, arm, ALONE, "p99")
            rows.append(Result(f"{name}: {arm}: p99", ALONE, estimate, _SATURATED_BAR))
        rows += _worst(name, arm, samples[arm])
    if UNBUDGETED in samples:
        estimate = compared(samples, GUARDED, UNBUDGETED, "p99")
        rows.append(Result(f"{name}: {GUARDED}: p99", UNBUDGETED, estimate, _UNBUDGETED_BAR))
    return rows


def _worst(name: str, arm: str, samples: Sequence[Sample]) -> Iterator[Result]:
    """Compare what the worst slot sent, and what it had worked on in vain, with what it may."""
    most = _ARMS[arm].policy.budget.ratio + _EXTRA_ROOM
    for field, what in (("extra_ratio", "extra requests"), ("wasted_ratio", "wasted server CPU")):
        worst = max(getattr(sample, field) for sample in samples)
        estimate = paired.summarize([worst / most])
        yield Result(f"{name}: {arm}: {what}, worst slot", "budget + 0.5 %", estimate, 1.0)


if __name__ == "__main__":
    sys.exit(main())
