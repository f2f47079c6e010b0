# SPDX-License-Identifier: MIT
"""What was there before the kernel was touched, on disk before it is touched.

Records, in the order they are written::

    begin      a transaction: profile, reason, format, process
      intent   a step: what was there, what will be written; before the kernel is written
      done     what was read back; after it
    commit     all steps of the transaction are done
      undone   a step is over: restored, already, vanished or conflict-left
      released a step is over: somebody else changed the value, theirs stays
    end        all steps of the transaction are over
    note       anything worth keeping that no undo needs: verdicts, detected rivals
    numbering  the first line of a compacted journal: where its numbers go on

A journal belongs to one boot, as the values it can undo. Every line proves itself, so one that
is damaged is left out and told; it does not hide those after it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from resonance_tuning.errors import JournalError
from resonance_tuning.journal_file import JournalFile
from resonance_tuning.records import Change, Outcome, Setting, State, Target

__all__ = ["FORMAT", "Entry", "Journal", "NoteValue", "read"]

FORMAT: Final = "1"
"""Of the records; a reader that meets a record it does not know refuses to write."""
NoteValue = str | float | int | bool | None
_COMPACT_BYTES: Final = 1 << 20
_KEPT_RECORDS: Final = 1000


_DAMAGED: Final = (
    "this line is damaged, so a change may be unknown; roll back, look at what is left, then "
    "remove the file"
)
_OTHER_FORMAT: Final = (
    "another version of Resonance wrote this: format {}, and this one knows {}; what it changed is "
    "left as it is: roll back with that version, or reboot, which undoes it too"
)


class _OtherFormatError(ValueError):
    """A transaction is in a format that we do not know."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step: a setting that was made, and what became of it.

    Attributes
    ----------
    persistence : {"process", "boot"}
    pid : int
        The process that made it.
    at_unix_seconds, at_boottime_seconds : float
        When it was intended.
    got : str or None
        What was read back; nothing if its process ended before that.
    outcome : Outcome or None
        ``applied`` or nothing while it is live; else how it ended.
    found : str
        The value that was there when it ended.
    released_by : str
        Who changed the value, if anybody did and it is known.
    undo : tuple of str
        Commands that put the prior state back.
    end_reason : str
        Why it was undone.
    ended_unix_seconds, ended_boottime_seconds : float
        When it ended; zero while it is live.
    """

    step: int
    transaction: int
    profile: str
    setting: Setting
    identity: str
    prior: State
    canonical: str
    reason: str
    persistence: Literal["process", "boot"]
    pid: int
    at_unix_seconds: float
    at_boottime_seconds: float
    got: str | None = None
    outcome: Outcome | None = None
    found: str = ""
    released_by: str = ""
    undo: tuple[str, ...] = ()
    end_reason: str = ""
    ended_unix_seconds: float = 0.0
    ended_boottime_seconds: float = 0.0

    @property
    def is_live(self) -> bool:
        """Whether it is still for us to undo."""
        return self.outcome in {None, "applied"}

    @property
    def ours(self) -> frozenset[str]:
        """The values that only we can have written."""
        read_back = {self.got} if self.got is not None else set[str]()
        return frozenset({self.setting.value, self.canonical} | read_back)


class Journal:
    """The steps of this boot.

    As a context it holds the journal's directory: one process at a time.

    Parameters
    ----------
    directory : Path
        Root's own; made when the journal is entered.
    boot_id : str
        Of the running kernel.
    may_write : bool
        False to hold it without changing it, for a rollback on a full or read-only disk.

    Attributes
    ----------
    damage : JournalError or None
        The first line that cannot be trusted, damaged or of another format. Then nothing new
        may be begun.
    """

    def __init__(self, directory: Path, boot_id: str, *, may_write: bool = True) -> None:
        self.boot_id = boot_id
        self.may_write = may_write
        self.damage: JournalError | None = None
        self._file = JournalFile(directory, f"journal-{boot_id}.wal")
        self._compacted_bytes = 0
        self._forget()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    def __enter__(self) -> Self:
        self._file.open(may_write=self.may_write)
        try:
            self.load()
        except BaseException:
            self._file.close()
            raise
        self._compact_if_long()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def load(self) -> None:
        """Read it anew; whoever holds it need not."""
        self._forget()
        for number, record in self._file.records():
            try:
                self._take(record or {})
            except _OtherFormatError as error:
                self._distrust(number, _OTHER_FORMAT.format(error, FORMAT))
            except (KeyError, TypeError, ValueError):
                self._distrust(number, _DAMAGED)

    def _distrust(self, line: int, reason: str) -> None:
        self.damage = self.damage or JournalError(str(self.path), line, reason)

    def lost(self) -> str:
        """Return why nobody would find this journal after us, or nothing; it must be entered."""
        return self._file.lost()

    def begin(self, profile: str, reason: str, version: str = FORMAT) -> int:
        """Begin a transaction; the intents that follow belong to it.

        Raises
        ------
        JournalError
            It cannot be written, or a line of it is damaged.
        """
        if self.damage:
            raise self.damage
        transaction = self._transaction + 1
        self._append(
            "begin",
            transaction=transaction,
            profile=profile,
            reason=reason,
            version=version,
            boot_id=self.boot_id,
            pid=os.getpid(),
        )
        return transaction

    def intent(self, change: Change, persistence: Literal["process", "boot"]) -> int:
        """Put on disk what is about to be written, and return the step's number."""
        step, setting = self._step + 1, change.setting
        self._append(
            "intent",
            step=step,
            transaction=self._transaction,
            knob=setting.knob,
            target=[setting.target.kind, setting.target.name],
            value=setting.value,
            role=setting.role,
            identity=change.identity,
            prior={"value": change.prior.value, "coupled": change.prior.coupled},
            canonical=change.canonical,
            reason=change.reason,
            undo=list(change.undo),
            persistence=persistence,
            pid=os.getpid(),
        )
        return step

    def done(self, step: int, got: str) -> None:
        """Mark a step as written; `got` was read back."""
        self._append("done", step=step, got=got)

    def commit(self, transaction: int) -> None:
        """Mark all steps of a transaction as done."""
        self._append("commit", transaction=transaction)

    def undone(self, step: int, outcome: Outcome, found: str, reason: str = "") -> None:
        """Mark a step as over."""
        self._append("undone", step=step, outcome=outcome, found=found, reason=reason)

    def released(self, step: int, by: str, found: str) -> None:
        """Mark a step as somebody else's from now on."""
        self._append("released", step=step, by=by, found=found)

    def note(self, kind: str, data: Mapping[str, NoteValue]) -> None:
        """Keep something that no undo needs."""
        self._append("note", kind=kind, data=dict(data))
        self._compact_if_long()

    def end(self, transaction: int) -> None:
        """Mark a transaction as over."""
        self._append("end", transaction=transaction)
        self._compact_if_long()

    def entries(self) -> list[Entry]:
        """Return every step that is known, oldest first."""
        return [self._entries[step] for step in sorted(self._entries)]

    def live(self) -> list[Entry]:
        """Return the steps that are still for us to undo, oldest first."""
        return [entry for entry in self.entries() if entry.is_live]

    def releases(self, knob: str, target: Target) -> list[Entry]:
        """Return the steps of a knob and target that somebody else's change ended."""
        return [
            entry
            for entry in self.entries()
            if entry.outcome == "released"
            and (entry.setting.knob, entry.setting.target) == (knob, target)
        ]

    def notes(self, kind: str | None = None) -> list[tuple[float, dict[str, Any]]]:
        """Return time (unix, seconds) and content of each note, oldest first."""
        return [(at, data) for at, found, data in self._notes if kind in {None, found}]

    def _forget(self) -> None:
        self.damage = None
        self._step = self._transaction = 0
        self._profiles: dict[int, str] = {}
        self._formats: dict[int, str] = {}
        self._entries: dict[int, Entry] = {}
        self._notes: list[tuple[float, str, dict[str, Any]]] = []

    def _append(self, kind: str, /, **fields: object) -> None:
        record = {
            "type": kind,
            "unix_seconds": round(time.time(), 3),
            "boottime_seconds": round(time.clock_gettime(time.CLOCK_BOOTTIME), 3),
            **fields,
        }
        if "step" in fields and kind != "intent" and fields["step"] not in self._entries:
            raise ValueError(f"the journal has no step {fields['step']}")
        self._file.append(record)
        self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        """Bring one record into memory; a `KeyError` or the like means it is none of ours."""
        kind = record["type"]
        if kind == "begin":
            self._transaction = max(self._transaction, int(record["transaction"]))
            self._profiles[record["transaction"]] = record["profile"]
            self._formats[record["transaction"]] = record["version"]
            self._refuse_other_formats(record)
        elif kind == "intent":
            self._refuse_other_formats(record)
            entry = _entry(record, self._profiles.get(record["transaction"], ""))
            self._step = max(self._step, entry.step)
            self._entries[entry.step] = entry
        elif kind == "note":
            self._notes.append((record["unix_seconds"], record["kind"], dict(record["data"])))
        elif kind == "numbering":
            self._step, self._transaction = int(record["step"]), int(record["transaction"])
        elif kind not in {"commit", "end"}:
            self._entries[record["step"]] = _after(self._entries[record["step"]], record)

    def _refuse_other_formats(self, record: dict[str, Any]) -> None:
        """Take no step whose words may mean something else to who wrote them."""
        version = self._formats.get(record["transaction"], FORMAT)
        if version != FORMAT:
            raise _OtherFormatError(version)

    def _compact_if_long(self) -> None:
        """Leave out what nobody needs any more, once that is worth it.

        A journal whose live steps alone are long is tried again when it has doubled.
        """
        limit = max(_COMPACT_BYTES, 2 * self._compacted_bytes)
        if not self.may_write or self.damage or self._file.size_bytes <= limit:
            return
        records = [record for _, record in self._file.records() if record]
        numbering = {"type": "numbering", "step": self._step, "transaction": self._transaction}
        live = {entry.step for entry in self.live()}
        if self._file.replace([numbering, *_needed(records, live)]):
            self._compacted_bytes = self._file.size_bytes
            self.load()


