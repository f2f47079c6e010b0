# SPDX-License-Identifier: MIT
"""What does a profile do for a latency-critical server beside CPU hogs, and to the hogs?

Two cgroups below the root, as a service manager would make them. The server's is
latency-critical, the other batch. A round's arms differ in nothing but what `resonanced
apply` was told; a share of CPU time that is neither ours nor idle is foreign load, and an
arm that met too much of it is run again.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from paired import Result, compare, interleave, percentile, placebo
from resonance.bench.machine import busy_seconds
from resonance.bench.reference.programs import program
from resonance_tuning.host import Host
from running import remove_cgroup
from tuning.applied import applied

WAKEUP_BAR: Final = 0.45
BATCH_BAR: Final = 0.60
ALONE_BAR: Final = 1.03
_PLACEBO_BAR: Final = 1.35
"""*Chosen*: the p99 of 8,000 wakeups beside hogs is the eightieth worst of them."""
_ALONE_PLACEBO_BAR: Final = 1.10
_FOREIGN_SHARE: Final = 0.05
_ALONE_ROUNDS: Final = 3
"""Rounds without neighbours for each with them: 1.03 is told from 1 by many more."""
_ATTEMPTS: Final = 4
_SECONDS: Final = 4.0
_HOGS_PER_CPU: Final = 2
_CONTROLLERS: Final = ("cpu", "cpuset")


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm of one round.

    Attributes
    ----------
    p50_ns, p99_ns, p999_ns : float
        From the send of a request to the server's first instruction after it.
    work : float
        What the hogs did; 0 where there are none.
    foreign_ratio : float
        Share of all CPU time that was spent on neither.
    """

    p50_ns: float
    p99_ns: float
    p999_ns: float
    work: float
    foreign_ratio: float


@dataclass(frozen=True, slots=True)
class Groups:
    """The two cgroups: their paths, and the directories to enter them by."""

    server: str
    batch: str
    server_directories: list[str]
    batch_directories: list[str]


@contextmanager
def groups() -> Iterator[Groups]:
    """Make the cgroups, one hierarchy after the other; remove them again."""
    host = Host()
    mounts = [found for name in _CONTROLLERS if (found := host.controller(name))]
    if host.unified and host.unified not in mounts:
        mounts.append(host.unified)
    names = [f"resonance-bench-{os.getpid()}-{what}" for what in ("server", "batch")]
    directories = [[str(mount.directory / name) for mount in mounts] for name in names]
    with ExitStack() as stack:
        for directory in (each for of in directories for each in of):
            os.mkdir(directory)
            stack.callback(remove_cgroup, Path(directory))
            _inherit_cpuset(Path(directory))
        yield Groups(f"/{names[0]}", f"/{names[1]}", *directories)


def _inherit_cpuset(directory: Path) -> None:
    """Fill a new v1 cpuset, which takes no task while it is empty."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (directory / "cgroup.clone_children").exists() and (directory / name).exists():
            (directory / name).write_text((directory.parent / name).read_text())


def _own_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _once(where: Groups, hogs: int) -> Sample:
    command, seconds = program(Path(__file__).with_name("wakeup.c")), str(_SECONDS)
    busy, own, started = busy_seconds(), _own_seconds(), time.monotonic()
    spinning = [
        subprocess.Popen(
            [command, "spin", str(_SECONDS + 0.5), *where.batch_directories],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(hogs)
    ]
    time.sleep(0.25)
    served = subprocess.run(
        [command, "serve", seconds, *where.server_directories],
        check=True,
        capture_output=True,
        text=True,
    )
    work = sum(float(each.communicate()[0]) for each in spinning)
    foreign = (busy_seconds() - busy) - (_own_seconds() - own)
    cpu_seconds = (time.monotonic() - started) * (os.cpu_count() or 1)
    waits = [float(line) for line in served.stdout.split()]
    at = partial(percentile, waits)
    return Sample(at(0.5), at(0.99), at(0.999), work, max(0.0, foreign / cpu_seconds))


def _arm(where: Groups, hogs: int, profile: str | None) -> Sample:
    with ExitStack() as stack:
        if profile:
            stack.enter_context(applied(profile, where.server, where.batch))
        samples: list[Sample] = []
        for _ in range(_ATTEMPTS):
            samples.append(_once(where, hogs))
            if samples[-1].foreign_ratio <= _FOREIGN_SHARE:
                return samples[-1]
            print(f"foreign load {samples[-1].foreign_ratio:.0%}: again", file=sys.stderr)
    return min(samples, key=lambda sample: sample.foreign_ratio)


def measure(rounds: int) -> list[Result]:
    """Compare ``balanced`` with an untouched node, with and without neighbours."""
    hogs = _HOGS_PER_CPU * (os.cpu_count() or 1)
    with groups() as where:
        beside: Callable[[str | None], Sample] = partial(_arm, where, hogs)
        alone: Callable[[str | None], Sample] = partial(_arm, where, 0)
        contended = {
            "untouched": partial(beside, None),
            "untouched again": partial(beside, None),
            "conservative": partial(beside, "conservative"),
            "balanced": partial(beside, "balanced"),
            "aggressive": partial(beside, "aggressive"),
        }
        by_itself = {
            "alone": partial(alone, None),
            "alone again": partial(alone, None),
            "alone, balanced": partial(alone, "balanced"),
        }
        samples = interleave(contended, rounds)
        samples |= interleave(by_itself, _ALONE_ROUNDS * rounds)
    _print(samples)
    return _results(samples)


def _print(samples: dict[str, list[Sample]]) -> None:
    title = f"wakeup, medians of {len(samples['untouched'])}"
    print(f"\n{title:24}  p50 us  p99 us  p99.9 us    work  foreign")
    whole = statistics.median(sample.work for sample in samples["untouched"])
    for name, of in samples.items():
        p50, p99, p999, work, foreign = (
            statistics.median(getattr(sample, field) for sample in of)
            for field in ("p50_ns", "p99_ns", "p999_ns", "work", "foreign_ratio")
        )
        print(
            f"{name:24}  {p50 / 1e3:6.0f}  {p99 / 1e3:6.0f}  {p999 / 1e3:8.0f}"
            f"  {work / whole:6.2f}  {foreign:7.1%}"
        )


def _results(samples: dict[str, list[Sample]]) -> list[Result]:
    def p99(arm: str) -> list[float]:
        return [sample.p99_ns for sample in samples[arm]]

    def work(arm: str) -> list[float]:
        return [sample.work for sample in samples[arm]]

    what = "wakeup p99"
    beside = placebo(p99("untouched again"), p99("untouched"))
    by_itself = placebo(p99("alone again"), p99("alone"))
    return [
        Result(f"A/A: {what} beside hogs", "again", beside, _PLACEBO_BAR, is_placebo=True),
        Result(f"A/A: {what} alone", "again", by_itself, _ALONE_PLACEBO_BAR, is_placebo=True),
        *(
            Result(
                f"{name}: {what} beside hogs",
                "untouched",
                compare(p99(name), p99("untouched")),
                WAKEUP_BAR,
            )
            for name in ("conservative", "balanced", "aggressive")
        ),
        Result(
            "balanced: batch throughput",
            "untouched",
            compare(work("balanced"), work("untouched")),
            BATCH_BAR,
            is_floor=True,
        ),
        Result(
            f"balanced: {what}, no neighbour",
            "untouched",
            compare(p99("alone, balanced"), p99("alone")),
            ALONE_BAR,
        ),
    ]
