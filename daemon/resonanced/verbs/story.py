# SPDX-License-Identifier: MIT
"""Why was this changed, what did it gain, how do I go back?

Told from the journal: what was there, who wrote what and why, and the verdicts the service
noted beside it. Nothing here reads or writes anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from resonance_tuning.journal import Entry
from resonance_tuning.knob import Knob
from resonance_tuning.records import Receipt
from resonanced.verbs.report import change_text, fate, subject, time_text
from resonanced.verbs.terminal import command_lines, wrapped

__all__ = [
    "Note",
    "entry_lines",
    "gain_lines",
    "knob_data",
    "knob_lines",
    "note_lines",
    "overview_lines",
    "verdicts_of",
]

Note = tuple[float, dict[str, Any]]
"""When, in seconds since 1970, and what was noted."""

_WINDOWS: Final = ("before", "during", "after")
_INDENT: Final = " " * 10
_EVIDENCE: Final = {
    "runqueue": "the wait for a CPU (run-queue p99)",
    "srtt": "the round trip (smoothed RTT p99)",
    "none": "no signal of ours: it is never turned for evidence",
}
_THEIRS: Final = frozenset({"released", "conflict-left"})
_FORGOTTEN: Final = {
    "process": "by itself, with the process that holds it",
    "boot": "by the kernel at reboot; until then it stays",
}


def overview_lines(
    entries: Sequence[Entry], verdicts: Sequence[Note], same_place: str = ""
) -> list[str]:
    """Return what is in force, what has been, and where to read on.

    Parameters
    ----------
    same_place : str
        Flags that lead another command to the same journal.
    """
    would = _would_lines(verdicts)
    if not entries:
        return [
            "nothing on this host was changed since it booted",
            *(would or ["resonanced plan says what could be, and writes nothing"]),
        ]
    live = [entry for entry in entries if entry.is_live]
    past = len(entries) - len(live)
    lines = [f"in force: {len(live)}; taken back, released or gone: {past}"]
    for entry in live:
        difference = change_text(entry.prior.value, entry.canonical)
        lines += wrapped(
            f"{subject(entry.setting)}: {difference}", _INDENT, f"  step {entry.step:<3}"
        )
        lines += wrapped(entry.reason, _INDENT)
        found = verdicts_of(entry, verdicts)
        lines += wrapped(gain_lines(found)[-1], _INDENT)
    where = live[-1] if live else entries[-1]
    lines += [
        *would,
        "",
        f"resonanced explain {where.step}{same_place}",
        "    one change: why, what it gained, how to go back",
        f"resonanced explain {where.setting.knob}{same_place}",
        "    one knob: what it is, its values now",
    ]
    return [*lines, f"resonanced rollback{same_place}", "    take it all back"] if live else lines


def _would_lines(verdicts: Sequence[Note]) -> list[str]:
    """Return what shadow mode would have done, the newest word on each."""
    newest = {(note.get("knob"), note.get("target")): note for _, note in verdicts}
    would = [note for note in newest.values() if note.get("verdict") == "would"]
    lines = ["", "would be changed, if this were not shadow mode:"] if would else []
    for note in would:
        lines += wrapped(f"{note.get('knob')} of {note.get('target')}", _INDENT, "  ")
        lines += wrapped(f"{note.get('reason', '')}", _INDENT)
    return lines


def note_lines(notes: Sequence[tuple[str, Note]]) -> list[str]:
    """Return what was noted beside the changes, of each kind, oldest first."""
    lines: list[str] = []
    for kind, (at, note) in notes:
        what = f"{note['knob']} of {note.get('target')}" if "knob" in note else note.get("cgroup")
        told = _verdict(at, note) if kind == "verdict" else f"{note.get('reason', '')}"
        lines += wrapped(f"{kind}: {what}", "  ", "")
        lines += wrapped(told if kind == "verdict" else f"{time_text(at)}; {told}", _INDENT)
    return lines


def verdicts_of(entry: Entry, verdicts: Sequence[Note]) -> list[Note]:
    """Return what was noted about an entry's knob and target, oldest first."""
    setting = entry.setting
    whole = str(setting.target)
    # The service notes a name as a terminal may show it.
    names = {whole, "".join(letter if letter.isprintable() else "?" for letter in whole)}
    return [
        (at, note)
        for at, note in verdicts
        if note.get("knob") == setting.knob and note.get("target") in names
    ]


def entry_lines(
    entry: Entry, receipt: Receipt | None, verdicts: Sequence[Note], same_place: str = ""
) -> list[str]:
    """Tell one change.

    Parameters
    ----------
    receipt : Receipt or None
        What verifying it gave; ``None`` where it is not in force or could not be read.
    same_place : str
        Flags that lead another command to the same journal.
    """
    asked = "" if entry.canonical == entry.setting.value else f" (asked for {entry.setting.value})"
    written = f"written {time_text(entry.at_unix_seconds)} by process {entry.pid}"
    lines = [f"step {entry.step}: {subject(entry.setting)}"]
    lines += _paragraph("what", f"{change_text(entry.prior.value, entry.canonical)}{asked}")
    lines += _paragraph("", f"{written}, profile {entry.profile}")
    if entry.prior.coupled:
        pairs = ", ".join(f"{name} {value}" for name, value in entry.prior.coupled.items())
        lines += _paragraph("", f"with it changes, and is put back: {pairs}")
    lines += _paragraph("why", entry.reason or "no reason was noted")
    lines += _paragraph("now", _now(entry, receipt))
    gain = gain_lines(verdicts)
    lines += _paragraph("gained", gain[0])
    lines += [line for sentence in gain[1:] for line in _paragraph("", sentence)]
    return lines + _way_back(entry, receipt, same_place)


