# SPDX-License-Identifier: MIT
"""The nodes: replicas and their batch neighbours, real processes in cgroups of their own.

::

    one node     replicas in one cgroup, batch in another beside it, both on all CPUs: as two
                 services of one host are. Here isolation has something to turn.
    two nodes    on each of two CPUs two replicas and a neighbour, pinned there. Here a choice of
                 replica has something to choose.

Of two nodes each replica is in a cgroup of its own and the neighbour in the parent of those, one
for each CPU: so the kernel tells the pressure of each replica and of its CPU, and the scheduler
gives each thread of a neighbour the weight of a replica, as if there were no cgroups.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, TypeAlias

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.cgroups import Group, Tree
from resonance.bench.reference.processes import (
    Neighbours,
    Server,
    calibrate,
    cpu_seconds,
    neighbours,
    server,
    spin,
)
from resonance.bench.reference.programs import HERE, program
from resonance.bench.reference.slots import Demand, jobs

__all__ = [
    "CPUS",
    "REPLICAS",
    "WORK_SECONDS",
    "Nodes",
    "Start",
    "one_node",
    "replicas",
    "two_nodes",
]

WORK_SECONDS: Final = 0.0007
"""CPU time of a request where nobody disturbs."""
CPUS: Final = 2
REPLICAS: Final = 4
_SPINNING_THREADS: Final = 3
_ANY_CPU: Final = -1
_PATIENCE_SECONDS: Final = 10.0
_REALTIME_RUNTIME_US: Final = 800_000
"""*Chosen*: of each second of a CPU, so that something is left of the kernel's own bound. Where it
schedules real-time tasks by group (v1, ``RT_GROUP_SCHED``), a group without has none of them."""

Start: TypeAlias = Callable[
    [Sequence[Sequence[str]], Sequence[int], float], AbstractContextManager[list[Server]]
]
"""Starts servers: the directories of their cgroups, their CPUs, the CPU time of a request."""


@contextmanager
def replicas(
    directories: Sequence[Sequence[str]], cpus: Sequence[int], work_seconds: float
) -> Generator[list[Server]]:
    """Start replicas of the rig's own.

    Parameters
    ----------
    directories : sequence of sequence of str
        Of each: by which it enters its cgroup.
    cpus : sequence of int
        Of each: where it is pinned; -1 for nowhere.
    work_seconds : float
        CPU time of a request.

    Yields
    ------
    list of Server
    """
    binary = program(HERE / "replica.c")
    iterations = calibrate(binary, work_seconds)
    with ExitStack() as stack:
        yield [
            stack.enter_context(server(binary, cpu, iterations, *each))
            for each, cpu in zip(directories, cpus, strict=True)
        ]


class Nodes:
    """What runs on the CPUs, and the cgroups it is in.

    Parameters
    ----------
    servers : list of Server
        The replicas; their places are their targets.
    neighbours : list of Neighbours
    own, around : list of Group
        Of each replica: its own, and that whose tasks share its CPUs.
    service, batch : Group, optional
        Whom a profile protects, and from whom; of one node only.
    """

    def __init__(
        self,
        servers: list[Server],
        neighbours: list[Neighbours],
        own: list[Group],
        around: list[Group],
        *,
        service: Group | None = None,
        batch: Group | None = None,
    ) -> None:
        self.servers = servers
        self.service, self.batch = service, batch
        self.own_cgroups = [each.number for each in own]
        self.around_cgroups = [each.number for each in around]
        self.pattern = f"/{own[0].path.split('/')[1]}/*"
        self._neighbours = neighbours
        self._around = around
        self._spinning: list[int] = []

    @contextmanager
    def starved(self, *, is_so: bool) -> Generator[None]:
        """Saturate the first CPU for as long as this is entered, if it is so."""
        if not is_so:
            yield
            return
        directories = [str(each) for each in self._around[0].directories]
        binary = program(HERE / "neighbours.c")
        with spin(binary, self.servers[0].cpu, _SPINNING_THREADS, *directories) as pid:
            self._spinning = [pid]
            try:
                yield
            finally:
                self._spinning = []

    def begin_jobs(self, demand: Demand, seed: object, start: float) -> None:
        """Have the batch jobs of a slot begin as they are due.

        Parameters
        ----------
        demand : Demand
        seed : object
        start : float
            On CLOCK_MONOTONIC, in seconds.
        """
        cpus = CPUS // len(self._neighbours)
        for place, each in enumerate(self._neighbours):
            is_left_out = demand.is_starved and place == 0
            each.begin([] if is_left_out else jobs(demand, seed, place, cpus), start)

    def end_jobs(self) -> list[float]:
        """Wait until the jobs have ended; return the seconds from due to ended of each."""
        return [seconds for each in self._neighbours for seconds in each.end()]

    def used_seconds(self) -> float:
        """Return the CPU time of all that runs here so far."""
        beside = [each.pid for each in self._neighbours]
        own = [pid for each in self.servers for pid in each.pids]
        return sum(map(cpu_seconds, [*own, *beside, *self._spinning]))


@contextmanager
def one_node(made: Tree, start: Start = replicas) -> Generator[Nodes]:
    """Run replicas and a neighbour on all CPUs, as two services of one host.

    Parameters
    ----------
    made : Tree
    start : callable
        Starts the servers.

    Yields
    ------
    Nodes
    """
    _cpus()
    top, service, batch = (made.make(each) for each in ("", "service", "batch"))
    for group in (top, service):
        _allow_realtime(group)
    enter = [str(each) for each in service.directories]
    with ExitStack() as stack:
        servers = stack.enter_context(
            start([enter] * REPLICAS, [_ANY_CPU] * REPLICAS, WORK_SECONDS)
        )
        beside = stack.enter_context(_neighbours(_ANY_CPU, batch))
        own, around = [service] * REPLICAS, [batch] * REPLICAS
        yield Nodes(servers, [beside], own, around, service=service, batch=batch)


@contextmanager
def two_nodes(made: Tree, start: Start = replicas) -> Generator[Nodes]:
    """Run on each of two CPUs two replicas and a neighbour.

    Parameters
    ----------
    made : Tree
    start : callable
        Starts the servers.

    Yields
    ------
    Nodes
    """
    cpus = _cpus()
    made.make()
    around = [made.make(f"cpu-{cpu}") for cpu in cpus]
    places = [place % CPUS for place in range(REPLICAS)]
    own = [made.make(f"cpu-{cpus[place]}/replica-{number}") for number, place in enumerate(places)]
    with ExitStack() as stack:
        servers = stack.enter_context(
            start(
                [[str(each) for each in group.directories] for group in own],
                [cpus[place] for place in places],
                WORK_SECONDS,
            )
        )
        beside = [
            stack.enter_context(_neighbours(cpu, group))
            for cpu, group in zip(cpus, around, strict=True)
        ]
        yield Nodes(servers, beside, own, [around[place] for place in places])


def _allow_realtime(group: Group) -> None:
    """Give a group its budget; that of one just removed is free a moment later."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            group.write("cpu.rt_runtime_us", str(_REALTIME_RUNTIME_US))
        except OSError as error:
            if time.monotonic() > deadline:
                raise ExperimentError(
                    "giving a group real time", f"{error.strerror}: has another group a budget?"
                ) from error
            time.sleep(0.1)
        else:
            return


def _neighbours(cpu: int, group: Group) -> AbstractContextManager[Neighbours]:
    directories = [str(each) for each in group.directories]
    return neighbours(program(HERE / "neighbours.c"), cpu, *directories)


def _cpus() -> list[int]:
    cpus = sorted(os.sched_getaffinity(0))[:CPUS]
    if len(cpus) < CPUS:
        raise ExperimentError("placing the nodes", f"it takes two CPUs, and there is {len(cpus)}")
    return cpus
