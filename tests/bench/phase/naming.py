# SPDX-License-Identifier: MIT
"""Is the noisy neighbour named? Five cgroups with a rhythm, one of which makes the others wait.

The culprit works 15 ms on each CPU once a period; the decoys wake as regularly, each with a period
of its own, and one of them far more often. Periods and roles are drawn anew for each run. Counted
are the runs in which the culprit is the first of the neighbours in the hints, and those in which he
is also named, because he is far enough ahead of the next one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from paired import Estimate, Result
from resonance import hints
from resonance.bench.reference.phase.neighbours import REQUESTS
from resonance.bench.reference.programs import program
from resonance_bpf.hierarchy import find_hierarchy
from running import Service, remove_cgroup, service

__all__ = ["measure"]

NAMED_BAR: Final = 0.95
_CGROUPS: Final = 5
_RUN_SECONDS: Final = 24.0
_ASKED_FROM_SECONDS: Final = 22.0
"""What is remembered of a cgroup's rhythm is the last 20 s, and it is looked at every 10 s."""
_PORT: Final = 19_758
_ANSWER_SECONDS: Final = 5.0
_MS_NS: Final = 1_000_000
_CULPRIT_NS: Final = 15 * _MS_NS
_DECOY_NS: Final = 200_000
_SERVER_HZ: Final = 500
_SERVER_NS: Final = 300_000


def measure(runs: int) -> list[Result]:
    """Count the runs in which the culprit was named."""
    told = [_run(seed) for seed in range(runs)]
    first, named = (sum(each[place] for each in told) for place in range(2))
    return [
        Result("noisy neighbour first", "all runs", _share(first, runs), NAMED_BAR, is_floor=True),
        Result("noisy neighbour named", "all runs", _share(named, runs), NAMED_BAR, is_floor=True),
    ]


def _run(seed: int) -> tuple[bool, bool]:
    """Run once, with cgroups and a service that remember nothing of another run.

    Returns
    -------
    is_first, is_named : bool
        The culprit.
    """
    draw = random.Random(seed)
    with _cgroups() as directories, service(_PORT, *_patterns(directories)) as running:
        culprit, *decoys, server = draw.sample(directories, _CGROUPS)
        with _load(draw, culprit, decoys, server):
            time.sleep(_ASKED_FROM_SECONDS)
            told = _told(running)
        print(f"run {seed}: {culprit.name}, told {told}", file=sys.stderr)
        first = told[0] if told else ("", 0.0, False)
        is_first = first[0] == f"/{culprit.name}"
        return is_first, is_first and first[2]


def _share(successes: int, runs: int) -> Estimate:
    """Return a proportion with its 95 % interval.

    References
    ----------
    E. B. Wilson, Probable inference, JASA 22 (1927).
    """
    z, share = 1.96, successes / runs
    centre = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z / (1 + z * z / runs) * (share * (1 - share) / runs + z * z / (4 * runs**2)) ** 0.5
    return Estimate(share, centre - half, min(centre + half, 1.0))


def _told(running: Service) -> list[tuple[str, float, bool]]:
    """Return the neighbours of the hints: cgroup, score, and whether it is named."""
    with hints.connect(running.socket) as daemon:
        state = daemon.state(timeout=_ANSWER_SECONDS)
    if state is None or state.rhythm is None:
        return []
    neighbours = state.rhythm.neighbours
    return [(each.cgroup, round(each.score, 3), each.is_named) for each in neighbours]


def _patterns(directories: list[Path]) -> list[str]:
    return [word for each in directories for word in ("--cgroup", f"/{each.name}")]


@contextmanager
def _load(draw: random.Random, culprit: Path, decoys: list[Path], server: Path) -> Iterator[None]:
    period_ns = round(draw.uniform(60, 180) * _MS_NS)
    often_ns = round(draw.uniform(8, 15) * _MS_NS)
    others_ns = [often_ns, *(round(draw.uniform(40, 250) * _MS_NS) for _ in decoys)]
    roles = [(culprit, period_ns, _CULPRIT_NS)] * (os.cpu_count() or 1)
    roles += [(each, ns, _DECOY_NS) for each, ns in zip(decoys, others_ns, strict=False)]
    source = Path(__file__).with_name("periodic.c")
    served = [program(REQUESTS), str(_RUN_SECONDS), str(_SERVER_HZ), str(_SERVER_NS)]
    with ExitStack() as stack:
        for directory, every_ns, work_ns in roles:
            numbers = map(str, (_RUN_SECONDS, every_ns, work_ns))
            stack.enter_context(_started(program(source), *numbers, str(directory)))
            time.sleep(draw.uniform(0.0, 0.01) if work_ns == _DECOY_NS else 0.0)
        stack.enter_context(_started(*served, str(server)))
        yield


@contextmanager
def _started(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _cgroups() -> Iterator[list[Path]]:
    mount = find_hierarchy().mount
    directories = [mount / f"resonance-bench-{os.getpid()}-{number}" for number in range(_CGROUPS)]
    with ExitStack() as stack:
        for directory in directories:
            directory.mkdir()
            stack.callback(remove_cgroup, directory)
        yield directories
