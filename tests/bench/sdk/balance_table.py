# SPDX-License-Identifier: MIT
"""Which way to choose a replica helps one client, and harms nobody when there are twenty?

Every arm meets the same requests and bursts in each seed. What is compared is a percentile of
one seed with that of the random arm in the same seed; the ratio is the median over seeds, with
a bootstrap interval. The placebo is the random arm with other luck.

    PYTHONPATH=tests/bench python -m sdk.balance_table
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

import paired
from resonance.policies import EjectionPolicy
from resonance.policies.choice import (
    Ejector,
    InTurn,
    LeastInflight,
    PeakEwma,
    Prequal,
    TwoChoices,
    Uniform,
)
from resonance.policies.choice.candidates import ExpectedWait, Flipped, Headroom, PressureTimes
from sdk.balance_simulation import Arm, Scene, Signal, simulate

SHARES: Final = (0.95, 0.99, 0.999)
BARS: Final = {1: 0.80, 20: 1.00}
"""p99 to random, at most, by the number of clients."""
HARM_BAR: Final = 1.03
"""At twenty clients, for every arm that is shipped; and for any where there is no neighbour."""
BASE: Final = "random"
CONTROLS: Final = "control"
_SIGNALS: Final[tuple[Signal, ...]] = ("own", "cpu", "queue")
_LONG_SLICE_SECONDS: Final = 0.004
"""One tick of a kernel with 250 of them in a second."""


def _ejector(random: Random) -> Ejector:
    return Ejector(EjectionPolicy(latency_ratio=0.0), random)


def _arms() -> Iterator[Arm]:
    yield Arm(Uniform, name=BASE)
    yield Arm(Uniform, name="random again")
    yield Arm(TwoChoices, name="p2c")
    yield Arm(LeastInflight, name="least_inflight")
    yield Arm(PeakEwma, name="peak_ewma")
    yield Arm(InTurn, name="round_robin")
    yield Arm(Prequal, name="prequal")
    yield Arm(TwoChoices, None, partial(Ejector, EjectionPolicy()), "p2c, ejection on")
    for signal in _SIGNALS:
        full = partial(PressureTimes, is_full_scan=True)
        yield Arm(PressureTimes, signal, name=f"{CONTROLS}: p2c x (1 + 4 g), {signal}")
        yield Arm(full, signal, name=f"{CONTROLS}: full scan x (1 + 4 g), {signal}")
        yield Arm(Flipped, signal, name=f"flipped, {signal}")
        yield Arm(Headroom, signal, name=f"headroom, {signal}")
        yield Arm(ExpectedWait, signal, name=f"expected wait, {signal}")
        yield Arm(TwoChoices, signal, _ejector, f"starvation, {signal}")


def _scenes(duration_seconds: float) -> dict[str, Scene]:
    plain = Scene(clients=1, duration_seconds=duration_seconds)
    kinds = {
        "quiet": replace(plain, batch_load=0.0),
        "bursts": plain,
        "many bursts": replace(plain, batch_load=0.5),
        "starved": replace(plain, saturated=(0,)),
        "bursts, ungrouped": replace(plain, batch_weight=1.0),
        "bursts, slices": replace(plain, slice_seconds=_LONG_SLICE_SECONDS),
        "starved, slices": replace(plain, saturated=(0,), slice_seconds=_LONG_SLICE_SECONDS),
        "bursts, 100 ms late": replace(plain, delay_seconds=0.1),
    }
    return {
        f"{name}, {clients}": replace(scene, clients=clients)
        for name, scene in kinds.items()
        for clients in BARS
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One arm in one scene: the ratio to random of each of `SHARES`."""

    arm: str
    scene: str
    clients: int
    estimates: tuple[paired.Estimate, ...]

    @property
    def p99(self) -> paired.Estimate:
        return self.estimates[SHARES.index(0.99)]

    @property
    def bar(self) -> float:
        return HARM_BAR if self.scene.startswith("quiet") else BARS[self.clients]


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="new ones test what old ones chose"
    )
    parser.add_argument("--arm", action="append", help="arms whose name begins like this")
    parser.add_argument("--seconds", type=float, default=40.0, help="simulated, per seed")
    parser.add_argument("--only", action="append", help="scenes whose name begins like this")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    rows: list[Row] = []
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    begins = (BASE, *(arguments.arm or [""]))
    arms = [arm for arm in _arms() if arm.name.startswith(begins)]
    for name, scene in _scenes(arguments.seconds).items():
        if arguments.only and not name.startswith(tuple(arguments.only)):
            continue
        print(f"\n{name} client{'s' if scene.clients > 1 else ''}: p95, p99, p99.9 to random")
        for row in _compare(name, scene, seeds, arms):
            rows.append(row)
            print(_line(row), flush=True)
    _conclude(rows)
    return 0


def _compare(name: str, scene: Scene, seeds: range, arms: Sequence[Arm]) -> Iterator[Row]:
    base: Sequence[Mapping[float, float]] = ()
    for arm in arms:
        values = [_percentiles(simulate(scene, arm, seed)) for seed in seeds]
        if arm.name == BASE:
            base = values
            continue
        estimates = tuple(
            paired.compare([each[share] for each in values], [each[share] for each in base])
            for share in SHARES
        )
        yield Row(arm.name, name, scene.clients, estimates)


def _percentiles(latencies: Sequence[float]) -> dict[float, float]:
    ordered = sorted(latencies)
    return {share: ordered[int(share * len(ordered))] for share in SHARES}


def _line(row: Row) -> str:
    cells = (f"{each.ratio:5.2f} [{each.low:4.2f}-{each.high:4.2f}]" for each in row.estimates)
    return f"  {row.arm:38} {'  '.join(cells)}"


def _conclude(rows: Sequence[Row]) -> None:
    """Print the arms that keep within every bar, and all p99 as one line of JSON."""
    arms = dict.fromkeys(row.arm for row in rows)
    kept = [arm for arm in arms if all(row.p99.ratio <= row.bar for row in rows if row.arm == arm)]
    print(f"\nwithin every bar: {', '.join(kept) or 'none'}")
    harmful = {row.arm for row in rows if row.clients > 1 and row.p99.ratio > HARM_BAR}
    print(f"above {HARM_BAR} with many clients: {', '.join(sorted(harmful)) or 'none'}")
    results = [
        {
            "what": f"{row.arm}: p99, {row.scene}",
            "against": BASE,
            "ratio": round(row.p99.ratio, 4),
            "low": round(row.p99.low, 4),
            "high": round(row.p99.high, 4),
            "bar": row.bar,
            "met": row.p99.ratio <= row.bar,
        }
        for row in rows
    ]
    line = {"bench": "balance", "machine": "simulated", "results": results}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
