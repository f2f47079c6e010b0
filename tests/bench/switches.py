# SPDX-License-Identifier: MIT
"""What does measuring the run queue add to a context switch, hot and with cold caches?

Hot: two processes on one CPU, SCHED_FIFO, hand a byte to and fro through pipes, so that
nearly all this CPU does is switch. Cold: many processes on all CPUs pass messages, and the
programs find the caches full of other things.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from kernel import Account, Variant, account, run_time_accounted, run_time_not_accounted
from paired import Result, compare, interleave, placebo, placebo_share

PROGRAM_BAR: Final = 0.20
EMPTY_BAR: Final = 1.6
ADDED_BAR: Final = 0.35
BCC_BAR: Final = 0.5
COLD_BAR: Final = 0.30
PLACEBO_SHARE_BAR: Final = 0.1
"""A/A of the added time, as a share of what runqlat adds."""
PLACEBO_BAR: Final = 1.1
"""A/A of program time: *chosen*, half the distance between 1.4 and 1.6 empty programs."""
_COLD_PLACEBO_BAR: Final = 1.25
"""*Chosen*: total time also varies with the number of switches, which is the scheduler's."""

_LOOPS: Final = 100_000
_SWITCHES_PER_LOOP: Final = 2


@dataclass(frozen=True, slots=True)
class HotSample:
    """One arm of one round; program time is 0 where there is no program."""

    program_ns: float
    wall_ns: float


def _pipe() -> float:
    """Run the pipe benchmark; return wall nanoseconds per context switch."""
    cpu = str(max(os.sched_getaffinity(0)))
    command = ["chrt", "-f", "10", "taskset", "-c", cpu, "perf", "bench", "sched", "pipe"]
    done = subprocess.run([*command, "-l", str(_LOOPS)], check=True, capture_output=True, text=True)
    match = re.search(r"([\d.]+) usecs/op", done.stdout)
    if not match:
        raise RuntimeError(f"perf bench said something else: {done.stdout!r}")
    return float(match[1]) * 1_000 / _SWITCHES_PER_LOOP


def _messaging() -> None:
    command = ["perf", "bench", "sched", "messaging", "-g", "2", "-l", "300"]
    subprocess.run(command, check=True, capture_output=True)


def _hot(variant: Variant) -> HotSample:
    with variant() as descriptors:
        with run_time_accounted():
            before = [account(each) for each in descriptors]
            _pipe()
            spent = [account(each) - then for each, then in zip(descriptors, before, strict=True)]
        with run_time_not_accounted():
            wall_ns = _pipe()
    return HotSample(_per_run(spent), wall_ns)


def _per_run(spent: list[Account]) -> float:
    """Return the run time of all programs per run of the first, which runs at each switch."""
    return sum(each.run_ns for each in spent) / spent[0].runs if spent else 0.0


def _cold(variant: Variant) -> float:
    with variant() as descriptors, run_time_accounted():
        before = [account(each) for each in descriptors]
        _messaging()
        return float(
            sum(
                (account(each) - then).run_ns
                for each, then in zip(descriptors, before, strict=True)
            )
        )


def measure_hot(variants: Mapping[str, Variant], rounds: int) -> list[Result]:
    """Compare the variants ``none``, ``empty``, ``ours``, ``runqlat`` and others of ours.

    Parameters
    ----------
    variants : mapping of str to Variant
        ``none`` and ``empty`` run once more each, as the A/A arms.
    """
    arms = {**variants, "none again": variants["none"], "empty again": variants["empty"]}
    samples = interleave({name: partial(_hot, arm) for name, arm in arms.items()}, rounds)
    program = {name: [each.program_ns for each in samples[name]] for name in samples}
    added = {
        name: [each.wall_ns - none.wall_ns for each, none in zip(of, samples["none"], strict=True)]
        for name, of in samples.items()
    }
    _print(samples, program, added)
    share = placebo_share(added["none again"], added["runqlat"])
    again = placebo(program["empty again"], program["empty"])
    what = "program ns per switch"
    results = [
        Result("A/A: no program, added ns", "runqlat", share, PLACEBO_SHARE_BAR, is_placebo=True),
        Result(f"A/A: empty, {what}", "empty again", again, PLACEBO_BAR, is_placebo=True),
    ]
    for name in variants.keys() - {"none", "empty", "runqlat"}:
        bar = BCC_BAR if name.startswith("bcc") else PROGRAM_BAR
        against = compare(program[name], program["runqlat"])
        results.append(Result(f"{name}: {what}", "runqlat", against, bar))
        if bar == BCC_BAR:
            continue
        floor = compare(program[name], program["empty"])
        results.append(Result(f"{name}: {what}", "empty", floor, EMPTY_BAR))
        end_to_end = compare(added[name], added["runqlat"])
        results.append(Result(f"{name}: added ns per switch", "runqlat", end_to_end, ADDED_BAR))
    return sorted(results, key=lambda row: (not row.is_placebo, row.what))


def _print(
    samples: Mapping[str, list[HotSample]],
    program: Mapping[str, list[float]],
    added: Mapping[str, list[float]],
) -> None:
    print(f"\n{'pipe, medians per switch':28}  program ns  added ns  wall ns")
    for name in samples:
        wall = statistics.median(each.wall_ns for each in samples[name])
        print(
            f"{name:28}  {statistics.median(program[name]):10.1f}"
            f"  {statistics.median(added[name]):8.1f}  {wall:7.1f}"
        )


def measure_cold(variants: Mapping[str, Variant], rounds: int) -> list[Result]:
    """Compare total program time under message passing; the variant ``ours`` runs twice."""
    arms = {name: variants[name] for name in ("ours", "runqlat")}
    arms["ours again"] = variants["ours"]
    total = interleave({name: partial(_cold, arm) for name, arm in arms.items()}, rounds)
    print("\nmessaging, median total program time")
    for name, values in total.items():
        print(f"{name:28}  {statistics.median(values) / 1e6:7.2f} ms")
    again = placebo(total["ours again"], total["ours"])
    ratio = compare(total["ours"], total["runqlat"])
    what = "total program time, messaging"
    return [
        Result(f"A/A: ours, {what}", "ours again", again, _COLD_PLACEBO_BAR, is_placebo=True),
        Result(f"ours: {what}", "runqlat", ratio, COLD_BAR),
    ]
