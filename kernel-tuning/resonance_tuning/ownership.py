# SPDX-License-Identifier: MIT
"""Whose is a change that is still in force: a dead service's, or the operator's own?

What the service turned is put back when it is gone, however it went. What an operator
applied by hand stays until they roll back, and so does what a service was told to keep.
Every process that writes the journal says in a note which of these it is.
"""

from __future__ import annotations

import os
from typing import Final, Literal

from resonance_tuning.journal import Entry, Journal

__all__ = ["note_owner", "steps_left_by_services"]

_NOTE: Final = "owner"


def note_owner(journal: Journal, *, at_end: Literal["restore", "keep"]) -> None:
    """Write down what becomes of this process's changes when it is gone."""
    journal.note(_NOTE, {"pid": os.getpid(), "at_end": at_end})


def steps_left_by_services(journal: Journal) -> set[int]:
    """Return the live steps that nobody is there any more to put back.

    Whoever calls holds the journal's lock, so every other process that wrote it is gone.
    """
    notes = journal.notes(_NOTE)
    return {
        entry.step
        for entry in journal.live()
        if entry.pid != os.getpid() and _at_end(entry, notes) == "restore"
    }


def _at_end(entry: Entry, notes: list[tuple[float, dict[str, object]]]) -> object:
    """Return what the writer of an entry said; a number of a process may come again."""
    own = [(at, data["at_end"]) for at, data in notes if data["pid"] == entry.pid]
    before = [at_end for at, at_end in own if at <= entry.at_unix_seconds]
    # A clock that was set back must not hide the note.
    return before[-1] if before else own[0][1] if own else "restore"
