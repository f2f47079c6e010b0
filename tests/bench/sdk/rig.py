# SPDX-License-Identifier: MIT
"""The rig: two nodes, the service that measures them, and clients; one slot after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from random import Random
from typing import Final

from resonance.hints._layout import Page
from resonance.policies import NO_HINT, Policy, Service, TaskHint
from resonance.policies.choice import Picker, Prequal
from running import Service as Daemon
from running import service as daemon

from .driving import Driver
from .links import Links
from .nodes import Nodes, nodes
from .pressure import Show, Signal, page, shown
from .slots import Load, Sample, arrivals, busy_seconds, judged, realtime

__all__ = ["Clients", "Rig", "rig"]

_LEAD_SECONDS: Final = 0.05
"""From telling the neighbours of their jobs to the beginning of a slot."""


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
    signal : {"own", "cpu"}, optional
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
            _service(policy, Random(f"{seed} client {each}"), make) for each in range(number)
        ]
        pickers = (each.cluster._picker for each in self.services)
        self.probers = [each for each in pickers if isinstance(each, Prequal)]


def _service(policy: Policy, chance: Random, make: Callable[[Random], Picker] | None) -> Service:
    """Make a service; a picker that no policy may name is put where that of the policy was."""
    made = Service(policy, random=chance)
    if make is not None:
        made.cluster._picker = make(chance)
        made.cluster._is_pairwise = False
        made.set_mode("active")  # has it look at its picker anew
    return made


class Rig:
    """Runs slots.

    Parameters
    ----------
    on : Nodes
    links : Links
    measuring : Daemon
    seen : Page
        Of that daemon.
    """

    def __init__(self, on: Nodes, links: Links, measuring: Daemon, seen: Page) -> None:
        self.nodes = on
        self._links = links
        self._daemon = measuring
        self._shows: dict[Signal, Show] = {
            "own": shown(seen, on.own_cgroups),
            "cpu": shown(seen, on.cpu_cgroups),
        }

    def slot(self, load: Load, clients: Clients, seed: object) -> Sample:
        """Run one slot; the nodes are as idle after it as before.

        Parameters
        ----------
        load : Load
        clients : Clients
        seed : object
            Of the calls and the batch jobs.
        """
        show = self._shows[clients.signal] if clients.signal else None
        if show is not None:
            for service in clients.services:
                service.sense = show
        driver = Driver(
            clients.services, self._links, hint=clients.hint, show=show, probers=clients.probers
        )
        due = arrivals(load, seed)
        busy, used, begun = busy_seconds(), self._used_seconds(), time.monotonic()
        start = begun + _LEAD_SECONDS
        self.nodes.begin_jobs(load, seed, start)
        with realtime():
            trace = driver.run(due, start)
        job_seconds = self.nodes.end_jobs()
        elapsed = time.monotonic() - begun
        used = self._used_seconds() - used
        return judged(
            trace,
            load.warm_up_seconds,
            elapsed_seconds=elapsed,
            used_seconds=used,
            foreign_seconds=max(0.0, busy_seconds() - busy - used),
            job_seconds=job_seconds,
        )

    def _used_seconds(self) -> float:
        return self.nodes.used_seconds() + self._daemon.cpu_seconds() + time.process_time()


@contextmanager
def rig(port: int, clients: int) -> Iterator[Rig]:
    """Build the rig for so many clients at most; leave the machine as it was."""
    with ExitStack() as stack:
        on = stack.enter_context(nodes())
        measuring = stack.enter_context(daemon(port, "--cgroup", on.pattern))
        links = stack.enter_context(closing(Links([each.port for each in on.servers], clients)))
        yield Rig(on, links, measuring, stack.enter_context(page(measuring.page)))
