# SPDX-License-Identifier: MIT
"""Which servers stand in for our own replica, and how much work is the time that is asked for?"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from resonance.bench.errors import ExperimentError
from resonance.bench.load.wires import Wire, wire_factory
from resonance.bench.plan import Load, Request, Scheme, Stage, Target
from resonance.bench.reference.links import Kind
from resonance.bench.reference.processes import Server, cpu_seconds
from resonance.bench.reference.variants.calibrating import amount_of
from resonance.bench.reference.variants.cancelling import CancellingWire
from resonance.bench.reference.variants.starting import reserved_port, started
from resonance.bench.reference.variants.wired import WiredLinks

__all__ = ["Variant"]

_PATIENCE_SECONDS: Final = 30.0
_BATCHES: Final = 20
_BATCH_REQUESTS: Final = 10
_SETTLED_SECONDS: Final = 0.005
"""*Chosen*: longer than a tick of a kernel with 250 of them in a second. The account of a process
that another asks for is of when it last left its CPU, or of the last tick."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Servers of one kind, and the links to them.

    Parameters
    ----------
    name : str
    summary : str
        In a line.
    scheme : {"http", "grpc"}
    path : str
        What is asked for.
    command : callable
        Returns what serves on a port with an amount of work for each request, with files of its
        own in a directory that is not there yet.
    guesses : (int, int)
        Two amounts of work, the first next to none.
    headers : tuple of (str, str)
        Of each request.
    """

    name: str
    summary: str
    scheme: Scheme
    path: str
    command: Callable[[int, int, Path], Sequence[str]]
    guesses: tuple[int, int]
    headers: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def servers(
        self, directories: Sequence[Sequence[str]], cpus: Sequence[int], work_seconds: float
    ) -> Generator[list[Server]]:
        """Run the replicas, until the block is left or this process ends.

        Parameters
        ----------
        directories : sequence of sequence of str
            Of each replica: the cgroups that it enters before it begins.
        cpus : sequence of int
            Of each replica: where it is pinned; -1 for nowhere.
        work_seconds : float
            CPU time of a request where nobody disturbs, all that the server does for it included.
            How much work that is, is found once in a process and is the same for all of them.

        Yields
        ------
        list of Server
            They listen.

        Raises
        ------
        ExperimentError
            The server is not installed or does not start, or a request takes longer without any
            work.
        """
        with self._running(directories, cpus, _amount(self, work_seconds)) as running:
            yield running

    def links(self, ports: Sequence[int], clients: int) -> WiredLinks:
        """Connect clients to replicas.

        Parameters
        ----------
        ports : sequence of int
            Of the replicas; their places here are their targets.
        clients : int

        Returns
        -------
        WiredLinks
            To be closed.

        Raises
        ------
        ConnectionError
            A replica takes no connection.
        MissingExtraError
            The library that speaks the protocol is not installed.
        """
        return WiredLinks(ports, clients, self._wires)

    def _wires(self, port: int) -> Callable[[], Wire]:
        target = Target(self.scheme, "127.0.0.1", port, self.path)
        request = Request(headers=self.headers)
        make = wire_factory(Load(target, (Stage(1.0, 1.0),), requests=(request,)))
        if self.scheme == "grpc":
            return lambda: CancellingWire(make())
        return make

    @contextmanager
    def _running(
        self, directories: Sequence[Sequence[str]], cpus: Sequence[int], amount: int
    ) -> Generator[list[Server]]:
        with ExitStack() as stack:
            top = Path(stack.enter_context(TemporaryDirectory(prefix=f"resonance-{self.name}-")))
            ports = [stack.enter_context(reserved_port()) for _ in cpus]
            begun = [
                stack.enter_context(
                    started(self.name, self.command(port, amount, top / str(port)), cpu, places)
                )
                for port, cpu, places in zip(ports, cpus, directories, strict=True)
            ]
            for each, port in zip(begun, ports, strict=True):
                each.await_listening(port)
            yield [
                Server((each.pid,), port, cpu)
                for each, port, cpu in zip(begun, ports, cpus, strict=True)
            ]

    def cost_seconds(self, amount: int) -> float:
        """Measure the CPU time of a request with an amount of work.

        Of many batches the cheapest counts: whatever else the machine did, it did less then.

        Parameters
        ----------
        amount : int

        Returns
        -------
        float

        Raises
        ------
        ExperimentError
            The server does not start, or does not answer.
        """
        with (
            self._running([()], [-1], amount) as (server,),
            closing(self.links([server.port], 1)) as links,
        ):
            return min(_batch_seconds(server, links) for _ in range(_BATCHES)) / _BATCH_REQUESTS


def _batch_seconds(server: Server, links: WiredLinks) -> float:
    before = _settled_seconds(server)
    for number in range(_BATCH_REQUESTS):
        links.send(0, 0, Kind.REQUEST, number)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not list(links.receive(deadline - time.monotonic())):
            if time.monotonic() > deadline:
                raise ExperimentError("calibrating", "a server does not answer: is it stopped?")
    return _settled_seconds(server) - before


def _settled_seconds(server: Server) -> float:
    time.sleep(_SETTLED_SECONDS)
    return cpu_seconds(server.pids[0])


@functools.cache
def _amount(variant: Variant, work_seconds: float) -> int:
    try:
        return amount_of(variant.cost_seconds, variant.guesses, work_seconds)
    except ExperimentError as error:
        raise ExperimentError(f"{error.what} {variant.name}", error.reason) from None
