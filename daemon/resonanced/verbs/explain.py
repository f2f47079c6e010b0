# SPDX-License-Identifier: MIT
"""``resonanced explain``: finds what is meant, and has it told."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from resonance_tuning.errors import TuningError
from resonance_tuning.journal import Entry
from resonance_tuning.knob import Knob
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.records import HOST, Receipt, Target
from resonanced.errors import StartError
from resonanced.verbs.desk import Desk
from resonanced.verbs.report import entry_data, receipt_data
from resonanced.verbs.story import (
    Note,
    entry_lines,
    knob_data,
    knob_lines,
    overview_lines,
    verdicts_of,
)
from resonanced.verbs.terminal import write, write_json

__all__ = ["explain"]


def explain(arguments: argparse.Namespace) -> int:
    """Tell what was changed, one change, or one knob; return the exit status."""
    desk = Desk(arguments)
    past = desk.journal()
    entries, subject = past.entries(), arguments.subject
    verdicts = past.notes("verdict")
    knob = desk.knobs.get(subject)
    chosen = [each for each in entries if subject is None or _is_meant(each, subject)]
    if subject is not None and not (knob or chosen):
        reason = "neither a knob, nor a step of the journal, nor a target that was changed"
        raise StartError(f"explain {subject}", reason, "resonanced journal lists what was")
    values = _values(desk, knob, chosen) if knob else []
    receipts = {receipt.step: receipt for receipt in desk.verified(past)}
    if arguments.output == "json":
        told = [_entry_data(each, receipts.get(each.step), verdicts) for each in chosen]
        write_json({"knob": knob_data(knob, values) if knob else None, "changes": told})
    elif subject is None:
        write(overview_lines(entries, verdicts, desk.same_place))
    else:
        stories = [knob_lines(knob, values)] if knob else []
        for each in chosen:
            found = verdicts_of(each, verdicts)
            stories.append(entry_lines(each, receipts.get(each.step), found, desk.same_place))
        write("\n\n".join("\n".join(story) for story in stories).splitlines())
    return 0


def _entry_data(entry: Entry, receipt: Receipt | None, verdicts: Sequence[Note]) -> dict[str, Any]:
    found = [{"at_unix_seconds": at} | note for at, note in verdicts_of(entry, verdicts)]
    verified = receipt_data([receipt])[0] if receipt else None
    return entry_data(entry) | {"verified": verified, "verdicts": found}


def _is_meant(entry: Entry, subject: str) -> bool:
    target = entry.setting.target
    return subject in {str(entry.step), entry.setting.knob, target.name, str(target)}


def _values(desk: Desk, knob: Knob, chosen: Iterable[Entry]) -> list[tuple[str, str]]:
    """Return what a knob holds now, on what was changed and on what the groups name."""
    matched = {entry.setting.target for entry in chosen}
    inventory = Inventory(desk.host)
    for group in (desk.settings.latency_critical, desk.settings.batch):
        found = inventory.match(group)
        matched.update(found.cgroups, found.processes)
    targets = [HOST] if knob.scope == "host" else sorted(knob.targets(matched))
    return [(str(target), _value(knob, target)) for target in targets]


def _value(knob: Knob, target: Target) -> str:
    try:
        return knob.unavailable(target) or knob.read(target).value
    except (OSError, TuningError) as error:
        return f"{error}"
