# SPDX-License-Identifier: MIT
"""The rig: nodes, the service that measures them, and clients; one slot after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from resonance.bench.digest import Calls, Digest, Outcome, digest
from resonance.bench.machine import busy_seconds
from resonance.bench.records import Generator as Sender
from resonance.bench.records import Rule
from resonance.bench.reference.cgroups import tree
from resonance.bench.reference.daemon import Daemon, service
from resonance.bench.reference.driving import Driver, Trace
from resonance.bench.reference.links import AnyLinks, Links
from resonance.bench.reference.nodes import Nodes, Start, one_node, replicas, two_nodes
from resonance.bench.reference.pressure import Show, Signal, page, shown
from resonance.bench.reference.slots import Demand, arrivals, realtime
from resonance.hints._layout import Page
from resonance.policies import NO_HINT, Policy, Service, TaskHint
from resonance.policies.choice import Picker, Prequal

__all__ = ["RULE", "Clients", "Open", "Rig", "rig"]

_LEAD_SECONDS: Final = 0.05
"""From telling the neighbours of their jobs to the beginning of a slot."""
RULE: Final = Rule(max_foreign_cores=0.3)
"""Set before anything was measured."""

Open = Callable[[Sequence[int], int], AnyLinks]
"""Connects so many clients to the ports of the replicas."""


class Clients:
    """The clients of one arm, who stay as they are from slot to slot.

    Parameters
    ----------
    number : int
    policy : Policy
        Of all of them.
    seed : object
        Of their chance, which is independent for each.
    make : callable, optional
        Makes the picker of one client, in place of that of the policy.
    signal : {"own", "around"}, optional
        What the kernel tells them.
    hint : TaskHint
        Of each call.
    """

    def __init__(
        self,
        number: int,
        policy: Policy,
        seed: object,
        *,
        make: Callable[[Random], Picker] | None = None,
        signal: Signal | None = None,
        hint: TaskHint = NO_HINT,
    ) -> None:
        self.signal: Signal | None = signal
        self.hint = hint
        self.services = [
            _service(policy, Random(f"{seed} client {each}"), make)  # noqa: S311 - no secret
            for each in range(number)
        ]
        pickers = (each.cluster.picker for each in self.services)
        self.probers = [each for each in pickers if isinstance(each, Prequal)]


def _service(policy: Policy, chance: Random, make: Callable[[Random], Picker] | None) -> Service:
    """Make a service; a picker that no policy may name is put where that of the policy was."""
    made = Service(policy, random=chance)
    if make is not None:
        made.choose_by(make(chance))
    return made


@dataclass(frozen=True, slots=True)
class _Meters:
    """What was used so far: by all, by the rig, by the generator; and what it waited for."""

    at: float
    busy: float
    rig: float
    generator: float
    waited: float

    def foreign_cores_since(self, before: _Meters) -> float:
        """Return the CPUs that were used, but not by the rig."""
        others = self.busy - before.busy - (self.rig - before.rig)
        return max(0.0, others) / (self.at - before.at)

    def generator_since(self, before: _Meters) -> Sender:
        return Sender(
            is_realtime=True,
            cpu_cores=(self.generator - before.generator) / (self.at - before.at),
            cpu_wait_seconds=self.waited - before.waited,
        )


class Rig:
    """Runs slots.

    Parameters
    ----------
    on : Nodes
    links : AnyLinks
    measuring : Daemon
    seen : Page
        Of that daemon.
    """

    def __init__(self, on: Nodes, links: AnyLinks, measuring: Daemon, seen: Page) -> None:
        self.nodes = on
        self._links = links
        self._daemon = measuring
        self._shows: dict[Signal, Show] = {
            "own": shown(seen, on.own_cgroups),
            "around": shown(seen, on.around_cgroups),
        }

    def slot(
        self,
        demand: Demand,
        clients: Clients,
        *,
        seed: object,
        repetition: int = 0,
        rule: Rule = RULE,
        isolated: AbstractContextManager[None] | None = None,
    ) -> Digest:
        """Run one slot; the nodes are as idle after it as before.

        Parameters
        ----------
        demand : Demand
        clients : Clients
        seed : object
            Of the calls and the batch jobs.
        repetition : int
        rule : Rule
        isolated : context manager, optional
            Entered for as long as the slot is.

        Returns
        -------
        Digest
            What it cost besides is in the slot's `costs`.

        Raises
        ------
        UnexplainedError
            The books do not balance.
        """
        show = self._shows[clients.signal] if clients.signal else None
        for each in clients.services:
            each.sense = show
        driver = Driver(
            clients.services, self._links, hint=clients.hint, show=show, probers=clients.probers
        )
        due = arrivals(demand, seed)
        with isolated or nullcontext():
            before, unix = self._meters(), time.time()
            start = before.at + _LEAD_SECONDS
            self.nodes.begin_jobs(demand, seed, start)
            with realtime():
                trace = driver.run(due, start)
            took = self.nodes.end_jobs()
            after = self._meters()
        return digest(
            _calls(trace),
            seconds=demand.whole_seconds,
            warm_up_seconds=demand.warm_up_seconds,
            started_at=unix + _LEAD_SECONDS,
            repetition=repetition,
            rule=rule,
            generator=after.generator_since(before),
            foreign_cores=after.foreign_cores_since(before),
            costs=_costs(trace, took, before, after),
        )

    def _meters(self) -> _Meters:
        own = time.process_time()
        rig_seconds = self.nodes.used_seconds() + self._daemon.cpu_seconds() + own
        return _Meters(time.monotonic(), busy_seconds(), rig_seconds, own, _waited_seconds())


def _waited_seconds() -> float:
    """Return for how long this thread was ready to run and did not (``proc_pid_schedstat``)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def _calls(trace: Trace) -> Calls:
    outcomes = [int(Outcome.OK)] * trace.calls
    return Calls(trace.due_ns, trace.sent_ns, trace.sent_ns, trace.ended_ns, outcomes)


def _costs(trace: Trace, took: list[float], before: _Meters, after: _Meters) -> dict[str, float]:
    elapsed, used = after.at - before.at, after.rig - before.rig
    costs = {
        "extra_ratio": trace.extra_ratio,
        "wasted_ratio": trace.wasted_ratio,
        "hedge_win_ratio": trace.hedge_win_ratio,
        "used_cores": used / elapsed,
        "call_cpu_seconds": used / trace.calls,
    }
    if took:
        costs["job_p50_seconds"] = statistics.median(took)
        costs["job_rate_per_second"] = len(took) / elapsed
    return costs


@contextmanager
def rig(
    topology: str, clients: int, *, start: Start = replicas, connect: Open = Links
) -> Generator[Rig]:
    """Build the rig; leave the machine as it was.

    Parameters
    ----------
    topology : {"one node", "two nodes"}
    clients : int
        At most so many.
    start : callable
        Starts the servers.
    connect : callable
        Opens connections to them.

    Yields
    ------
    Rig

    Raises
    ------
    ExperimentError
        Something that it needs is not here.
    """
    place = {"one node": one_node, "two nodes": two_nodes}[topology]
    with ExitStack() as stack:
        on = stack.enter_context(place(stack.enter_context(tree()), start))
        measuring = stack.enter_context(service("--cgroup", on.pattern))
        links = stack.enter_context(closing(connect([each.port for each in on.servers], clients)))
        yield Rig(on, links, measuring, stack.enter_context(page(measuring.page)))
