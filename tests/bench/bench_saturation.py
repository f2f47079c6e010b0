# SPDX-License-Identifier: MIT
"""What copies cost where there is no room: two full nodes, with and without budget and guard."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Final

import paired
from paired import Result
from resonance.bench.records import Rule, Slot
from resonance.bench.reference.pressure import Signal
from resonance.bench.reference.rig import Clients, Rig, rig
from resonance.bench.reference.slots import Demand
from resonance.policies import BudgetPolicy, HedgePolicy, Policy, TaskHint, load

_ROUNDS: Final = 12
"""*Chosen*: what fits into a quarter of an hour."""
_QUICK_SECONDS: Final = 2.0
_SATURATED_BAR: Final = 1.05
_UNBUDGETED_BAR: Final = 0.1
_EXTRA_ROOM: Final = 0.005
_PLACEBO_BAR: Final = 1.35
"""*Chosen*: near saturation the p99 of a slot is that of its longest queue or two."""
_RULE: Final = Rule(max_foreign_cores=0.1)
"""*Chosen*: at 95 % that is what is left."""
_DISTURBED_BAR: Final = 0.5
"""*Chosen*: where more than half of the rounds were disturbed, so was the rest."""
_NODES: Final = 2
_PILOT: Final = Demand(1, 1_000.0, seconds=2.0)
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
    with rig("two nodes", 1) as on:
        call_seconds = _cost_of_a_call(on)
        print(f"a call costs {call_seconds * 1e3:.3f} ms of CPU time, its client's included")
        for name in arguments.only or _SCENES:
            rate = _SCENES[name].utilization * _NODES / call_seconds
            results += _measure(on, name, Demand(1, rate, 0.0, seconds, 1.0), rounds)
    return paired.conclude("saturation", results)


def _cost_of_a_call(on: Rig) -> float:
    """Return CPU seconds per call where the nodes are well used; a little less than where not."""
    first = _slot(on, _PILOT, _clients(ALONE, "pilot"), "pilot", count())
    rate = _PILOT_UTILIZATION * _NODES / first.costs["call_cpu_seconds"]
    used = replace(_PILOT, rate_per_second=rate)
    second = _slot(on, used, _clients(ALONE, "pilot"), "pilot", count())
    return second.costs["call_cpu_seconds"]


def _clients(arm: str, seed: object) -> Clients:
    each = _ARMS[arm]
    return Clients(1, each.policy, seed, signal=each.signal, hint=_REPEATABLE)


def _measure(on: Rig, name: str, asked: Demand, rounds: int) -> list[Result]:
    print(f"{name}: {asked.rate_per_second:.0f} calls per second", flush=True)
    arms = {arm: _slots(on, name, asked, arm) for arm in _SCENES[name].arms}
    kept, doubts = _screened(paired.interleave(arms, rounds))
    for doubt in doubts:
        print(f"disturbed: {name}: {doubt}", file=sys.stderr)
    share = paired.summarize([len(doubts) / rounds])
    disturbed = Result(
        f"A/A: {name}: disturbed rounds", "all rounds", share, _DISTURBED_BAR, is_placebo=True
    )
    for arm, slots in kept.items():
        medians = (statistics.median(map(_at(q), slots)) for q in (0.5, 0.95, 0.99))
        print(f"{arm:26}", *(f"{seconds * 1e3:8.2f} ms" for seconds in medians))
    return [disturbed, *_results(name, kept)]


def _screened(samples: dict[str, list[Slot]]) -> tuple[dict[str, list[Slot]], list[str]]:
    """Leave rounds out in which an arm was disturbed, unless all of them were."""
    doubts: dict[int, str] = {}
    for arm, slots in samples.items():
        for place, slot in enumerate(slots):
            if slot.doubts:
                doubts.setdefault(place, f"round {place}, {arm}: {'; '.join(slot.doubts)}")
    rounds = len(next(iter(samples.values())))
    kept = [place for place in range(rounds) if place not in doubts] or range(rounds)
    return {arm: [slots[place] for place in kept] for arm, slots in samples.items()}, list(
        doubts.values()
    )


def _at(q: float) -> Callable[[Slot], float]:
    """Return what tells a quantile of a slot, which has answers."""
    return lambda slot: slot.quantile(q) or 0.0


def _slots(on: Rig, name: str, asked: Demand, arm: str) -> Callable[[], Slot]:
    """Return what runs the slot of the next round; the client of an arm stays the same."""
    return partial(_slot, on, asked, _clients(arm, f"{name} {arm}"), name, count())


def _slot(on: Rig, asked: Demand, clients: Clients, name: str, rounds: Iterator[int]) -> Slot:
    return on.slot(asked, clients, seed=f"{name} {next(rounds)}", rule=_RULE).slot


def _results(name: str, samples: dict[str, list[Slot]]) -> list[Result]:
    p99 = {arm: list(map(_at(0.99), slots)) for arm, slots in samples.items()}
    again = paired.placebo(p99[AGAIN], p99[ALONE])
    rows = [Result(f"A/A: {name}: p99", "again", again, _PLACEBO_BAR, is_placebo=True)]
    for arm in (GUARDED, INFORMED, EAGER):
        if arm not in samples:
            continue
        if arm != EAGER:
            estimate = paired.compare(p99[arm], p99[ALONE])
            rows.append(Result(f"{name}: {arm}: p99", ALONE, estimate, _SATURATED_BAR))
        rows += _worst(name, arm, samples[arm])
    if UNBUDGETED in samples:
        estimate = paired.compare(p99[GUARDED], p99[UNBUDGETED])
        rows.append(Result(f"{name}: {GUARDED}: p99", UNBUDGETED, estimate, _UNBUDGETED_BAR))
    return rows


def _worst(name: str, arm: str, samples: Sequence[Slot]) -> Iterator[Result]:
    """Compare what the worst slot sent, and what it had worked on in vain, with what it may."""
    most = _ARMS[arm].policy.budget.ratio + _EXTRA_ROOM
    for field, what in (("extra_ratio", "extra requests"), ("wasted_ratio", "wasted server CPU")):
        worst = max(slot.costs[field] for slot in samples)
        estimate = paired.summarize([worst / most])
        yield Result(f"{name}: {arm}: {what}, worst slot", "budget + 0.5 %", estimate, 1.0)


if __name__ == "__main__":
    sys.exit(main())
