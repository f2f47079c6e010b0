# SPDX-License-Identifier: MIT
"""The evidence loop: sees, asks `Strategy` what to do, has the actuator do it, tells.

Once a second it takes the histograms of the latency-critical cgroups out of the snapshot that
is made anyway. What follows from that is done by one task, one request after another, so the
ticks never wait for the actuator.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from socket import socket
from typing import Final

from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonance_tuning.actuator import wire
from resonance_tuning.actuator.async_link import AsyncActuator
from resonance_tuning.errors import ActuatorError, ActuatorRefusedError
from resonance_tuning.host import Host
from resonance_tuning.knobs import KNOBS
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Receipt, Setting
from resonance_tuning.settings import TuningSettings
from resonance_tuning.trials.evidence import Verdict, Word
from resonance_tuning.trials.ladder import Mode
from resonance_tuning.trials.strategy import Action, Apply, HeldBack, Judged, Strategy, Undo
from resonance_tuning.trials.trial import Sample
from resonanced.model import Overhead, Snapshot
from resonanced.tuning.ledger import Ledger
from resonanced.tuning.load import Load
from resonanced.tuning.patterns import patterns_of_cgroups
from resonanced.tuning.samples import SampleReader

__all__ = ["TuningLoop"]

_log = logging.getLogger(__name__)
_PLAN_SECONDS: Final = 60.0
"""How soon a cgroup that appears is part of the plan."""
_NOTED_TARGETS: Final = 32
"""A verdict is noted beside each target, but a journal is no place for thousands of processes."""
_MAX_SENTENCE: Final = 4_000
_GONE: Final = frozenset({"vanished", "conflict-left"})
_TAKEN: Final = frozenset({"released", "drifted"})
_KINDS: Final = {knob.name: knob for knob in KNOBS}

_Note = dict[str, str | bool | int | float]


class TuningLoop:
    """The room's one object; lives in the daemon's event loop.

    Parameters
    ----------
    settings : TuningSettings
    connection : socket
        Our end of the actuator that the keeper started.
    begun : Begun
        What that one said when it was ready.
    follow : callable
        Told the patterns of the cgroups that are judged by, which need a slot.
    host : Host

    Attributes
    ----------
    tuning : Tuning
        What is in force; replaced, never changed.
    """

    def __init__(
        self,
        settings: TuningSettings,
        connection: socket,
        begun: wire.Begun,
        follow: Callable[[tuple[str, ...]], None],
        host: Host | None = None,
    ) -> None:
        self._mode: Mode = "shadow"
        if settings.mode != "observe" and not begun.is_shadow:
            self._mode = settings.mode
        self._follow = follow
        self._ledger = Ledger(settings.mode)
        self._ledger.written(begun.recovered)
        if self._mode != settings.mode:
            self._ledger.degrade("begin", begun.reason)
        self._strategy: Strategy | None = None
        self._plan: Plan | None = None
        self._samples = SampleReader()
        self._load = Load(host or Host())
        self._sampled_at = self._planned_at = -math.inf
        self._overhead: Overhead | None = None
        self._held_back = ""
        self._todo: asyncio.Queue[Action | None] = asyncio.Queue()
        self.tuning = self._ledger.tuning()
        self._actuator = AsyncActuator(connection, self._take_event, self._lose_actuator)
        self._task = asyncio.get_running_loop().create_task(self._work())

    def observe(self, snapshot: Snapshot) -> None:
        """Look at a snapshot; returns at once unless its histograms were read anew.

        Raises
        ------
        Exception
            Whatever ended the task that carries things out; a defect of ours.
        """
        if snapshot.overhead is self._overhead:
            return  # once a second all of a snapshot is new, and this always
        now_seconds = snapshot.monotonic_ns / 1e9
        elapsed_seconds = now_seconds - self._sampled_at
        self._overhead, self._sampled_at = snapshot.overhead, now_seconds
        if self._task.done():
            self._task.result()
            return
        if now_seconds - self._planned_at >= _PLAN_SECONDS:
            self._planned_at = now_seconds
            self._todo.put_nowait(None)
        if snapshot.runqueue.buckets is None:
            self._ledger.degrade("tier", "this tier has no histograms: no gain can be proven")
            self.tuning = self._ledger.tuning()
        elif self._plan and self._strategy:
            sample = self._sample(snapshot, self._plan, elapsed_seconds)
            self._put(self._strategy.observe(now_seconds, sample))
            self._log_what_holds_back(self._strategy.holds_back)

    def _sample(self, snapshot: Snapshot, plan: Plan, elapsed_seconds: float) -> Sample:
        self._load.look(snapshot.monotonic_ns / 1e9, plan.latency_critical, plan.batch)
        return Sample(
            seconds=elapsed_seconds,
            groups=self._samples.read(snapshot, plan.latency_critical),
            busy_cpus=self._load.busy_cpus,
            batch_full_ratio=self._load.batch_full_ratio,
        )

    def _log_what_holds_back(self, reason: str) -> None:
        if reason and reason != self._held_back:
            _log.info("nothing_is_tried reason=%r", reason)
        self._held_back = reason

    async def stop(self) -> None:
        """End; the actuator puts back what it is to put back once its connection is closed."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._actuator.close()

    # ---- what the strategy wants ----------------------------------------------------------

    def _put(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._todo.put_nowait(action)

    async def _work(self) -> None:
        """Do one thing after another, until the actuator is gone."""
        try:
            self._ledger.adopt(await self._actuator.live())
            while True:
                action = await self._todo.get()
                await (self._do(action) if action else self._make_plan())
                self.tuning = self._ledger.tuning()
        except ActuatorError as error:
            self._lose_actuator(error.reason)

    async def _make_plan(self) -> None:
        try:
            plan = await self._actuator.plan()
        except ActuatorRefusedError as error:
            self._ledger.degrade("plan", error.reason)
            return
        self._ledger.recover("plan")
        self._ledger.planned(plan)
        self._plan = plan
        if self._strategy:
            self._strategy.replan(plan)
        else:
            self._strategy = Strategy(plan, self._mode, _KINDS, BUCKET_UPPER_NS)
        self._follow(patterns_of_cgroups(plan.latency_critical))

    async def _do(self, action: Action) -> None:
        match action:
            case Apply() | Undo():
                await self._carry_out(action)
            case Judged(settings=settings, verdict=verdict):
                knob, word = settings[0].knob, verdict.word
                self._ledger.judged(knob, word)
                _log.info("judged knob=%s verdict=%s reason=%r", knob, word, verdict.reason)
                await self._note("verdict", settings, _data(verdict))
            case HeldBack(settings=settings, reason=reason):
                _log.info("held_back knob=%s reason=%r", settings[0].knob, reason)
                await self._note("held-back", settings, {"reason": _sentence(reason)})

    async def _carry_out(self, action: Apply | Undo) -> None:
        strategy = self._strategy
        if strategy is None:
            return  # the actuator is gone meanwhile
        ask = self._actuator.apply if isinstance(action, Apply) else self._actuator.undo
        try:
            receipts = await ask(action.settings, _sentence(action.reason))
        except ActuatorRefusedError as error:
            _log.warning("refused knob=%s reason=%r", action.settings[0].knob, error.reason)
            self._ledger.written(error.receipts)
            strategy.failed(time.monotonic(), error.reason)
            self._todo.put_nowait(None)  # what was planned is not what is there
            return
        self._ledger.written(receipts)
        # What stood on it went with it; what its owner has changed meanwhile is theirs.
        gone = [
            each.setting
            for each in receipts
            if each.outcome in _GONE or each.setting not in action.settings
        ]
        now_seconds = time.monotonic()
        if gone:
            self._put(strategy.lost(now_seconds, gone, _told(receipts)))
        self._put(strategy.done(now_seconds))

    async def _note(self, kind: str, settings: Sequence[Setting], data: _Note) -> None:
        """Keep it in the journal, so that a person can ask why; the loop goes on without."""
        try:
            for setting in settings[:_NOTED_TARGETS]:
                about: _Note = {"knob": setting.knob, "target": _sentence(str(setting.target))}
                await self._actuator.record(kind, about | data)
            self._ledger.recover("journal")
        except ActuatorRefusedError as error:
            _log.warning("not_noted kind=%s reason=%r", kind, error.reason)
            self._ledger.degrade("journal", f"a verdict was not noted: {error.reason}")

    # ---- what happens by itself -----------------------------------------------------------

    def _take_event(self, event: wire.Event) -> None:
        match event:
            case wire.Drifted(receipts=receipts):
                changed = [each for each in receipts if each.outcome in _TAKEN]
                self._ledger.drifted(changed)
                self._ledger.written(each for each in receipts if each not in changed)
                for each in changed:
                    what, reason = f"{each.setting.knob} of {each.setting.target}", each.reason
                    _log.warning("released what=%r found=%r by=%r", what, each.found, reason)
                self._lose(receipts, _told(receipts))
            case wire.SteppedDown(receipts=receipts, reason=reason):
                _log.warning("stepped_down reason=%r", reason)
                self._ledger.written(receipts)
                self._lose(receipts, reason, "harm")
            case wire.Replanned(receipts=receipts, reason=reason):
                _log.info("replanned reason=%r", reason)
                self._ledger.written(receipts)
                self._lose(receipts, reason)
                self._todo.put_nowait(None)
        self.tuning = self._ledger.tuning()

    def _lose(self, receipts: Iterable[Receipt], reason: str, word: Word = "undone") -> None:
        if self._strategy:
            settings = [each.setting for each in receipts]
            self._put(self._strategy.lost(time.monotonic(), settings, reason, word=word))

    def _lose_actuator(self, reason: str = "it is gone") -> None:
        """Go on seeing; the keeper, who notices too, ends the service."""
        self._strategy = None
        self._ledger.degrade("actuator", f"actuator: {reason}")
        self._ledger.mode = "observe"
        self.tuning = self._ledger.tuning()


def _data(verdict: Verdict) -> _Note:
    """Return a verdict as a note; what is not known is left out."""
    fields = dataclasses.asdict(verdict)
    told = {"verdict": fields.pop("word")}
    told |= {name: _sentence(fields.pop(name)) for name in ("reason", "cgroup")}
    return {name: value for name, value in told.items() if value} | {
        name: value for name, value in fields.items() if math.isfinite(value)
    }


def _sentence(text: str) -> str:
    """Return text as the actuator takes it: one line that can be printed, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_MAX_SENTENCE]


def _told(receipts: Iterable[Receipt]) -> str:
    reasons = {each.reason for each in receipts if each.reason}
    return "; ".join(sorted(reasons)) or "somebody else changed it"
