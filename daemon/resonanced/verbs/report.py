# SPDX-License-Identifier: MIT
"""What would be changed, what was, and what became of it: as text and as plain data.

Text stays below 80 columns. Nothing here reads or writes anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from resonance_tuning.records import Change, Excluded, Receipt, Role, Setting
from resonanced.verbs.terminal import WIDTH, command_lines, printable, shortened, wrapped

if TYPE_CHECKING:  # a rollback reports too, and must do without what these import
    from resonance_tuning.journal import Entry
    from resonance_tuning.knob import Knob
    from resonance_tuning.planning.planner import Plan

__all__ = [
    "change_text",
    "entry_data",
    "fate",
    "journal_lines",
    "plan_data",
    "plan_lines",
    "receipt_data",
    "receipt_lines",
    "subject",
    "time_text",
]

_INDENT: Final = " " * 8
_ROLES: Final[dict[Role, str]] = {
    "latency_critical": "latency-critical",
    "batch": "batch",
    "network": "network",
    "host": "host",
}
_WORDS: Final = {
    "restored": "put back",
    "conflict-left": "left: somebody else changed it",
    "released": "released: somebody else changed it",
}
"""Outcomes that say more in other words."""


def subject(setting: Setting) -> str:
    """Name a knob of a target, for a terminal."""
    if setting.target.kind == "host":
        return setting.knob
    return f"{setting.knob} of {printable(str(setting.target))}"


def change_text(now: str, then: str) -> str:
    """Write a difference in one line."""
    return f"{_value(now)} -> {_value(then)}"


def _value(text: str) -> str:
    return printable(text) if text else "(none)"


def time_text(at_unix_seconds: float) -> str:
    """Write a moment in the host's own time zone."""
    return f"{datetime.fromtimestamp(at_unix_seconds).astimezone():%Y-%m-%d %H:%M:%S}"


# ---- the plan --------------------------------------------------------------------------------


def plan_lines(plan: Plan, knobs: Mapping[str, Knob]) -> list[str]:
    """Return the difference a plan makes, why, what it leaves out, and how to go back."""
    needed = [change for change in plan.changes if change.is_needed]
    there = [change for change in plan.changes if not change.is_needed]
    counts = f"{_count(len(needed), 'change')}, {len(there)} there already"
    lines = [f"profile {plan.profile}: {counts}, {len(plan.excluded)} left out"]
    for role in _ROLES:
        lines += _role_lines(role, plan, needed, knobs)
    if there:
        lines += ["", "there already"]
        told = [f"{subject(each.setting)}: {_value(each.prior.value)}" for each in there]
        lines += [line for each in told for line in wrapped(each, "    ", "  ")]
    if plan.excluded:
        lines += ["", "left out", *_excluded_lines(plan.excluded)]
    if plan.notes:
        lines += ["", "to know"]
        lines += [line for note in plan.notes for line in wrapped(note, "    ", "  ")]
    undo = [command for change in reversed(needed) for command in change.undo]
    if undo:
        lines += ["", "to go back by hand, in this order"]
        lines += [line for command in undo for line in command_lines(command)]
    return lines


def _role_lines(
    role: Role, plan: Plan, needed: Sequence[Change], knobs: Mapping[str, Knob]
) -> list[str]:
    cgroups = {"latency_critical": plan.latency_critical, "batch": plan.batch}.get(role, ())
    changes = [change for change in needed if change.setting.role == role]
    if not (cgroups or changes):
        return []
    lines = ["", *wrapped(f"{_ROLES[role]}: {', '.join(cgroups)}".rstrip(": "), "  ", "")]
    rungs = {change.setting.knob: knobs[change.setting.knob].rung for change in changes}
    in_order = sorted(changes, key=lambda change: rungs[change.setting.knob])
    for rung, group in groupby(in_order, key=lambda change: rungs[change.setting.knob]):
        lines.append(f"  rung {rung}")
        lines += _rung_lines(group)
    return lines


