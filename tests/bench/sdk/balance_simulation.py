# SPDX-License-Identifier: MIT
"""What does a way to choose replicas do to the tail, on a machine that does not exist?

Two CPUs with two replicas each. A replica does one request at a time, first come first served.
Each CPU is shared by all that want it: its replicas that have work, and the threads of batch
jobs, which come in bursts. What a kernel could tell of this is shown to the clients late. The
same seed gives every arm the same requests and the same batch jobs.

It is for ordering ideas cheaply, and for finding those that herd. There are no costs of
choosing, no network, no migration; figures to be published come from a kernel. With the default
weights it has the order and about the size of what a kernel gave for the two arms that were
measured to herd, and for two choices with one client.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Final, Literal

from resonance.policies import Replica
from resonance.policies.choice import Ejector, Picker, Prequal

Signal = Literal["own", "cpu", "queue"]
"""What the kernel tells of a replica, each 0 to 1: which share of the time its tasks wait for
the CPU (own), or any task waits for its CPU (cpu), or of n tasks that want its CPU each waits,
1 - 1/n (queue)."""

REPLICAS_PER_CPU: Final = 2
_PROBE_SECONDS: Final = 0.0002
"""*Chosen*: a probe's way there and back over loopback. A replica answers it at once, which is
kind to the arm that probes."""
_PROBED_SHARE: Final = 0.2
"""*Chosen*: weight of the newest of the latencies that an answer to a probe averages."""
_VALID_SECONDS: Final = 0.05
"""How long a pressure is believed, as with the hints of a daemon."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A load, its neighbours and who sends it.

    Attributes
    ----------
    clients : int
        Each sees only its own requests in flight.
    batch_load : float
        CPU time of the batch jobs that come to each CPU, as a share of it.
    saturated : tuple of int
        CPUs on which a neighbour of `threads` threads never sleeps; they get no batch jobs.
    batch_weight : float
        Of each batch thread against a replica. By default a job of three weighs as much as one
        replica, as when the kernel groups tasks by session or cgroup.
    slice_seconds : float
        How long a task keeps its CPU while others wait; 0 shares it without slices.
    sample_seconds, delay_seconds : float
        How often the kernel is asked, and how old an answer is when clients see it.
    """

    clients: int
    batch_load: float = 0.3
    saturated: tuple[int, ...] = ()
    batch_weight: float = 1.0 / 3.0
    slice_seconds: float = 0.0
    cpus: int = 2
    threads: int = 3
    thread_seconds: float = 0.040
    rate_per_second: float = 450.0
    service_seconds: float = 0.0007
    duration_seconds: float = 20.0
    sample_seconds: float = 0.005
    delay_seconds: float = 0.010


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to choose: what each client is given.

    Attributes
    ----------
    make : callable
        Makes one client's picker, with its own chance.
    signal : str, optional
        Which signal is shown to the clients; none without.
    make_ejector : callable, optional
        Makes one client's ejector.
    name : str
        Tells the chance of two arms apart that are otherwise the same.
    """

    make: Callable[[Random], Picker]
    signal: Signal | None = None
    make_ejector: Callable[[Random], Ejector] | None = None
    name: str = ""


def simulate(scene: Scene, arm: Arm, seed: int) -> list[float]:
    """Return what each request took, in seconds, in the order in which they ended."""
    return _Simulation(scene, arm, seed).run()


@dataclass(slots=True, eq=False)
class _Client:
    """One client: its picker, and what it knows of the replicas."""

    picker: Picker
    ejector: Ejector | None
    replicas: list[Replica]


@dataclass(slots=True, eq=False)
class _Request:
    client: _Client
    replica: Replica
    began_at: float


@dataclass(slots=True, eq=False)
class _Server:
    """One replica as it is, not as a client sees it."""

    cpu: _Cpu
    queue: deque[_Request] = field(default_factory=deque[_Request])
    waited_seconds: float = 0.0
    latency_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Task:
    """What wants a CPU: a replica with a request to do, or a thread of a batch job."""

    work_seconds: float
    weight: float
    server: _Server | None = None
    runtime_seconds: float = 0.0


