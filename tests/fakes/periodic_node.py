# SPDX-License-Identifier: MIT
"""A node with periodic sources that obey, and others who wait as long as the work queues.

No queue is simulated here: others wait in proportion to the true discrepancy, so a test knows
what a placement is worth. For queues there is ``resonance_core.simulation``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.phasor import discrepancy
from resonance_core.control.controller import Controller
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import (
    Command,
    Decision,
    GroupState,
    Mode,
    Releases,
    Source,
    State,
)

Floats = npt.NDArray[np.float64]


def proportional(discrepancy_seconds: float) -> float:
    """Others wait 2 ms and the discrepancy."""
    return 0.002 + discrepancy_seconds


class PeriodicNode:
    """Sources of one period beside others, and a controller.

    Parameters
    ----------
    controller : Controller
    natural_seconds : (n,) float64
        When in its period each source releases by itself.
    work_seconds : (n,) float64
    """

    def __init__(
        self,
        controller: Controller,
        natural_seconds: Floats,
        work_seconds: Floats,
        *,
        period_seconds: float = 0.1,
        jitter_seconds: float = 0.001,
        wait_of: Callable[[float], float] = proportional,
        cores: float = 4.0,
        seed: int = 0,
    ) -> None:
        self.controller = controller
        self.natural = natural_seconds.copy()
        self.work = work_seconds
        self.period = period_seconds
        self.jitter = jitter_seconds
        self.wait_of = wait_of
        self.cores = cores
        self.now = 1000.0
        self.hold = np.zeros(len(natural_seconds))
        self.ordered = np.zeros(len(natural_seconds))
        self.increases = np.zeros(len(natural_seconds))
        self.commands: list[Command] = []
        self.states: list[State] = []
        self.decision: Decision | None = None
        self.silent: set[int] = set()
        self._random = np.random.default_rng(seed)

    def source(self, index: int) -> Source:
        """Return what a source says of itself."""
        return Source(
            key=index,
            name=f"flush-{index}",
            period_seconds=self.period,
            origin_seconds=float(self.now + self.natural[index]),
            phase_free=True,
        )

    def register(self, **changes: object) -> list[Command]:
        """Register all sources, each changed the same way, and return the grants."""
        granted: list[Command] = []
        for index in range(len(self.natural)):
            source = replace(self.source(index), **changes)  # type: ignore[arg-type]
            self.hold[index] = self.ordered[index] = source.offset_seconds
            command = self.controller.register(source, self.now)
            if command is not None:
                granted.append(command)
        self.obey(granted)
        return granted

    def depart(self) -> None:
        """Let all sources go."""
        for index in range(len(self.natural)):
            self.controller.depart(index)

    def obey(self, commands: tuple[Command, ...] | list[Command]) -> None:
        """Do what was commanded, as an actuator does."""
        for command in commands:
            assert 0.0 <= command.offset_seconds < self.period
            self.ordered[command.key] = command.offset_seconds
            if command.kind in {"grant", "home"}:
                self.hold[command.key] = command.offset_seconds
            self.commands.append(command)

    def discrepancy(self) -> float:
        """Return the true discrepancy, root mean square per core."""
        phases = (self.natural + self.hold) % self.period * (2.0 * np.pi / self.period)
        return float(np.sqrt(discrepancy(phases, self.work)) / self.cores)

    def cycle(self) -> Decision:
        """Let one period pass."""
        step = np.clip(self.ordered - self.hold, -0.07 * self.period, 0.07 * self.period)
        self.hold += step
        self.increases += np.maximum(step, 0.0)
        for index in range(len(self.natural)):
            if index not in self.silent:
                self._report(index, float(max(step[index], 0.0)))
        waits = self._random.exponential(self.wait_of(self.discrepancy()), 150)
        self.controller.observe_waits(self.now, waits, np.ones(150))
        self.now += self.period
        self.decision = self.controller.tick(self.now)
        self.obey(self.decision.commands)
        if self.decision.groups:
            self.states.append(self.decision.groups[0].state)
        return self.decision

    def run(self, seconds: float) -> Decision:
        """Let time pass."""
        decision = self.cycle()
        for _ in range(round(seconds / self.period) - 1):
            decision = self.cycle()
        return decision

    @property
    def group(self) -> GroupState:
        """The first group, as of the last cycle."""
        assert self.decision is not None
        return self.decision.groups[0]

    def _report(self, index: int, late_seconds: float) -> None:
        at = self.now + self.natural[index] + self._random.normal(0.0, self.jitter)
        self.controller.observe(
            Releases(
                key=index,
                at_seconds=np.array([at]),
                work_seconds=np.array([self.work[index]]),
                completion_seconds=np.array([0.03 + late_seconds]),
            )
        )


def aligned_node(
    mode: Mode = "active",
    *,
    sources: int = 16,
    start: str = "aligned",
    parameters: Parameters | None = None,
    seed: int = 0,
    **settings: object,
) -> PeriodicNode:
    """Return a node whose sources, 150 core-ms per period, begin together or anywhere."""
    random = np.random.default_rng(seed)
    work = random.lognormal(0.0, 0.5, sources)
    work *= 0.15 / work.sum()
    natural = random.normal(0.05, 0.002, sources)
    if start == "random":
        natural = random.uniform(0.0, 0.1, sources)
    controller = Controller(parameters or Parameters(cores=4.0), mode, seed=seed)
    return PeriodicNode(controller, natural, work, seed=seed, **settings)  # type: ignore[arg-type]