def _rung_lines(changes: Iterable[Change]) -> list[str]:
    """Tell the first of equal changes, and of the others whose they are."""
    equal: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        key = (change.setting.knob, change.prior.value, change.canonical)
        equal.setdefault(key, []).append(change)
    lines: list[str] = []
    for first, *others in equal.values():
        lines += _change_lines(first)
        targets = ", ".join(str(other.setting.target) for other in others)
        lines += wrapped(f"the same: {targets}", "      ") if targets else []
    return lines


def _change_lines(change: Change) -> list[str]:
    difference = change_text(change.prior.value, change.canonical)
    lines = wrapped(f"{subject(change.setting)}  {difference}", "      ", "    ")
    if change.canonical != change.setting.value:
        lines += wrapped(f"asked for {change.setting.value}; the kernel makes this of it", "      ")
    return lines + wrapped(change.reason, "      ")


def _excluded_lines(excluded: Iterable[Excluded]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for each in excluded:
        by_reason.setdefault(each.reason, []).append(subject(each.setting))
    lines: list[str] = []
    for reason, subjects in by_reason.items():
        lines += wrapped(f"{', '.join(dict.fromkeys(subjects))}:", "  ")
        lines += wrapped(reason, "      ")
    return lines


def plan_data(plan: Plan, knobs: Mapping[str, Knob]) -> dict[str, Any]:
    """Return a plan as JSON has it."""
    return {
        "profile": plan.profile,
        "latency_critical": list(plan.latency_critical),
        "batch": list(plan.batch),
        "changes": [
            dataclasses.asdict(change)
            | {"rung": knobs[change.setting.knob].rung, "is_needed": change.is_needed}
            for change in plan.changes
        ],
        "excluded": [dataclasses.asdict(each) for each in plan.excluded],
        "notes": list(plan.notes),
    }


# ---- receipts --------------------------------------------------------------------------------


def receipt_lines(receipts: Iterable[Receipt]) -> list[str]:
    """Return what became of each setting, and what an operator is left to do."""
    lines: list[str] = []
    for receipt in receipts:
        step = f"step {receipt.step}" if receipt.step else ""
        value = f" = {printable(receipt.found)}" if receipt.found else ""
        told = _WORDS.get(receipt.outcome, receipt.outcome)
        lines += wrapped(f"{step:<8}{subject(receipt.setting)}{value}  {told}", _INDENT, "")
        lines += wrapped(receipt.reason, _INDENT)
        if receipt.commands:
            lines.append(f"{_INDENT}to go back by hand:")
            lines += [line for each in receipt.commands for line in command_lines(each, _INDENT)]
    return lines


def receipt_data(receipts: Iterable[Receipt]) -> list[dict[str, Any]]:
    """Return receipts as JSON has them."""
    return [dataclasses.asdict(receipt) for receipt in receipts]


# ---- the journal -----------------------------------------------------------------------------

_HEADS: Final = ("step", "when", "knob", "target", "change", "now")
_TARGET: Final = _HEADS.index("target")
_LONGEST: Final = {"knob": 25, "change": 16}
"""Columns at most; the target gets what the others leave."""


def fate(entry: Entry) -> str:
    """Return what became of an entry, in a word or two."""
    if entry.is_live:
        return "in force" if entry.got is not None else "unfinished"
    return f"{entry.outcome}"


def journal_lines(entries: Sequence[Entry]) -> list[str]:
    """Return the journal as a table."""
    if not entries:
        return ["nothing was changed since this boot"]
    rows = [_HEADS, *map(_cells, entries)]
    widths = [
        min(max(len(row[at]) for row in rows), _LONGEST.get(head, WIDTH))
        for at, head in enumerate(_HEADS)
    ]
    left = WIDTH - sum(widths) - len(widths) + 1
    widths[_TARGET] += min(left, 0)
    return [
        " ".join(
            f"{shortened(cell, width):<{width}}" for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _cells(entry: Entry) -> tuple[str, ...]:
    target = entry.setting.target
    return (
        str(entry.step),
        f"{datetime.fromtimestamp(entry.at_unix_seconds).astimezone():%m-%d %H:%M}",
        entry.setting.knob,
        printable(target.name or target.kind),
        change_text(entry.prior.value, entry.canonical),
        fate(entry),
    )


def entry_data(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON has it."""
    return dataclasses.asdict(entry) | {"fate": fate(entry)}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
