# SPDX-License-Identifier: MIT
"""Whose is a change that is still in force: a dead service's, or the operator's own?

What the service turned is put back when it is gone, however it went. What an operator
applied by hand stays until they roll back, and so does what a service was told to keep.
Every process that writes the journal says in a note which of these it is.
"""

from __future__ import annotations

import os
from typing import Any, Final, Literal

from resonance_tuning.journal import Entry, Journal

__all__ = ["OWNER_NOTE", "note_owner", "steps_left_by_services"]

OWNER_NOTE: Final = "owner"
"""Kind of the note; whoever drives a process that writes may not write it."""


def note_owner(journal: Journal, *, at_end: Literal["restore", "keep"]) -> None:
    """Write down what becomes of this process's changes when it is gone."""
    last_step = max((entry.step for entry in journal.entries()), default=0)
    journal.note(OWNER_NOTE, {"pid": os.getpid(), "at_end": at_end, "after_step": last_step})


def steps_left_by_services(journal: Journal) -> set[int]:
    """Return the live steps that nobody is there any more to put back.

    Whoever calls holds the journal's lock and has changed nothing yet, so every process that
    did is gone.
    """
    notes = [data for _, data in journal.notes(OWNER_NOTE)]
    return {entry.step for entry in journal.live() if _at_end(entry, notes) == "restore"}


def _at_end(entry: Entry, notes: list[dict[str, Any]]) -> str:
    """Return what the writer of an entry said before it; its number may have come again.

    By the order in the journal: a clock can be set back.
    """
    own = [data for data in notes if data["pid"] == entry.pid and data["after_step"] < entry.step]
    return own[-1]["at_end"] if own else "restore"
