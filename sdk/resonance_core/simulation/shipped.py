# SPDX-License-Identifier: MIT
"""The arm ``splay``: the shipped controller, driven as the daemon and the SDK drive it.

The sources register while the controller is in shadow, as where an operator looks first;
then it is told to be active. Reports go in and commands come out on the same cadence as over
the wire, and the source's side of a command is kept here as the SDK keeps it: a step at most
as long as told per cycle, a grant and a way home at once.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from resonance_core.control.controller import Controller
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Command, Decision, Floats, Mode, Source
from resonance_core.control.records import Releases as Report
from resonance_core.simulation.arms import Releases, Window
from resonance_core.simulation.scenario import Scenario
from resonance_core.simulation.workload import Bursts, Workload

__all__ = ["NO_PREDICTION", "Prediction", "Shipped"]

_TICK_SECONDS: Final = 0.1
"""The daemon's."""
_REPORT_SECONDS: Final = 0.5
"""The shortest interval at which the daemon asks a stream to report."""
_BIN_SECONDS: Final = 0.001
"""Of the kernel's time bins."""
_LOAD_WINDOW: Final = 10
"""Ticks over which the load is a mean: a burst fills a tick and is no overload."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the controller said before its plan was in force.

    Attributes
    ----------
    wait_p99_ratio : float
        Of the requests, under the plan by without; NaN if it never said.
    natural_discrepancy_seconds, planned_discrepancy_seconds : float
        At the same time; NaN likewise.
    """

    wait_p99_ratio: float
    natural_discrepancy_seconds: float
    planned_discrepancy_seconds: float


NO_PREDICTION: Final = Prediction(math.nan, math.nan, math.nan)