class _Cpu:
    """Shared without slices: each task gets its weight's part of every instant.

    Kept by virtual time: what a task of weight 1 has got so far. A task ends when that has
    grown by its work over its weight, so nothing is touched while nothing begins or ends.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self.tasks: dict[_Server | _Task, _Task] = {}
        self.contended_seconds = 0.0
        self.queued_seconds = 0.0
        self._attained = 0.0
        self._weight = 0.0
        self._ends: list[tuple[float, int, _Task]] = []
        self._number = 0

    def advance(self, now: float) -> None:
        """Let the tasks have what they get until now."""
        elapsed, self.at = now - self.at, now
        if not self.tasks:
            return
        self._attained += elapsed / self._weight
        if len(self.tasks) > 1:
            self.contended_seconds += elapsed
            self.queued_seconds += elapsed * (1.0 - 1.0 / len(self.tasks))
            for task in self.tasks.values():
                if task.server is not None:
                    task.server.waited_seconds += elapsed * (1.0 - 1.0 / self._weight)

    def begin(self, task: _Task) -> None:
        """Take in a task that wants the CPU from now on."""
        self.tasks[task.server or task] = task
        self._weight += task.weight
        self._number += 1
        end = self._attained + task.work_seconds / task.weight
        heapq.heappush(self._ends, (end, self._number, task))

    def next_at(self) -> float:
        """Return when `step` is due, if nothing begins before."""
        if not self._ends or self._ends[0][0] == inf:
            return inf
        return self.at + max(0.0, self._ends[0][0] - self._attained) * self._weight

    def step(self) -> _Task | None:
        """Return the task that ends now, if one does."""
        task = heapq.heappop(self._ends)[2]
        del self.tasks[task.server or task]
        self._weight = sum(each.weight for each in self.tasks.values())
        return task


class _SlicedCpu(_Cpu):
    """One task at a time, each for a slice while others wait; next is who has had least.

    A task that wakes begins with what the others have had at least, and interrupts nobody.
    """

    def __init__(self, slice_seconds: float) -> None:
        super().__init__()
        self._slice_seconds = slice_seconds
        self._slice_end = 0.0
        self._current: _Task | None = None
        self._left: tuple[_Server | None, float] = (None, 0.0)
        self._floor = 0.0

    def advance(self, now: float) -> None:
        elapsed, self.at = now - self.at, now
        current = self._current
        if current is None:
            return
        current.runtime_seconds += elapsed / current.weight
        current.work_seconds -= elapsed
        if len(self.tasks) > 1:
            self.contended_seconds += elapsed
            self.queued_seconds += elapsed * (1.0 - 1.0 / len(self.tasks))
            for task in self.tasks.values():
                if task.server is not None and task is not current:
                    task.server.waited_seconds += elapsed

    def begin(self, task: _Task) -> None:
        self._raise_floor()
        server, runtime = self._left
        goes_on = task.server is not None and task.server is server
        task.runtime_seconds = max(self._floor, runtime) if goes_on else self._floor
        self.tasks[task.server or task] = task
        if goes_on and self._current is None and self.at < self._slice_end:
            self._current = task  # the next request of a replica that has not given up its slice

    def next_at(self) -> float:
        if self._current is None:
            self._left = (None, 0.0)
            if not self.tasks:
                return inf
            self._current = min(self.tasks.values(), key=_runtime)
            self._slice_end = self.at + self._slice_seconds
        end = self.at + max(0.0, self._current.work_seconds)
        return end if len(self.tasks) == 1 else min(end, max(self.at, self._slice_end))

    def step(self) -> _Task | None:
        task, self._current = self._current, None
        if task is None or task.work_seconds > 1e-12:
            return None
        self._raise_floor()
        del self.tasks[task.server or task]
        self._left = (task.server, task.runtime_seconds)
        return task

    def _raise_floor(self) -> None:
        self._floor = max(self._floor, min(map(_runtime, self.tasks.values()), default=0.0))


def _runtime(task: _Task) -> float:
    return task.runtime_seconds


class _Sampler:
    """What the kernel tells of each replica: samples, each half of what is shown."""

    def __init__(self, signal: Signal, servers: Sequence[_Server]) -> None:
        self._signal = signal
        self._servers = servers
        self._totals = [0.0] * len(servers)
        self._shown = [0.0] * len(servers)

    def sample(self, sample_seconds: float) -> list[float]:
        for index, server in enumerate(self._servers):
            before, self._totals[index] = self._totals[index], self._total(server)
            value = min(1.0, (self._totals[index] - before) / sample_seconds)
            self._shown[index] += 0.5 * (value - self._shown[index])
        return list(self._shown)

    def _total(self, server: _Server) -> float:
        if self._signal == "cpu":
            return server.cpu.contended_seconds
        return server.cpu.queued_seconds if self._signal == "queue" else server.waited_seconds


class _Simulation:
    def __init__(self, scene: Scene, arm: Arm, seed: int) -> None:
        self._scene = scene
        self._cpus = [
            _SlicedCpu(scene.slice_seconds) if scene.slice_seconds else _Cpu()
            for _ in range(scene.cpus)
        ]
        for cpu in scene.saturated:
            for _ in range(scene.threads):
                self._cpus[cpu].begin(_Task(inf, scene.batch_weight))
        self._servers = [
            _Server(self._cpus[index % scene.cpus])
            for index in range(scene.cpus * REPLICAS_PER_CPU)
        ]
        self._clients = [
            self._client(arm, Random(f"{seed} {arm.name} {index}"))
            for index in range(scene.clients)
        ]
        self._work = sorted(self._draw_work(seed), key=lambda each: each[0])
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._latencies: list[float] = []
        if arm.signal is not None:
            self._sampler = _Sampler(arm.signal, self._servers)
            self._later(scene.sample_seconds, self._sample)

    def _client(self, arm: Arm, random: Random) -> _Client:
        replicas = [Replica(index) for index in range(len(self._servers))]
        ejector = arm.make_ejector(random) if arm.make_ejector else None
        return _Client(arm.make(random), ejector, replicas)

    def _draw_work(self, seed: int) -> Iterator[tuple[float, int, float]]:
        """Draw requests as (time, client, 0), and batch threads as (time, -1 - CPU, work)."""
        scene = self._scene
        random = Random(f"{seed} requests")
        at = random.expovariate(scene.rate_per_second)
        while at < scene.duration_seconds:
            yield at, random.randrange(scene.clients), 0.0
            at += random.expovariate(scene.rate_per_second)
        jobs_per_second = scene.batch_load / (scene.threads * scene.thread_seconds)
        for cpu in set(range(scene.cpus)) - set(scene.saturated) if jobs_per_second else ():
            random = Random(f"{seed} batch {cpu}")
            at = random.expovariate(jobs_per_second)
            while at < scene.duration_seconds:
                for _ in range(scene.threads):
                    yield at, -1 - cpu, random.expovariate(1.0 / scene.thread_seconds)
                at += random.expovariate(jobs_per_second)

    def run(self) -> list[float]:
        for at, who, work_seconds in self._work:
            self._until(at)
            if who >= 0:
                self._send(self._clients[who], at)
            else:
                cpu = self._cpus[-1 - who]
                cpu.advance(at)
                cpu.begin(_Task(work_seconds, self._scene.batch_weight))
        return self._latencies

    def _until(self, at: float) -> None:
        """Let everything happen that is due before a time."""
        while True:
            due = [cpu.next_at() for cpu in self._cpus]
            first = min(due)
            if self._events and self._events[0][0] <= min(first, at):
                now, _, event = heapq.heappop(self._events)
                event(now)
            elif first <= at:
                self._step(self._cpus[due.index(first)], first)
            else:
                return

    def _later(self, at: float, event: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, event))

    def _send(self, client: _Client, now: float) -> None:
        candidates: Sequence[Replica] = client.replicas
        if client.ejector is not None:
            for replica in client.replicas:
                client.ejector.starving(replica, now)
            candidates = client.ejector.admitted(candidates, now)
        replica = client.picker.pick(candidates, now)
        request = _Request(client, replica, now)
        replica.open.add(request)
        server = self._servers[client.replicas.index(replica)]
        server.queue.append(request)
        if len(server.queue) == 1:
            server.cpu.advance(now)
            server.cpu.begin(_Task(self._scene.service_seconds, 1.0, server))
        if isinstance(client.picker, Prequal):
            self._probe(client, client.picker, now)

    def _step(self, cpu: _Cpu, now: float) -> None:
        cpu.advance(now)
        task = cpu.step()
        if task is None or task.server is None:
            return
        server = task.server
        request = server.queue.popleft()
        if server.queue:
            cpu.begin(_Task(self._scene.service_seconds, 1.0, server))
        elapsed = now - request.began_at
        self._latencies.append(elapsed)
        server.latency_seconds += _PROBED_SHARE * (elapsed - server.latency_seconds)
        client, replica = request.client, request.replica
        replica.open.discard(request)
        client.picker.observe(replica, elapsed, now)
        if client.ejector is not None:
            client.ejector.observe(replica, False, elapsed, now)

    def _probe(self, client: _Client, picker: Prequal, now: float) -> None:
        asked = set(picker.probe_targets(now))
        for replica, server in zip(client.replicas, self._servers, strict=True):
            if replica.target in asked:
                answer = partial(
                    picker.probed, replica.target, len(server.queue), server.latency_seconds
                )
                self._later(now + _PROBE_SECONDS, answer)

    def _sample(self, now: float) -> None:
        for cpu in self._cpus:
            cpu.advance(now)
        values = self._sampler.sample(self._scene.sample_seconds)
        self._later(now + self._scene.delay_seconds, partial(self._show, values))
        self._later(now + self._scene.sample_seconds, self._sample)

    def _show(self, values: Sequence[float], now: float) -> None:
        for client in self._clients:
            for replica, value in zip(client.replicas, values, strict=True):
                replica.pressure = value
                replica.pressure_until = now + _VALID_SECONDS
