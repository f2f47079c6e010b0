# SPDX-License-Identifier: MIT
"""What may be asked of the actuator, and what comes of it.

It plans for itself, whenever it is asked to write: a request only picks from that plan. What
it did not turn in this session it does not turn back on request; that is the operator's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from resonance_tuning.actuator import wire
from resonance_tuning.actuator.needs import needed_capabilities
from resonance_tuning.errors import (
    ActuatorError,
    ActuatorRefusedError,
    JournalError,
    RequirementError,
    TuningError,
)
from resonance_tuning.host import Host, parse_cpus
from resonance_tuning.journal import Entry, Journal
from resonance_tuning.knob import Knob
from resonance_tuning.ownership import OWNER_NOTE, note_owner, steps_left_by_services
from resonance_tuning.planning import planner, protection
from resonance_tuning.planning.other_tuners import likely_writer
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Excluded, Receipt, Setting
from resonance_tuning.tuner import Tuner

__all__ = ["Session"]

_CPU_KNOBS: Final = frozenset({"cpuset", "unit_allowed_cpus"})
"""Those whose value is a list of CPUs a group lives on, or nowhere."""
_HANGING_ON_CPUS: Final = _CPU_KNOBS | {"cpuset_partition"}
_STILL_OURS: Final = frozenset({"ok", "refused"})
"""What verify says of a setting that goes on; one that could not be read is tried again."""
_REQUESTS_PER_MINUTE: Final = 240
"""Of a resident client; chosen: ten times what it asks for in three windows."""
_STEP_DOWN: Final = "step-down"
_OWN_NOTES: Final = frozenset({OWNER_NOTE, _STEP_DOWN})
_MAX_NOTE_BYTES: Final = 8_192
"""*chosen*: a thousand of them, which a compacted journal keeps, still fit a small ``/run``."""


_AfterBegin = wire.PlanRequest | wire.Apply | wire.Undo | wire.Verify | wire.Record | wire.Live


class Session:
    """One client, from `wire.Begin` to the end.

    Parameters
    ----------
    host : Host
    begin : Begin
    knobs : dict of str to Knob
    log : callable
        Told every write, in a line.

    Attributes
    ----------
    is_shadow : bool
    reason : str
        Why it is shadow though tuning was asked for.
    plan : Plan or None
        The latest one; none where the profile's requirements do not hold.

    Raises
    ------
    TuningError
        The profile is wrong, or the journal cannot be had.
    """

    def __init__(
        self,
        host: Host,
        begin: wire.Begin,
        knobs: dict[str, Knob],
        *,
        log: Callable[[str], None],
    ) -> None:
        self._host, self._begin, self._knobs, self._log = host, begin, knobs, log
        self._stack = ExitStack()
        self._budget = _Budget(_REQUESTS_PER_MINUTE)
        self.reason = protection.container_reason(host)
        self.is_shadow = begin.is_shadow or bool(self.reason)
        self.plan: Plan | None = None
        self._has_lost_journal = False
        self._first_step = 0
        self._journal = Journal(
            Path(begin.settings.journal_directory), host.boot_id, may_write=not self.is_shadow
        )
        sysctls = [name for name, knob in knobs.items() if knob.scope == "namespace"]
        self._tuner = Tuner(
            host,
            self._journal,
            knobs,
            log=log,
            who=lambda knob: likely_writer(host, knob, sysctls),
        )

    def begin(self) -> tuple[Receipt, ...]:
        """Take the journal, put back what dead services left, and plan.

        Returns
        -------
        tuple of Receipt
            What was left.
        """
        recovered: list[Receipt] = []
        if not self.is_shadow:
            self._stack.enter_context(self._journal)
            # The number of a process may come again: what is there now is not of this one.
            self._first_step = max((entry.step for entry in self._journal.entries()), default=0)
            left = steps_left_by_services(self._journal)
            if left:
                recovered = self._tuner.undo(left, "the service that made it is gone")
            if self._journal.damage:
                # What cannot all be undone may not grow; to say what would help needs no journal.
                self.reason, self.is_shadow = str(self._journal.damage), True
                self._stack.close()
        try:
            self.make_plan()
        except RequirementError as error:
            self.reason, self.is_shadow = str(error), True
            self._stack.close()
        if not self.is_shadow:
            keeps = not self._begin.is_resident or self._on_stop == "keep"
            note_owner(self._journal, at_end="keep" if keeps else "restore")
        return tuple(recovered)

    @property
    def _on_stop(self) -> str:
        return self.plan.on_stop if self.plan else self._begin.settings.on_stop

    def capabilities(self) -> frozenset[str]:
        """Return what the plan's knobs need, and the undoing of what is in force."""
        if self.is_shadow:
            return frozenset()
        planned = self.plan.changes if self.plan else ()
        return needed_capabilities(
            self._host,
            self._begin.settings,
            self._knobs,
            may_turn=lambda knob: not self._out_of_reach(knob),
            planned=[change.setting for change in planned],
            live=[entry.setting for entry in self._journal.live()],
        )

    def make_plan(self) -> Plan:
        """Plan for this moment, as far as the ladder may be climbed."""
        if self.is_shadow:
            self._journal.load()
        made = planner.plan(
            self._host,
            self._begin.settings,
            self._knobs,
            journal=self._journal,
            held=self._begin.is_resident,
            now_boottime_seconds=time.clock_gettime(time.CLOCK_BOOTTIME),
        )
        reasons = {
            change.setting: self._out_of_reach(change.setting.knob) for change in made.changes
        }
        changes = tuple(each for each in made.changes if not reasons[each.setting])
        excluded = [Excluded(setting, reason) for setting, reason in reasons.items() if reason]
        self.plan = replace(made, changes=changes, excluded=(*made.excluded, *excluded))
        return self.plan

    def _out_of_reach(self, knob: str) -> str:
        rung, highest = self._knobs[knob].rung, self._begin.max_rung
        if rung > highest:
            return f"it is on rung {rung} of the ladder; only {highest} may be climbed"
        return ""

    def answer(self, request: wire.Request) -> wire.Answer:
        """Do what is asked; whatever the node or its owner refuse is an answer too.

        Raises
        ------
        ActuatorError
            It may not be asked now.
        """
        if isinstance(request, wire.Begin):
            raise ActuatorError("the client begins twice")
        if self._begin.is_resident and not self._budget.take(time.monotonic()):
            return wire.Failed(request.id, "too many requests in a minute")
        try:
            return self._answer(request)
        except TuningError as error:
            return wire.Failed(request.id, str(error), error.receipts)
        except OSError as error:  # a file of the kernel's that may not be read, for one
            return wire.Failed(request.id, f"{error.filename or 'the kernel'}: {error.strerror}")

    def _answer(self, request: _AfterBegin) -> wire.Answer:
        match request:
            case wire.PlanRequest():
                return wire.Planned(request.id, self.make_plan())
            case wire.Live():
                live = self._journal.live()
                receipts = [Receipt(each.step, each.setting, "applied") for each in live]
                return wire.Receipts(request.id, tuple(receipts))
            case wire.Verify():
                return wire.Receipts(request.id, tuple(self._tuner.verify()))
            case wire.Apply():
                return self._apply(request)
            case wire.Undo():
                return self._undo(request)
            case wire.Record():
                self._record(request)
                return wire.Receipts(request.id, ())

    def _apply(self, request: wire.Apply) -> wire.Answer:
        if self.is_shadow:
            reason = self.reason or "shadow mode turns nothing"
            refused = [Receipt(0, each, "refused", reason=reason) for each in request.settings]
            return wire.Failed(request.id, reason, tuple(refused))
        plan, wanted = self.make_plan(), set(request.settings)
        strangers = wanted - {change.setting for change in plan.changes}
        if strangers:
            refused = _refusals(plan, sorted(strangers))
            return wire.Failed(request.id, refused[0].reason, tuple(refused))
        changes = [change for change in plan.changes if change.setting in wanted]
        receipts = self._tuner.apply(plan.profile, changes, request.reason)
        return wire.Receipts(request.id, tuple(receipts))

    def _undo(self, request: wire.Undo) -> wire.Answer:
        wanted = set(request.settings)
        ours = [entry for entry in self._ours() if not wanted or entry.setting in wanted]
        strangers = wanted - {entry.setting for entry in ours}
        refused = [
            Receipt(0, setting, "refused", reason="not in force through this service")
            for setting in sorted(strangers)
        ]
        return wire.Receipts(request.id, (*self._take_back(ours, request.reason), *refused))

    def _record(self, request: wire.Record) -> None:
        if request.kind in _OWN_NOTES:
            raise ActuatorRefusedError(
                f"a note of kind {request.kind} is not the client's to write"
            )
        if len(json.dumps(request.data)) > _MAX_NOTE_BYTES:
            raise ActuatorRefusedError(f"a note is of {_MAX_NOTE_BYTES} bytes at most")
        if not self.is_shadow:
            self._journal.note(request.kind, dict(request.data))
            return
        # Shadow holds the journal no longer than for a line: the operator's own commands need it.
        directory = Path(self._begin.settings.journal_directory)
        with Journal(directory, self._host.boot_id) as journal:
            journal.note(request.kind, dict(request.data))

    def _ours(self) -> list[Entry]:
        """Return what is in force through this session; through anybody in a command's."""
        entries = [] if self.is_shadow else self._journal.live()
        if not self._begin.is_resident:
            return entries
        return [entry for entry in entries if entry.step > self._first_step]

    def _take_back(self, entries: Iterable[Entry], reason: str) -> tuple[Receipt, ...]:
        steps: Collection[int] = {entry.step for entry in entries}
        return tuple(self._tuner.undo(steps, reason)) if steps else ()

    # ---- what happens by itself -----------------------------------------------------------

    def look(self) -> list[wire.Event]:
        """Release what somebody else has changed, and write nothing to the kernel.

        Unless the journal itself is gone: then all is put back while it can be.
        """
        if self.is_shadow or not self._journal.live():
            return []
        if lost := self._journal.lost():
            return self._leave_nothing(lost)
        receipts = [
            each for each in self._tuner.release_drifted() if each.outcome not in _STILL_OURS
        ]
        return [wire.Drifted(tuple(receipts))] if receipts else []

    def _leave_nothing(self, lost: str) -> list[wire.Event]:
        """Put back, once, what nobody could put back after us."""
        if self._has_lost_journal:
            return []
        self._has_lost_journal = True
        what = f"{self._journal.path} {lost}: restart the service to tune again"
        self._log(f"journal_lost reason={what!r}")
        return [wire.Replanned(what, self._take_back(self._ours(), what))]

    def cpus_changed(self, what: str) -> list[wire.Event]:
        """Take back what leaves a group on CPUs that are gone; a new plan is due."""
        online = self._host.online_cpus()
        stranded = {
            entry.setting.target
            for entry in self._ours()
            if entry.setting.knob in _CPU_KNOBS and not _cpus(entry.setting.value) <= online
        }
        hanging = [
            entry
            for entry in self._ours()
            if entry.setting.target in stranded and entry.setting.knob in _HANGING_ON_CPUS
        ]
        receipts = self._take_back(hanging, what)
        return [wire.Replanned(what, receipts), *self.look()]

    def step_down(self, cgroup: str) -> list[wire.Event]:
        """Undo what squeezes batch work; if nothing does, the highest rung of the protected."""
        ours = self._ours()
        squeezing = [entry for entry in ours if entry.setting.role == "batch"]
        if not squeezing:
            protecting = [entry for entry in ours if entry.setting.role == "latency_critical"]
            highest = max((self._rung(entry) for entry in protecting), default=0)
            squeezing = [entry for entry in protecting if self._rung(entry) == highest]
        if not squeezing:
            return []
        reason = f"all of {cgroup} waited for a CPU for too long"
        receipts = self._take_back(squeezing, reason)
        with suppress(JournalError):  # a full disk must not keep anybody starved
            self._journal.note(_STEP_DOWN, {"cgroup": cgroup, "reason": reason})
        return [wire.SteppedDown(receipts, reason)]

    def _rung(self, entry: Entry) -> int:
        return self._knobs[entry.setting.knob].rung

    def end(self) -> tuple[Receipt, ...]:
        """Put back what this session turned, unless it is to be kept."""
        try:
            entries = self._ours() if self._begin.is_resident else []
            if self._on_stop == "keep":
                # What this process holds ends with it in any case.
                entries = [entry for entry in entries if entry.persistence == "process"]
            return self._take_back(entries, "the service ends")
        finally:
            self._stack.close()


def _refusals(plan: Plan, settings: list[Setting]) -> list[Receipt]:
    reasons = {each.setting: each.reason for each in plan.excluded}
    return [
        Receipt(0, each, "refused", reason=reasons.get(each, f"{each.knob}: not in the plan"))
        for each in settings
    ]


def _cpus(text: str) -> frozenset[int]:
    try:
        return parse_cpus(text)
    except ValueError:
        return frozenset()


class _Budget:
    """So many in a minute, however they come; a client that was taken over must not fill a disk."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._since, self._taken = 0.0, 0

    def take(self, now: float) -> bool:
        if now - self._since >= 60:
            self._since, self._taken = now, 0
        self._taken += 1
        return self._taken <= self._per_minute