class Shipped:
    """Registers every source with a controller and obeys it.

    Parameters
    ----------
    workload : Workload
    seed : int
        Of the controller's own randomness.
    mode : {"shadow", "adaptive", "active"}
        In force from the start on, after the sources have registered.

    Attributes
    ----------
    decision : Decision or None
        The last one.
    prediction : Prediction
    states : list of (float, str)
        When the group with the most work changed its state, and to which.
    """

    def __init__(self, workload: Workload, seed: int, mode: Mode = "active") -> None:
        self._workload = workload
        self._controller = Controller(_parameters(workload.scenario), "shadow", seed=seed)
        sources = len(workload.names)
        self._hold_seconds = [0.0] * sources
        self._wanted: list[tuple[float, float]] = [(0.0, 0.0)] * sources
        """Offset and longest step as commanded."""
        self._unreported: list[deque[int]] = [deque() for _ in range(sources)]
        self._ended: dict[int, float] = {}
        self._intended: dict[int, float] = {}
        self._waits: list[tuple[Floats, Floats]] = []
        self._binned_seconds = 0.0
        self._busy: deque[float] = deque(maxlen=_LOAD_WINDOW)
        self._next_report_seconds = _REPORT_SECONDS
        self._bursts_seen = 0
        self._generation = 0
        self.decision: Decision | None = None
        self.prediction = NO_PREDICTION
        self.states: list[tuple[float, str]] = []
        self._register(0.0)
        self._controller.set_mode(mode, 0.0)

    @property
    def window_seconds(self) -> float:
        """See `Arm`."""
        return _TICK_SECONDS

    def release(self, bursts: Bursts) -> Releases:
        """See `Arm`."""
        count = len(bursts.source)
        release, intended = np.empty(count), np.empty(count)
        sources: list[int] = bursts.source.tolist()
        naturals: list[float] = bursts.natural_seconds.tolist()
        for place, (source, natural) in enumerate(zip(sources, naturals, strict=True)):
            burst = self._bursts_seen + place
            before = self._hold_seconds[source]
            wanted, step = self._wanted[source]
            hold = before + min(max(wanted - before, -step), step)
            self._hold_seconds[source] = hold
            release[place] = natural + hold
            intended[place] = natural + self._scheduled(source, before, hold)
            self._unreported[source].append(burst)
            self._intended[burst] = float(intended[place])
        self._bursts_seen += count
        return Releases(release, intended, np.zeros(count))

    def _scheduled(self, source: int, before: float, hold: float) -> float:
        """Return the part of a hold that is no latency.

        A source that is free of phase has a new schedule; an anchored one has not. A hold
        that grows shorter counts from the release itself.
        """
        return min(before, hold) if self._workload.blocks[source].phase_free else 0.0

    def observe(self, window: Window) -> None:
        """Tell the controller what is known, let it decide, and obey."""
        now = window.now_seconds
        for burst, end in zip(window.burst.tolist(), window.end_seconds.tolist(), strict=True):
            self._ended[burst] = end
        self._controller.observe_waits(now, window.wait_seconds, np.ones(len(window.wait_seconds)))
        self._waits.append((window.waited_until_seconds, window.wait_seconds))
        self._busy.append(window.busy_ratio)
        self._controller.observe_load(float(np.mean(self._busy)))
        if now >= self._next_report_seconds - 1e-9:
            self._next_report_seconds += _REPORT_SECONDS
            self._report()
            self._report_bins(now)
        decision = self._controller.tick(now)
        for command in decision.commands:
            self._obey(command)
        self._note(decision)

    def restart(self, generation: int, now_seconds: float) -> None:
        """Depart and register anew, as programs do that are started again."""
        self._generation = generation
        for source, waiting in enumerate(self._unreported):
            waiting.clear()
            self._controller.depart(self._key(source, generation - 1))
            self._hold_seconds[source] = 0.0
            self._wanted[source] = (0.0, 0.0)
        self._register(now_seconds)

    def _register(self, now_seconds: float) -> None:
        workload = self._workload
        origins = workload.origin_seconds[self._generation].tolist()
        for source, block in enumerate(workload.blocks):
            command = self._controller.register(
                Source(
                    key=self._key(source, self._generation),
                    name=workload.names[source],
                    period_seconds=block.period_seconds,
                    origin_seconds=origins[source],
                    phase_free=block.phase_free,
                    slack_seconds=block.slack_seconds,
                ),
                now_seconds,
            )
            if command is not None:
                self._obey(command)

    def _key(self, source: int, generation: int) -> int:
        return generation * len(self._workload.names) + source

    def _report(self) -> None:
        for source, waiting in enumerate(self._unreported):
            done: list[int] = []
            while waiting and waiting[0] in self._ended:
                done.append(waiting.popleft())
            if done:
                self._controller.observe(self._as_report(source, done))

    def _report_bins(self, now_seconds: float) -> None:
        """Report the series as the kernel keeps it: events and their waits by millisecond."""
        until = np.concatenate([ends for ends, _ in self._waits])
        wait = np.concatenate([waits for _, waits in self._waits])
        self._waits.clear()
        start = self._binned_seconds
        count = round((now_seconds - start) / _BIN_SECONDS)
        place = np.clip(((until - start) / _BIN_SECONDS).astype(np.int64), 0, count - 1)
        self._controller.observe_bins(
            start,
            _BIN_SECONDS,
            np.bincount(place, minlength=count).astype(np.float64),
            np.bincount(place, weights=wait, minlength=count).astype(np.float64),
        )
        self._binned_seconds = start + count * _BIN_SECONDS

    def _as_report(self, source: int, done: list[int]) -> Report:
        ends = np.array([self._ended.pop(burst) for burst in done])
        intended = np.array([self._intended.pop(burst) for burst in done])
        bursts, jobs = self._workload.bursts, self._workload.job_seconds
        work = [
            jobs[bursts.first_job[burst] : bursts.first_job[burst] + bursts.jobs[burst]].sum()
            for burst in done
        ]
        return Report(
            key=self._key(source, self._generation),
            at_seconds=bursts.natural_seconds[done],
            work_seconds=np.array(work),
            completion_seconds=ends - intended,
        )

    def _obey(self, command: Command) -> None:
        source = command.key - self._generation * len(self._workload.names)
        self._wanted[source] = (command.offset_seconds, command.max_step_seconds)
        if command.kind != "slew":
            self._hold_seconds[source] = command.offset_seconds

    def _note(self, decision: Decision) -> None:
        self.decision = decision
        if not decision.groups:
            return
        group = decision.groups[0]
        if not self.states or self.states[-1][1] != group.state:
            self.states.append((decision.at_seconds, group.state))
        # A plan is made in the tick in which it sets out, so the last word of shadow is there.
        is_before = all(state in {"shadow", "acquire"} for _, state in self.states)
        if is_before and not math.isnan(group.predicted_ratio):
            self.prediction = Prediction(
                group.predicted_ratio,
                group.natural_discrepancy_seconds,
                group.planned_discrepancy_seconds,
            )


def _parameters(scenario: Scenario) -> Parameters:
    return Parameters(
        cores=float(scenario.cores),
        mean_service_seconds=scenario.requests.service_seconds,
        hold_anchored=scenario.hold_anchored,
    )
