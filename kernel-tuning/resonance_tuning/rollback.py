# SPDX-License-Identifier: MIT
"""Put everything back that a journal holds, with whatever is left of us.

A full or read-only disk costs the marks, not the values; a knob that cannot be loaded costs its
own entries, whose receipts say what to paste.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Final

from resonance_tuning.errors import JournalError
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal, read
from resonance_tuning.knob import Knob
from resonance_tuning.ownership import steps_left_by_services
from resonance_tuning.records import Receipt
from resonance_tuning.tuner import Tuner

__all__ = ["roll_back"]

_KNOBS: Final = "resonance_tuning.knobs"
_GONE: Final = "the service that made it is gone"


def roll_back(
    directory: Path, host: Host, *, left_by_services: bool = False
) -> tuple[list[Receipt], str]:
    """Put back all that the journal of this boot holds.

    Parameters
    ----------
    left_by_services : bool
        Only what a service changed that is gone; what an operator applied by hand stays, and
        what a service was told to keep.

    Returns
    -------
    receipts : list of Receipt
    damage : str
        Why the journal cannot be trusted wholly; empty when it can.

    Raises
    ------
    JournalError
        It may not be read, or a running process holds it.
    """
    if not os.path.lexists(directory):
        return [], ""
    known = read(directory, host.boot_id)
    with ExitStack() as stack:
        journal = _hold(stack, directory, host.boot_id, has_marks=bool(known.live()))
        receipts: list[Receipt] = []
        steps = steps_left_by_services(journal) if left_by_services else None
        if journal.live() and steps != set():
            tuner = Tuner(host, journal, _load_knobs(host))
            receipts = tuner.recover() if steps is None else tuner.undo(steps, _GONE)
        return receipts, str(journal.damage or "")


def _hold(stack: ExitStack, directory: Path, boot_id: str, *, has_marks: bool) -> Journal:
    """Hold the journal; where the disk is full or read-only, without marking what is undone."""
    if has_marks:
        try:
            return stack.enter_context(Journal(directory, boot_id))
        except JournalError as error:
            if not isinstance(error.__cause__, OSError):
                raise
    return stack.enter_context(Journal(directory, boot_id, may_write=False))


def _load_knobs(host: Host) -> dict[str, Knob]:
    try:
        from resonance_tuning.knobs import make_knobs

        return make_knobs(host)
    except Exception:  # noqa: BLE001 a broken knob must not keep the others from being undone
        return {knob.name: knob for knob in _load_one_by_one(host)}


def _load_one_by_one(host: Host) -> Iterator[Knob]:
    """Make every knob that can be made; their package may be what is broken."""
    package = ModuleType(_KNOBS)
    package.__path__ = [str(Path(__file__).with_name("knobs"))]
    sys.modules[_KNOBS] = package
    for module in pkgutil.iter_modules(package.__path__, f"{_KNOBS}."):
        with suppress(Exception):
            importlib.import_module(module.name)
    for kind in _kinds(Knob):  # type: ignore[type-abstract]
        if hasattr(kind, "name") and not isabstract(kind):
            with suppress(Exception):
                yield kind(host)


def _kinds(kind: type[Knob]) -> Iterator[type[Knob]]:
    for narrower in kind.__subclasses__():
        yield narrower
        yield from _kinds(narrower)
