# SPDX-License-Identifier: MIT
"""``resonanced plan``, ``apply``, ``verify``, ``explain`` and ``journal``.

`apply` starts the actuator for one request; the others read, in this process, and write
nothing. Going back is `resonanced.rollback`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from resonance_tuning.actuator.link import Actuator
from resonance_tuning.errors import ActuatorError, JournalError
from resonance_tuning.journal import Journal
from resonance_tuning.knob import Knob
from resonance_tuning.planning import profiles
from resonance_tuning.planning.planner import Plan, plan
from resonance_tuning.records import Excluded, Receipt
from resonanced.errors import StartError
from resonanced.verbs.desk import Desk
from resonanced.verbs.explain import explain
from resonanced.verbs.report import (
    entry_data,
    journal_lines,
    plan_data,
    plan_lines,
    receipt_data,
    receipt_lines,
)
from resonanced.verbs.story import note_lines
from resonanced.verbs.terminal import wrapped, write, write_json

__all__ = ["VERBS"]

_DRIFT: Final = 3
"""Exit status where what was changed is not so any more."""
_NOTES: Final = ("verdict", "held-back", "step-down")
"""Kinds of notes that a person asks for."""
_HELD: Final = "is held by pid"
_ONE_WRITER: Final = (
    "if it is the service: systemctl stop resonanced, or set tuning.mode to observe and restart it"
)
"""Only one process writes at a time."""


def _plan(arguments: argparse.Namespace) -> int:
    desk = Desk(arguments)
    made = _limited(_made_plan(desk), desk.knobs, arguments.max_rung)
    if arguments.output == "json":
        write_json(plan_data(made, desk.knobs))
        return 0
    lines = plan_lines(made, desk.knobs)
    write([*lines, "", "nothing was written"])
    return 0


def _made_plan(desk: Desk) -> Plan:
    past: Journal | None = None
    note = ""
    try:
        past = desk.journal()
    except JournalError as error:
        note = f"what rests after a drift is not known: {error}"
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    made = plan(
        desk.host, desk.settings, desk.knobs, journal=past, held=False, now_boottime_seconds=now
    )
    return replace(made, notes=(*made.notes, note)) if note else made


def _limited(made: Plan, knobs: Mapping[str, Knob], max_rung: int) -> Plan:
    above = [each for each in made.changes if knobs[each.setting.knob].rung > max_rung]
    excluded = [
        Excluded(each.setting, f"above rung {max_rung}, as --max-rung says") for each in above
    ]
    kept = tuple(each for each in made.changes if each not in above)
    return replace(made, changes=kept, excluded=(*made.excluded, *excluded))


def _apply(arguments: argparse.Namespace) -> int:
    desk = Desk(arguments)
    if os.geteuid() != 0:
        raise StartError("not root", "only root may change settings", "run it with sudo")
    # A wrong profile is told as what it is before the actuator starts, which can only refuse.
    profiles.load(desk.settings.profile, profiles.directories(desk.settings.profiles_directory))
    with _actuator(desk, arguments.max_rung) as actuator:
        if actuator.begun.is_shadow:
            raise StartError("nothing was written", actuator.begun.reason)
        made = actuator.plan()
        settings = [change.setting for change in made.changes if change.is_needed]
        reason = f"resonanced apply {made.profile}"
        receipts = actuator.apply(settings, reason) if settings else []
        recovered = actuator.begun.recovered
    if arguments.output == "json":
        done = {"receipts": receipt_data(receipts), "recovered": receipt_data(recovered)}
        write_json(plan_data(made, desk.knobs) | done)
    else:
        write([*_recovered_lines(recovered), *_applied_lines(made, receipts, desk.same_place)])
    return 0


def _actuator(desk: Desk, max_rung: int) -> Actuator:
    try:
        return Actuator(desk.settings, max_rung=max_rung)
    except ActuatorError as error:
        if _HELD not in error.reason:
            raise
        raise StartError("nothing was written", error.reason, _ONE_WRITER) from error


def _recovered_lines(receipts: Sequence[Receipt]) -> list[str]:
    return ["left by a service that is gone:", *receipt_lines(receipts), ""] if receipts else []


def _applied_lines(made: Plan, receipts: list[Receipt], same_place: str) -> list[str]:
    left_out = [f"{len(made.excluded)} left out: resonanced plan says why"] if made.excluded else []
    if not receipts:
        why = (
            "all of it is there already" if made.changes else "nobody is named, or all is left out"
        )
        notes = [line for note in made.notes for line in wrapped(note, "    ", "  ")]
        return [f"profile {made.profile}: nothing to change: {why}", *notes, *left_out]
    return [
        f"profile {made.profile}: {len(receipts)} written and read back",
        *receipt_lines(receipts),
        *left_out,
        "",
        "to go back, and to look:",
        *(f"  resonanced {verb}{same_place}" for verb in ("rollback", "verify", "explain")),
    ]


def _verify(arguments: argparse.Namespace) -> int:
    desk = Desk(arguments)
    receipts = desk.verified(desk.journal())
    drifted = [receipt for receipt in receipts if receipt.outcome != "ok"]
    if arguments.output == "json":
        write_json({"receipts": receipt_data(receipts), "drifted": len(drifted)})
    else:
        told = f"{len(receipts) - len(drifted)} of {len(receipts)} are as they were written"
        write([*receipt_lines(receipts), told if receipts else "nothing is changed"])
    return _DRIFT if drifted else 0


def _journal(arguments: argparse.Namespace) -> int:
    desk = Desk(arguments)
    past = desk.journal()
    entries = past.entries()
    notes = [(kind, note) for kind in _NOTES for note in past.notes(kind)]
    notes.sort(key=lambda each: each[1][0])
    if arguments.output == "json":
        write_json(
            {
                "directory": str(desk.directory),
                "entries": [entry_data(entry) for entry in entries],
                "notes": [
                    {"kind": kind, "at_unix_seconds": at} | note for kind, (at, note) in notes
                ],
            }
        )
        return 0
    noted = note_lines(notes)
    write([*journal_lines(entries), *(["", *noted] if noted else [])])
    return 0


VERBS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "plan": _plan,
    "apply": _apply,
    "verify": _verify,
    "explain": explain,
    "journal": _journal,
}
