# SPDX-License-Identifier: MIT
"""How much more does one thing cost than another, when both ran on the same machine just now?

Arms are run in rounds, each arm once per round in an order drawn anew, so that what drifts
meets all alike. What is compared is one round's values with each other, and what is reported
is the median of those ratios with a bootstrap interval. One pair of arms is the same thing
twice (A/A): how far that ratio is from 1 says what this machine can tell apart today, and
when it is too far, the run says so instead of a result.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from resonance.bench.machine import this_machine
from resonance.bench.statistics import Estimate, ratios, summarize

__all__ = [
    "TOO_NOISY",
    "Estimate",
    "Result",
    "compare",
    "conclude",
    "end_by_exception",
    "interleave",
    "machine",
    "percentile",
    "placebo",
    "placebo_share",
    "summarize",
    "within",
]

TOO_NOISY: Final = 3
"""Exit status of a run whose A/A arm was too wide."""
_SEED: Final = 20_011

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table: what, against what, and whether it keeps within its bar.

    Attributes
    ----------
    is_placebo : bool
        An A/A row, whose bar is what the run must keep to be believed.
    is_floor : bool
        The bar is the least the ratio may be, not the most.
    """

    what: str
    against: str
    estimate: Estimate
    bar: float
    is_placebo: bool = False
    is_floor: bool = False

    @property
    def is_met(self) -> bool:
        ratio = self.estimate.ratio
        return ratio >= self.bar if self.is_floor else ratio <= self.bar

    def row(self) -> dict[str, object]:
        """Return the row as it stands in the final line of JSON."""
        return {
            "what": self.what,
            "against": self.against,
            "ratio": round(self.estimate.ratio, 4),
            "low": round(self.estimate.low, 4),
            "high": round(self.estimate.high, 4),
            "bar": self.bar,
            "met": self.is_met,
        }


def interleave(arms: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run every arm once per round, in an order drawn anew, and return its values by arm."""
    if rounds < 1:
        raise ValueError(f"{rounds} rounds: at least one is needed")
    order = random.Random(_SEED)
    values: dict[str, list[T]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name in order.sample(list(arms), len(arms)):
            values[name].append(arms[name]())
    return values


def compare(values: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Return the median ratio of values to the reference of the same round."""
    return summarize(ratios(values, reference))


def placebo(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Return how far the same thing, run twice, is from itself: 1 is not at all.

    Deviations down count like deviations up (0.8 is 1.25), so that a bar has one side.
    """
    logs = [math.log(a / b) for a, b in zip(first, second, strict=True)]
    return _folded(summarize(logs), math.exp)


def placebo_share(differences: Sequence[float], whole: Sequence[float]) -> Estimate:
    """Return how large a difference of the same thing to itself is, as a share of a whole."""
    return _folded(compare(differences, whole), lambda share: share)


def within(values: Sequence[float], bar: float) -> Estimate:
    """Return the median of values as a ratio to an absolute bar."""
    return summarize([value / bar for value in values])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _folded(estimate: Estimate, scale: Callable[[float], float]) -> Estimate:
    ends = sorted((abs(estimate.low), abs(estimate.high)))
    straddles = estimate.low <= 0.0 <= estimate.high
    return Estimate(
        scale(abs(estimate.ratio)), scale(0.0 if straddles else ends[0]), scale(ends[1])
    )


def machine() -> str:
    """Return what a reader must know of the machine, in one line."""
    return f"{this_machine()}, load {os.getloadavg()[0]:.1f}"


def end_by_exception() -> None:
    """Make SIGTERM unwind like Ctrl-C, so that the host is left as it was found."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def conclude(bench: str, results: Sequence[Result]) -> int:
    """Print the table and the final line of JSON; return the exit status.

    A run with an A/A row beyond its bar reports that row and no result.
    """
    width = max(len(f"{row.what} / {row.against}") for row in results)
    print(f"\n{'':{width}}  {'ratio':>7}  {'95 % interval':>16}  {'bar':>5}")
    for row in results:
        estimate = row.estimate
        print(
            f"{f'{row.what} / {row.against}':{width}}  {estimate.ratio:7.3f}"
            f"  {estimate.low:7.3f}..{estimate.high:7.3f}  {row.bar:5.2f}"
            f"  {'met' if row.is_met else 'too noisy' if row.is_placebo else 'MISSED'}"
        )
    is_noisy = any(row.is_placebo and not row.is_met for row in results)
    kept = [row for row in results if row.is_placebo or not is_noisy]
    line = {"bench": bench, "machine": machine(), "results": [row.row() for row in kept]}
    print(json.dumps(line), flush=True)
    return TOO_NOISY if is_noisy else 0