def read(directory: Path, boot_id: str) -> Journal:
    """Return what the journal says now, without holding it; empty where there is none.

    Raises
    ------
    JournalError
        It may not be read, or others could have written it.
    """
    journal = Journal(directory, boot_id, may_write=False)
    journal.load()
    return journal


def _entry(record: dict[str, Any], profile: str) -> Entry:
    kind, name = record["target"]
    return Entry(
        step=int(record["step"]),
        transaction=int(record["transaction"]),
        profile=profile,
        setting=Setting(record["knob"], Target(kind, name), record["value"], record["role"]),
        identity=record["identity"],
        prior=State(record["prior"]["value"], dict(record["prior"]["coupled"])),
        canonical=record["canonical"],
        reason=record["reason"],
        persistence=record["persistence"],
        pid=int(record["pid"]),
        at_unix_seconds=record["unix_seconds"],
        at_boottime_seconds=record["boottime_seconds"],
        undo=tuple(record["undo"]),
    )


def _after(entry: Entry, record: dict[str, Any]) -> Entry:
    """Return a step as it is after a record about it."""
    match record["type"]:
        case "done":
            return replace(entry, got=record["got"], outcome="applied")
        case "undone":
            outcome, by, reason = record["outcome"], "", record["reason"]
        case "released":
            outcome, by, reason = "released", record["by"], ""
        case unknown:
            raise ValueError(f"no such record: {unknown}")
    return replace(
        entry,
        outcome=outcome,
        found=record["found"],
        released_by=by,
        end_reason=reason,
        ended_unix_seconds=record["unix_seconds"],
        ended_boottime_seconds=record["boottime_seconds"],
    )


def _needed(records: list[dict[str, Any]], live: Iterable[int]) -> list[dict[str, Any]]:
    """Return the newest records, and of older ones what they and the live steps speak of."""
    first_new = max(len(records) - _KEPT_RECORDS, 0)
    steps = {*live, *(record["step"] for record in records[first_new:] if "step" in record)}
    intents = [
        record for record in records if record["type"] == "intent" and record["step"] in steps
    ]
    transactions = {record["transaction"] for record in intents}
    pids = {record["pid"] for record in intents}

    def is_needed(record: dict[str, Any]) -> bool:
        if "step" in record:
            return record["step"] in steps
        if record["type"] == "note":
            return record["data"].get("pid") in pids
        return record.get("transaction") in transactions

    return [
        record
        for index, record in enumerate(records)
        if record["type"] != "numbering" and (index >= first_new or is_needed(record))
    ]
