# SPDX-License-Identifier: MIT
"""Two nodes on one machine: on each of two CPUs two replicas and their neighbours.

Each replica is in a cgroup of its own; the neighbours are in the parent of those, one for each
CPU. So the kernel tells the pressure of each replica and of its CPU, and the scheduler gives
each thread of a neighbour the same weight as a replica, as if there were no cgroups.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from c_programs import program
from resonance_bpf.hierarchy import find_hierarchy
from running import remove_cgroup

from .processes import Neighbours, Server, calibrate, cpu_seconds, neighbours, server, spin
from .slots import Load, jobs

__all__ = ["WORK_SECONDS", "Nodes", "nodes"]

WORK_SECONDS: Final = 0.0007
"""CPU time of a request where nobody disturbs."""
_CPUS: Final = 2
_REPLICAS_PER_CPU: Final = 2
_SPINNING_THREADS: Final = 3


class Nodes:
    """What runs on the two CPUs, and the cgroups it is in.

    Parameters
    ----------
    servers : list of Server
        The replicas; their places are their targets.
    neighbours : list of Neighbours
        One for each CPU.
    parents, children : list of Path
        Directories of the cgroups, of each CPU and of each replica.
    """

    def __init__(
        self,
        servers: list[Server],
        neighbours: list[Neighbours],
        parents: list[Path],
        children: list[Path],
    ) -> None:
        self.servers = servers
        self.own_cgroups = [each.stat().st_ino for each in children]
        by_cpu = [each.stat().st_ino for each in parents]
        self.cpu_cgroups = [by_cpu[place % _CPUS] for place in range(len(children))]
        self.pattern = f"/{parents[0].parent.name}/*"
        self._neighbours = neighbours
        self._parents = parents
        self._spinning: list[int] = []

    @contextmanager
    def starved(self, *, is_so: bool) -> Iterator[None]:
        """Saturate the first CPU for as long as this is entered, if it is so."""
        if not is_so:
            yield
            return
        source = program(Path(__file__).with_name("neighbours.c"))
        cpu = self.servers[0].cpu
        with spin(source, cpu, _SPINNING_THREADS, str(self._parents[0])) as pid:
            self._spinning = [pid]
            try:
                yield
            finally:
                self._spinning = []

    def begin_jobs(self, load: Load, seed: object, start: float) -> None:
        """Have the batch jobs of a slot begin as they are due."""
        for place, each in enumerate(self._neighbours):
            is_left_out = load.is_starved and place == 0
            each.begin([] if is_left_out else jobs(load, seed, place), start)

    def end_jobs(self) -> float:
        """Wait until they have ended; return the median of what they took, NaN without any."""
        took = [seconds for each in self._neighbours for seconds in each.end()]
        return statistics.median(took) if took else float("nan")

    def used_seconds(self) -> float:
        """Return the CPU time of all that runs here so far."""
        servers = [each.pid for each in self.servers]
        beside = [each.pid for each in self._neighbours]
        return sum(map(cpu_seconds, [*servers, *beside, *self._spinning]))


@contextmanager
def nodes() -> Iterator[Nodes]:
    """Make the cgroups and start what runs in them; end and remove them again."""
    cpus = sorted(os.sched_getaffinity(0))[:_CPUS]
    if len(cpus) < _CPUS:
        raise RuntimeError(f"the two nodes are two CPUs, and there are {len(cpus)}")
    replica, neighbour = (
        program(Path(__file__).with_name(name)) for name in ("replica.c", "neighbours.c")
    )
    iterations = calibrate(replica, WORK_SECONDS)
    with ExitStack() as stack:
        top = _cgroup(stack, find_hierarchy().mount / f"resonance-bench-{os.getpid()}")
        parents = [_cgroup(stack, top / f"cpu-{cpu}") for cpu in cpus]
        places = [(which, place) for which in range(_REPLICAS_PER_CPU) for place in range(_CPUS)]
        children = [_cgroup(stack, parents[place] / f"replica-{which}") for which, place in places]
        servers = [
            stack.enter_context(server(replica, cpus[place], iterations, str(child)))
            for (_, place), child in zip(places, children, strict=True)
        ]
        beside = [
            stack.enter_context(neighbours(neighbour, cpu, str(parent)))
            for cpu, parent in zip(cpus, parents, strict=True)
        ]
        yield Nodes(servers, beside, parents, children)


def _cgroup(stack: ExitStack, directory: Path) -> Path:
    directory.mkdir()
    stack.callback(remove_cgroup, directory)
    return directory