def _way_back(entry: Entry, receipt: Receipt | None, same_place: str) -> list[str]:
    is_theirs = receipt is not None and receipt.outcome == "drifted"
    if is_theirs or entry.outcome in _THEIRS:
        lines = _paragraph("go back", "theirs stays; if it is not wanted, by hand:")
    elif entry.is_live:
        lines = _paragraph("go back", "all that is in force:")
        lines += command_lines(f"resonanced rollback{same_place}", _INDENT)
        lines += _paragraph("", "this one, by hand:")
    else:
        return _paragraph("go back", "nothing to do: it is over")
    return lines + [line for each in entry.undo for line in command_lines(each, _INDENT)]


def _now(entry: Entry, receipt: Receipt | None) -> str:
    if not entry.is_live:
        return _ended(entry)
    if receipt is None:
        return fate(entry)
    found = receipt.found or "(none)"
    told = {
        "ok": f"{found}, as written",
        "drifted": f"{found}: somebody else changed it, so a rollback leaves that",
        "vanished": "the target is gone, or another stands in its place",
    }.get(receipt.outcome, f"{receipt.outcome} {found}")
    return f"{told}; {receipt.reason}" if receipt.reason else told


def _ended(entry: Entry) -> str:
    told = f"{fate(entry)} {time_text(entry.ended_unix_seconds)}"
    by = f" by {entry.released_by}" if entry.released_by else ""
    found = f", found {entry.found}" if entry.found else ""
    return f"{told}{by}{found}" + (f"; {entry.end_reason}" if entry.end_reason else "")


def gain_lines(verdicts: Sequence[Note]) -> list[str]:
    """Return what a change gained, newest verdict last; one sentence each."""
    if not verdicts:
        return ["no verdict: applied by hand, or still on trial"]
    return [_verdict(at, note) for at, note in verdicts]


def _verdict(at_unix_seconds: float, note: Mapping[str, Any]) -> str:
    told = [f"{note.get('verdict', 'judged')} {time_text(at_unix_seconds)}"]
    before, during, after = (_known(note, f"p99_{when}_seconds") for when in _WINDOWS)
    if before is not None and during is not None and after is not None:
        whose = f"p99 of {note['cgroup']}" if note.get("cgroup") else "p99"
        p99 = f"{whose} {before * 1e3:.3g} ms before, {during * 1e3:.3g} ms with it"
        told.append(f"{p99}, {after * 1e3:.3g} ms after")
    ratio, low, high = (_known(note, name) for name in ("ratio", "low", "high"))
    if ratio is not None and low is not None and high is not None:
        told.append(f"ratio {ratio:.2g} (95 % interval {low:.2g} to {high:.2g})")
    if note.get("reason") and note.get("verdict") != "kept":  # that one only repeats the ratio
        told.append(str(note["reason"]))
    return "; ".join(told)


def _known(note: Mapping[str, Any], name: str) -> float | None:
    value = note.get(name)
    return value if isinstance(value, float) and math.isfinite(value) else None


def knob_lines(knob: Knob, values: Sequence[tuple[str, str]]) -> list[str]:
    """Tell what a knob is.

    Parameters
    ----------
    values : sequence of (str, str)
        Targets and what they hold now, or why that cannot be told.
    """
    needs = ", ".join(sorted(knob.capabilities)) or "nothing beyond uid 0"
    lines = [f"knob {knob.name}"]
    lines += _paragraph("what", knob.summary)
    lines += _paragraph("turned on", f"{knob.scope}; rung {knob.rung} of 5")
    lines += _paragraph("needs", needs)
    lines += _paragraph("forgotten", _FORGOTTEN[knob.persistence])
    lines += _paragraph("must help", _EVIDENCE[knob.evidence])
    if not values:
        return [*lines, *_paragraph("now", "name targets to see values: --latency-critical GLOB")]
    for label, (target, value) in zip(["now", *[""] * len(values)], values, strict=False):
        lines += _paragraph(label, f"{target}: {value or '(none)'}")
    return lines


def knob_data(knob: Knob, values: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what a knob is as JSON has it."""
    return {
        "name": knob.name,
        "summary": knob.summary,
        "scope": knob.scope,
        "rung": knob.rung,
        "capabilities": sorted(knob.capabilities),
        "persistence": knob.persistence,
        "evidence": knob.evidence,
        "values": dict(values),
    }


def _paragraph(label: str, text: str) -> list[str]:
    return wrapped(text, _INDENT, f"{label:<10}")
