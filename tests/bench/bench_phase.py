# SPDX-License-Identifier: MIT
"""What phase control gains and costs on this kernel: periodic tasks beside a server."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Final

import paired
from paired import Result
from phase import naming
from phase.switchback import Block, Scene, run

_REQUEST_BARS: Final = {
    "aligned": 0.25,
    "random": 0.65,
    "no period": 1.02,
    # There the scheduler's shares have taken the queue from the server: nothing is left to gain.
    "aligned, own cgroups": 1.02,
}
_COMPLETION_BAR: Final = 0.50
_CPU_BAR: Final = 0.01
_PLACEBO_BAR: Final = 1.35
"""*Chosen*: the p99 of 8,000 requests is the eightieth worst of them."""
_MODES: Final = ("shadow", "active", "shadow")
"""The last one is the first again: the placebo."""
_SCENES: Final = {
    "aligned": Scene("aligned"),
    "random": Scene("random"),
    "no period": Scene("random", has_period=False),
    "aligned, own cgroups": Scene("aligned", is_apart=True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of a minute for each scene")
    parser.add_argument("--only", choices=[*_SCENES, "naming"], action="append")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    results: list[Result] = []
    for name, scene in _SCENES.items():
        if name in (arguments.only or _SCENES):
            rounds = [run(scene, _MODES, seed) for seed in range(arguments.rounds)]
            _print(name, rounds)
            results += _results(name, rounds)
    if "naming" in (arguments.only or ["naming"]):
        results += naming.measure(3 * arguments.rounds)
    return paired.conclude("phase", results)


def _print(name: str, rounds: list[list[Block]]) -> None:
    fields = ("request_p99", "request_p999", "completion", "predicted_ratio", "daemon_ratio")
    print(f"\n{name + f', medians of {len(rounds)}':34} p99 ms  p99.9 ms  task ms  predicted   CPU")
    for place, mode in enumerate(_MODES):
        p99, p999, completion, predicted, cpu = (
            statistics.median(getattr(blocks[place], field) for blocks in rounds)
            for field in fields
        )
        print(
            f"{mode:34} {p99 * 1e3:6.2f}  {p999 * 1e3:8.2f}  {completion * 1e3:7.1f}"
            f"  {predicted:9.3f}  {cpu:5.2%}"
        )


def _results(name: str, rounds: list[list[Block]]) -> list[Result]:
    def values(field: str, place: int) -> list[float]:
        return [getattr(blocks[place], field) for blocks in rounds]

    def row(field: str, what: str, bar: float) -> Result:
        estimate = paired.compare(values(field, 1), values(field, 0))
        return Result(f"{name}: {what}, active", "shadow", estimate, bar)

    again = paired.placebo(values("request_p99", 2), values("request_p99", 0))
    rows = [
        Result(f"A/A: {name}: request p99", "again", again, _PLACEBO_BAR, is_placebo=True),
        row(
            "request_p99",
            "request p99",
            _REQUEST_BARS[name],
        ),
        Result(
            f"{name}: CPU of the service, active",
            "one core",
            paired.summarize([ratio / _CPU_BAR for ratio in values("daemon_ratio", 1)]),
            1.0,
        ),
    ]
    if name == "aligned":
        rows.append(row("completion", "tasks' completion", _COMPLETION_BAR))
    return rows


if __name__ == "__main__":
    sys.exit(main())
