# SPDX-License-Identifier: MIT
"""No history of calls, however wild, makes the phase controller do what it must never do."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resonance_core.control.controller import Controller
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Command, Decision, Mode, Releases, Source
from resonance_core.errors import InvalidSampleError, SourceRefusedError

MOST = 12
PERIODS = [0.02, 0.05, 0.1, 0.1, 0.1, 0.2, 0.4, 0.37, 2.0, 60.0]


@dataclass
class Actuator:
    """A source that obeys: its hold goes to what was ordered, a step per period at most."""

    source: Source
    registered_seconds: float
    hold: float
    ordered: float
    grown: float = 0.0
    reported: float = -math.inf

    def advance(self, elapsed: float) -> None:
        period = self.source.period_seconds
        reach = min(0.007, 0.07 * period) * elapsed / period
        step = min(max(self.ordered - self.hold, -reach), reach)
        self.hold += step
        self.grown += max(step, 0.0)


class Machine(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 1000),
        hold_anchored=st.booleans(),
        baseline=st.sampled_from([1, 6]),
        mode=st.sampled_from(["observe", "adaptive", "active", "active"]),
        sources=st.integers(0, 7),
    )
    def begin(
        self, seed: int, hold_anchored: bool, baseline: int, mode: Mode, sources: int
    ) -> None:
        self.parameters = Parameters(
            max_sources=MOST, hold_anchored=hold_anchored, baseline_chunks=baseline, cores=2.0
        )
        self.controller = Controller(self.parameters, "observe", seed=seed)
        self.random = np.random.default_rng(seed)
        self.now = 500.0
        self.true = 500.0
        self.keys = 0
        self.actuators: dict[int, Actuator] = {}
        self.wait = self.wait_held = 0.003
        if mode != "observe":
            self.controller.set_mode(mode, self.now)
        for count in (sources, 1):
            self.register(0.1, 0.0, "free", 0.0, "a", count)

    # -- sources

    @rule(
        period=st.sampled_from(PERIODS),
        origin=st.floats(-0.2, 0.2),
        kind=st.sampled_from(["free", "free", "free", "anchored", "slack", "critical"]),
        held=st.sampled_from([0.0, 0.0, 0.0, 0.3, 0.99]),
        name=st.sampled_from("abc"),
        count=st.integers(1, 6),
    )
    def register(
        self, period: float, origin: float, kind: str, held: float, name: str, count: int
    ) -> None:
        for _ in range(count):
            self.keys += 1
            source = Source(
                key=self.keys,
                name=name,
                period_seconds=period,
                origin_seconds=self.now + origin,
                phase_free=kind in {"free", "critical"},
                slack_seconds=0.5 * period if kind == "slack" else 0.0,
                importance="critical" if kind == "critical" else "normal",
                offset_seconds=held * period,
            )
            try:
                command = self.controller.register(source, self.now)
            except SourceRefusedError:
                assert len(self.actuators) >= MOST
                return
            assert len(self.actuators) < MOST
            offset = source.offset_seconds
            self.actuators[source.key] = Actuator(source, self.true, offset, offset)
            if command is not None:
                assert self.controller.mode in {"adaptive", "active"}
                assert command.kind == "grant"
                self.obey((command,))

    @precondition(lambda self: self.actuators)
    @rule(data=st.data(), field=st.sampled_from(["key", "period", "origin", "offset", "slack"]))
    def register_nonsense(self, data: st.DataObject, field: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.actuators)))
        good = replace(self.actuators[key].source, key=-1)
        bad = data.draw(st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e9]))
        nonsense = {
            "key": replace(good, key=key),
            "period": replace(good, period_seconds=bad),
            "origin": replace(good, origin_seconds=math.nan),
            "offset": replace(good, offset_seconds=bad),
            "slack": replace(good, slack_seconds=-abs(bad)),
        }
        with pytest.raises(SourceRefusedError):
            self.controller.register(nonsense[field], self.now)

    @precondition(lambda self: self.actuators)
    @rule(data=st.data(), everyone=st.booleans())
    def depart(self, data: st.DataObject, everyone: bool) -> None:
        keys = sorted(self.actuators)
        for key in keys if everyone else [data.draw(st.sampled_from(keys))]:
            self.controller.depart(key)
            del self.actuators[key]
        self.controller.depart(99_999)

    # -- time

    @rule(seconds=st.floats(0.5, 6.0))
    def live_well(self, seconds: float) -> None:
        self.live(seconds, 0.01, 0.0, 0.004, 0.1)

    @rule(chunks=st.integers(1, 16))
    def live_well_for_chunks(self, chunks: int) -> None:
        self.live(0.5 * chunks, 0.01, 0.0, 0.004, 0.1)

    @rule(
        seconds=st.floats(0.1, 3.0),
        jitter=st.sampled_from([0.0, 0.0005, 0.03, 1.0]),
        detuning=st.sampled_from([0.0, 0.0, 1e-3, 0.3]),
        work=st.sampled_from([0.0, 0.004, 0.004, 0.02, math.nan]),
        cadence=st.sampled_from([0.1, 0.1, 0.3, 1.0]),
    )
    def live(
        self, seconds: float, jitter: float, detuning: float, work: float, cadence: float
    ) -> None:
        end, due = self.now + seconds, self.now
        while self.now < end:
            self.go(cadence, cadence)
            if self.now >= due:
                due = self.now + 0.5
                for actuator in self.actuators.values():
                    self.report(actuator, jitter, detuning, work)
            is_held = any(actuator.hold > 0.0 for actuator in self.actuators.values())
            wait = self.wait_held if is_held else self.wait
            waits = self.random.exponential(wait, 20)
            self.controller.observe_waits(self.now, waits, np.ones(20))
            events = self.random.poisson(0.3, 100).astype(np.float64)
            events[self.random.random(100) < 0.02] = math.nan  # nobody looked
            self.controller.observe_bins(self.now - 0.1, 0.001, events, events * wait)
            self.tick()

    def report(self, actuator: Actuator, jitter: float, detuning: float, work: float) -> None:
        source = actuator.source
        period = source.period_seconds * (1.0 + detuning)
        since = max(actuator.reported, self.now - 2.0)
        first = math.ceil((since - source.origin_seconds) / period + 1e-6)
        last = math.floor((self.now - source.origin_seconds) / period)
        at = source.origin_seconds + np.arange(first, last + 1) * period
        at += self.random.uniform(-0.5, 0.5, len(at)) * jitter * source.period_seconds
        at.sort()
        at = at[(at > actuator.reported) & (np.diff(at, prepend=-math.inf) > 0.0)]
        if not len(at):
            return
        actuator.reported = float(at[-1])
        self.controller.observe(
            Releases(
                key=source.key,
                at_seconds=np.asarray(at, np.float64),
                work_seconds=np.full(len(at), work),
                completion_seconds=np.full(len(at), 2.0 * work + 0.001),
                offset_seconds=actuator.hold if self.random.random() < 0.7 else math.nan,
            )
        )

    @rule(seconds=st.sampled_from([-100.0, -0.001, 1.5, 30.0, 1e6]))
    def jump(self, seconds: float) -> None:
        self.go(seconds, max(seconds, 0.0))
        if seconds < 0.0:
            for actuator in self.actuators.values():
                actuator.reported = min(actuator.reported, self.now)
        self.tick()

    @rule()
    def tick_at_once(self) -> None:
        self.tick()

    def go(self, shown: float, true: float) -> None:
        self.now += shown
        self.true += true
        for actuator in self.actuators.values():
            actuator.advance(true)

    def tick(self) -> None:
        decision = self.controller.tick(self.now)
        self.check(decision)
        if decision.mode in {"observe", "shadow"}:
            assert all(command.offset_seconds == 0.0 for command in decision.commands)
        self.obey(decision.commands)

    # -- the operator and the node

    @rule(mode=st.sampled_from(["observe", "shadow", "adaptive", "active", "active"]))
    def set_mode(self, mode: Mode) -> None:
        self.controller.set_mode(mode, self.now)

    @rule()
    def stop(self) -> None:
        commands = self.controller.stop(self.now)
        assert {command.key for command in commands} == set(self.actuators)
        assert all(command.kind == "home" for command in commands)
        self.obey(commands)
        for actuator in self.actuators.values():
            actuator.grown, actuator.registered_seconds = 0.0, self.true

    @rule(busy=st.sampled_from([0.0, 0.5, 0.99, 1.3]))
    def load(self, busy: float) -> None:
        self.controller.observe_load(busy)

    @rule(waits=st.permutations([0.0, 0.001, 0.003, 0.05]))
    def others_wait(self, waits: list[float]) -> None:
        self.wait, self.wait_held = waits[:2]

    @rule(bad=st.sampled_from([math.nan, math.inf, -1.0]))
    def tell_nonsense(self, bad: float) -> None:
        one = np.array([bad])
        stranger = Releases(key=-5, at_seconds=one, work_seconds=one, completion_seconds=one)
        with pytest.raises(InvalidSampleError):
            self.controller.observe_waits(self.now, one, np.ones(1))
        with pytest.raises(InvalidSampleError):
            self.controller.observe_waits(self.now, np.ones(1), one)
        with pytest.raises(InvalidSampleError):
            self.controller.observe_load(bad)
        with pytest.raises(InvalidSampleError):
            self.controller.observe(stranger)

    # -- what must never be

    def obey(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            actuator = self.actuators[command.key]
            source = actuator.source
            period = source.period_seconds
            assert 0.0 <= command.offset_seconds < period
            assert 0.0 < command.max_step_seconds <= min(0.007, 0.07 * period) * (1 + 1e-9)
            if command.offset_seconds > 0.0:
                assert source.importance != "critical"
                if not source.phase_free:
                    assert self.parameters.hold_anchored
                    assert (
                        command.offset_seconds
                        <= max(min(source.slack_seconds, 0.007), actuator.hold) + 1e-9
                    )
            actuator.ordered = command.offset_seconds
            if command.kind in {"grant", "home"}:
                actuator.hold = command.offset_seconds

    def check(self, decision: Decision) -> None:
        json.dumps(asdict(decision), default=lambda each: each.tolist())
        for group in decision.groups:
            assert len(group.profile_seconds) == 64
            assert not np.isnan(group.profile_seconds).any()
            assert group.reason or not group.sources

    @invariant()
    def nobody_pays_more_than_the_bucket(self) -> None:
        for actuator in getattr(self, "actuators", {}).values():
            period = actuator.source.period_seconds
            lived = self.true - actuator.registered_seconds
            assert actuator.grown <= 1.5 * period + 0.001 * lived + 1e-6, (actuator, lived)

    @invariant()
    def everybody_can_be_told_of(self) -> None:
        if not hasattr(self, "controller"):
            return
        states = self.controller.sources()
        assert {state.source.key for state in states} == set(self.actuators)
        for state in states:
            key = state.source.key
            assert all(self.controller.explain(key))
            assert all(self.controller.explain_group(key))
            json.dumps(self.controller.numbers(key))


TestAnyHistory = Machine.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
