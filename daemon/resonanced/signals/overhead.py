# SPDX-License-Identifier: MIT
"""What our own probes cost and what they could not see, summed over the CPUs."""

from __future__ import annotations

from resonance_bpf.catalogue import PROGRAMS
from resonance_bpf.reader import Maps
from resonanced.model import Overhead

__all__ = ["read_overhead"]


def read_overhead(maps: Maps, missed: dict[str, int], map_bytes: dict[str, int]) -> Overhead:
    """Read the cost cells and the counters of what went wrong.

    Parameters
    ----------
    maps : Maps
        The shared memory.
    missed : dict of str to int
        Per program, executions the kernel skipped; only the keeper can ask for it.
    map_bytes : dict of str to int
        Per map, bytes in the kernel.
    """
    runs: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for row, program in enumerate(PROGRAMS):
        cost = maps.costs[row]
        count, sampled = int(cost["runs"].sum()), int(cost["sampled_runs"].sum())
        runs[program.name] = count
        mean_ns = int(cost["sampled_ns"].sum()) / sampled if sampled else 0.0
        seconds[program.name] = mean_ns * count / 1e9
    clock = maps.clock
    return Overhead(
        runs=runs,
        run_seconds=seconds,
        missed=dict(missed),
        unassigned_events=int(clock["unassigned_events"].sum()),
        baseline_collisions=int(clock["baseline_collisions"].sum()),
        negative_waits=int(clock["negative_waits"].sum()),
        saturations=int(clock["saturations"].sum()),
        map_bytes=dict(map_bytes),
    )
