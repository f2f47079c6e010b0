# SPDX-License-Identifier: MIT
"""A node that answers to what is turned, on a clock of its own; drives a `Strategy`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.guard import Guard
from resonance_tuning.knob import Knob
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Change, Role, Setting, State, Target
from resonance_tuning.trials.evidence import Counts, Reading, Window
from resonance_tuning.trials.strategy import Action, Apply, HeldBack, Judged, Strategy, Undo
from resonance_tuning.trials.trial import Sample

WEB = "/web"
_SIGMA = 0.8
_P99_OVER_MEDIAN = float(np.exp(2.326 * _SIGMA))


def waits(generator: np.random.Generator, p99_seconds: float, events: int = 300) -> Counts:
    """Return the counts of one second of waits whose p99 is this."""
    median_ns = p99_seconds * 1e9 / _P99_OVER_MEDIAN
    waits_ns = generator.lognormal(np.log(median_ns), _SIGMA, generator.poisson(events))
    index = np.searchsorted(BUCKET_UPPER_NS.astype(np.float64), waits_ns)
    last = len(BUCKET_UPPER_NS) - 1
    return np.bincount(np.minimum(index, last), minlength=last + 1).astype(np.uint64)


def window(generator: np.random.Generator, levels: Sequence[float], *, events: int = 300) -> Window:
    """Return a window with a second of waits per level, a p99 in seconds."""
    readings = [Reading(waits(generator, level, events)) for level in levels]
    return Window.of(readings, float(len(readings)))


def knob(name: str, rung: int = 1, **traits: Any) -> type[Knob]:
    """Return a kind of knob as the ladder sees it."""
    return type(name, (Knob,), {"name": name, "rung": rung, **traits})


def setting(
    name: str, value: str = "1", target: Target | None = None, role: Role = "latency_critical"
) -> Setting:
    return Setting(name, target or Target("cgroup", WEB), value, role)


def plan(*settings: Setting, cgroups: Sequence[str] = (WEB,), **guard: Any) -> Plan:
    """Return a plan of these settings, none of which is there yet."""
    changes = tuple(
        Change(each, identity="1:2", prior=State("0"), canonical=each.value, reason="a test")
        for each in settings
    )
    return Plan(
        profile="test",
        changes=changes,
        excluded=(),
        notes=(),
        latency_critical=tuple(cgroups),
        batch=(),
        on_stop="restore",
        guard=Guard(**guard),
    )


Level = Callable[[float, Collection[str]], float | Mapping[str, Reading]]
"""The p99 at a time while some knobs are in force, or all the readings."""


@dataclass
class Node:
    """Carry out what a strategy wants, and show what comes of it.

    Attributes
    ----------
    applied : set of Setting
    changes : list of (float, Action)
        Every apply and undo, and when.
    verdicts : list of (float, Judged)
    """

    strategy: Strategy
    level: Level
    seed: int = 0
    events: int = 300
    refuse: Collection[str] = ()
    now: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)
    applied: set[Setting] = field(default_factory=set)
    changes: list[tuple[float, Action]] = field(default_factory=list)
    verdicts: list[tuple[float, Judged]] = field(default_factory=list)
    held_back: list[HeldBack] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._generator = np.random.default_rng(self.seed)

    def run(self, seconds: float) -> Node:
        """Let time pass, a sample each second."""
        for _ in range(round(seconds)):
            self.now += 1.0
            names = {each.knob for each in self.applied}
            shown = self.level(self.now, names)
            if not isinstance(shown, Mapping):
                shown = {WEB: Reading(waits(self._generator, shown, self.events))}
            self.do(self.strategy.observe(self.now, Sample(1.0, shown, **self.more)))
        return self

    def do(self, actions: Sequence[Action]) -> None:
        """Carry out actions, and what follows from them."""
        todo = list(actions)
        while todo:
            action = todo.pop(0)
            if isinstance(action, Judged):
                self.verdicts.append((self.now, action))
            elif isinstance(action, HeldBack):
                self.held_back.append(action)
            elif isinstance(action, Apply) and not {
                each.knob for each in action.settings
            }.isdisjoint(self.refuse):
                self.strategy.failed(self.now, "the kernel would not")
            else:
                self.changes.append((self.now, action))
                change = self.applied.update if isinstance(action, Apply) else self._take_back
                change(action.settings)
                todo += self.strategy.done(self.now)

    def _take_back(self, settings: Sequence[Setting]) -> None:
        assert self.applied >= set(settings), "what is not in force is taken back"
        self.applied.difference_update(settings)

    @property
    def words(self) -> list[tuple[str, str]]:
        """The verdicts so far, as knob and word."""
        return [(each.settings[0].knob, each.verdict.word) for _, each in self.verdicts]

    def most_changes_in_an_hour(self) -> int:
        times = [at for at, _ in self.changes]
        return max((sum(at <= t < at + 3_600 for t in times) for at in times), default=0)


def node(
    kinds: Sequence[type[Knob]],
    level: Level,
    *,
    mode: Any = "active",
    settings: Sequence[Setting] = (),
    seed: int = 0,
    events: int = 300,
    **guard: Any,
) -> Node:
    """Return a node with one setting per knob on its latency-critical cgroup."""
    wanted = settings or [setting(kind.name) for kind in kinds]
    made = plan(*wanted, **guard)
    strategy = Strategy(made, mode, {kind.name: kind for kind in kinds}, BUCKET_UPPER_NS)
    return Node(strategy, level, seed=seed, events=events)


__all__ = ["Apply", "HeldBack", "Judged", "Node", "Undo", "knob", "node", "plan", "setting"]
