# SPDX-License-Identifier: MIT
"""All of a profile or none, and back again: the one place where kernel writes are ordered.

Apply is journal → write → read back → mark. Undo goes newest first and puts back only what is
still ours: a target that is gone or was made anew, and a value that somebody else wrote, are
told and left alone. An owner who wrote exactly our value cannot be told from us. Which settings
are wanted is for others to say.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

from resonance_tuning.errors import (
    JournalError,
    KnobDriftedError,
    KnobRefusedError,
    KnobUnavailableError,
    TargetVanishedError,
    TuningError,
)
from resonance_tuning.host import Host
from resonance_tuning.journal import Entry, Journal
from resonance_tuning.knob import FileKnob, Knob
from resonance_tuning.records import Change, Outcome, Receipt, Setting, State, Target

__all__ = ["Tuner"]

_log = logging.getLogger(__name__)
_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH})
_OVER: Final = frozenset({"restored", "already", "vanished", "conflict-left"})
"""Outcomes of an undo that leave nothing to try again."""
_ANOTHER: Final = "another stands in its place"
_ITS_PROCESS_ENDED: Final = "it ended with the process that held it"
_Result: TypeAlias = tuple[Outcome, str, str]
"""Outcome, the value that is there, and a word on it."""


class Tuner:
    """Turns knobs and takes them back.

    Parameters
    ----------
    host : Host
    journal : Journal
        Entered, by this process, before anything but `preview` and `verify` is called.
    knobs : mapping of str to Knob
        The knobs that may be turned. One that is missing cannot be undone either, and its
        entries are told with the commands an operator can paste.
    log : callable
        Gets a line for each write of the kernel: the event's name, then as fields the knob,
        target, old and new value, and the reason.
    who : callable
        Says of a knob who else turns it and may have written it; empty for nobody known.
    """

    def __init__(
        self,
        host: Host,
        journal: Journal,
        knobs: Mapping[str, Knob],
        *,
        log: Callable[[str], None] = _log.info,
        who: Callable[[str], str] = lambda _knob: "",
    ) -> None:
        self.host = host
        self.journal = journal
        self.knobs = knobs
        self._log = log
        self._who = who

    def live(self) -> list[Entry]:
        """Return what is still ours to undo, oldest first."""
        return self.journal.live()

    def preview(self, setting: Setting, reason: str) -> Change:
        """Return a setting beside what is there now; changes nothing.

        Raises
        ------
        KnobUnavailableError
            It cannot be made here.
        TargetVanishedError
            Its target is gone.
        """
        knob, target = self._knob(setting.knob), setting.target
        try:
            if why := knob.unavailable(target):
                raise KnobUnavailableError(setting.knob, why)
            prior = knob.read(target)
            return Change(
                setting=setting,
                identity=knob.identity(target),
                prior=prior,
                canonical=knob.canonical(target, setting.value),
                reason=reason,
                undo=knob.commands(target, prior),
            )
        except OSError as error:
            if error.errno in _GONE:
                raise TargetVanishedError(str(target)) from error
            raise KnobUnavailableError(setting.knob, _words(error)) from error

    def apply(self, profile: str, changes: Sequence[Change], reason: str) -> list[Receipt]:
        """Make all changes or none, in this order.

        Returns
        -------
        list of Receipt
            ``applied``, ``already`` where there was nothing to do (and nothing is journalled),
            ``refused`` where only the write could tell that the target has no such setting, or
            ``vanished`` of a process that ended meanwhile, as processes do.

        Raises
        ------
        TuningError
            What went wrong; its `receipts` tell how the changes before it were taken back.
        """
        transaction = 0
        receipts: list[Receipt] = []
        try:
            for change in changes:
                fresh = self._refresh_if_there(change)
                if isinstance(fresh, Receipt):
                    receipts.append(fresh)
                elif fresh.is_needed:
                    transaction = transaction or self.journal.begin(profile, reason)
                    receipts.append(self._make_if_there(fresh))
                else:
                    receipts.append(Receipt(0, change.setting, "already", fresh.prior.value))
            if transaction:
                self.journal.commit(transaction)
        except BaseException as error:
            entries = [entry for entry in self.live() if entry.transaction == transaction]
            back = self._undo_all(entries, f"taken back: {error}")
            if isinstance(error, TuningError):
                error.receipts = tuple(back)
            raise
        return receipts

    def undo(self, steps: Collection[int] | None = None, reason: str = "") -> list[Receipt]:
        """Put steps back, newest first; all live ones unless they are named.

        A step takes newer ones with it that stand on it: of the same surface, or where one is
        coupled to the other's. A failure is told, and the others are put back.
        """
        live = self.live()
        chosen = live if steps is None else self._with_those_upon(live, frozenset(steps))
        return self._undo_all(chosen, reason)

    def recover(self) -> list[Receipt]:
        """Put back what a process left that ended without doing so; idempotent."""
        return self.undo(None, "left by a process that has ended")

    def verify(self) -> list[Receipt]:
        """Say of each live step whether it is as we left it: the value, then the effect.

        Of steps that stand on each other the newest speaks for all.
        """
        live = self.live()
        return [
            self._verify(entry)
            for entry in live
            if not any(self._is_covered(entry, newer) for newer in live)
        ]

    def release_drifted(self) -> list[Receipt]:
        """Verify, and let go of what somebody else changed: theirs stays.

        A value that is still ours but without the effect it should have is put back instead.
        """
        live = {entry.step: entry for entry in self.live()}
        receipts = self.verify()
        return [
            receipt if receipt.outcome == "ok" else self._release(live[receipt.step], receipt)
            for receipt in receipts
        ]

    def _own(self, entry: Entry) -> frozenset[str]:
        """Return the names of an entry's surface: its knob's, and its file's as in `coupled`."""
        name, target = entry.setting.knob, entry.setting.target
        knob = self.knobs.get(name)
        if isinstance(knob, FileKnob):
            with suppress(OSError, TuningError):
                return frozenset({name, knob.path(target).name})
        return frozenset({name})

    def _is_covered(self, entry: Entry, newer: Entry) -> bool:
        """Tell whether a newer step has changed, or changed along, what this one made."""
        if newer.step <= entry.step or newer.setting.target != entry.setting.target:
            return False
        return bool(self._own(entry) & (self._own(newer) | newer.prior.coupled.keys()))

    def _stands_on(self, newer: Entry, entry: Entry) -> bool:
        """Tell whether a newer step found what this one made, beside its value too."""
        is_upon = newer.step > entry.step and newer.setting.target == entry.setting.target
        is_coupled = bool(self._own(newer) & entry.prior.coupled.keys())
        return self._is_covered(entry, newer) or (is_upon and is_coupled)

    def _with_those_upon(self, live: Sequence[Entry], steps: frozenset[int]) -> list[Entry]:
        """Return the steps and all that stand on them, oldest first."""
        chosen = [entry for entry in live if entry.step in steps]
        for entry in live:  # oldest first, so that what stands on one chosen here is reached
            if entry not in chosen and any(self._stands_on(entry, each) for each in chosen):
                chosen.append(entry)
        return sorted(chosen, key=lambda entry: entry.step)

    def _knob(self, name: str) -> Knob:
        try:
            return self.knobs[name]
        except KeyError:
            raise KnobUnavailableError(
                name, "there is no such knob here, or it cannot be loaded"
            ) from None

    def _refresh_if_there(self, change: Change) -> Change | Receipt:
        try:
            return self._refresh(change)
        except TargetVanishedError as error:
            if change.setting.target.kind != "process":
                raise
            return Receipt(0, change.setting, "vanished", reason=error.reason)

    def _refresh(self, change: Change) -> Change:
        """Return the change against what is there at this moment."""
        setting = change.setting
        knob, target = self._knob(setting.knob), setting.target
        try:
            if knob.identity(target) != change.identity:
                raise TargetVanishedError(str(target), _ANOTHER)
            prior = knob.read(target)
            canonical = knob.canonical(target, setting.value)
            undo = knob.commands(target, prior)
        except OSError as error:
            raise _refusal(knob, setting, error) from error
        return Change(setting, change.identity, prior, canonical, change.reason, undo)

    def _make_if_there(self, change: Change) -> Receipt:
        """Make a change, if it turns out that it can be made.

        An interrupt that nobody can move is no reason to take the others back, nor is a process
        that ends.
        """
        try:
            return self._make(change)
        except (KnobUnavailableError, TargetVanishedError) as error:
            (entry,) = self.live()[-1:]
            (receipt,) = self._undo_all([entry], error.reason)
            if receipt.outcome == "already" and isinstance(error, KnobUnavailableError):
                return Receipt(entry.step, change.setting, "refused", receipt.found, error.reason)
            if receipt.outcome == "vanished" and change.setting.target.kind == "process":
                return receipt
            raise

    def _make(self, change: Change) -> Receipt:
        setting, knob = change.setting, self.knobs[change.setting.knob]
        step = self.journal.intent(change, knob.persistence)
        self._tell(setting, change.prior.value, setting.value, change.reason)
        try:
            # Once more: to put the intent on disk takes long enough for a group to be made anew,
            # and what we wrote there nobody would take back.
            if knob.identity(setting.target) != change.identity:
                raise TargetVanishedError(str(setting.target), _ANOTHER)
            knob.write(setting.target, setting.value)
            got = knob.read(setting.target).value
        except OSError as error:
            raise _refusal(knob, setting, error) from error
        self.journal.done(step, got)
        if got != change.canonical:
            raise KnobDriftedError(setting.knob, str(setting.target), setting.value, got)
        return Receipt(step, setting, "applied", got)

    def _undo_all(self, entries: Sequence[Entry], reason: str) -> list[Receipt]:
        receipts = [self._undo(entry, reason) for entry in reversed(entries)]
        open_still = {entry.transaction for entry in self.live()}
        for transaction in sorted({entry.transaction for entry in entries} - open_still):
            self._mark(partial(self.journal.end, transaction))
        return receipts

    def _undo(self, entry: Entry, reason: str) -> Receipt:
        outcome, found, why = self._try_to_put_back(entry, reason)
        if outcome in _OVER:
            unmarked = self._mark(partial(self.journal.undone, entry.step, outcome, found, reason))
            why = "; ".join(filter(None, (why, unmarked)))
        commands = entry.undo if outcome in {"refused", "conflict-left"} else ()
        return Receipt(entry.step, entry.setting, outcome, found, why, commands)

    def _try_to_put_back(self, entry: Entry, reason: str) -> _Result:
        try:
            return self._put_back(entry, reason)
        except TargetVanishedError as error:
            return "vanished", "", error.reason
        except Exception as error:  # noqa: BLE001 the others must be put back, whatever this is
            gone = isinstance(error, OSError) and error.errno in _GONE
            return ("vanished" if gone else "refused"), "", _words(error)

    def _put_back(self, entry: Entry, reason: str) -> _Result:
        target, prior = entry.setting.target, entry.prior
        if entry.persistence == "process" and entry.pid != os.getpid():
            return "already", prior.value, _ITS_PROCESS_ENDED
        knob = self._knob(entry.setting.knob)
        if knob.identity(target) != entry.identity:
            return "vanished", "", _ANOTHER
        found = knob.read(target)
        if found == prior:
            return "already", found.value, ""
        if found.value != prior.value and not knob.is_ours(target, found.value, entry.ours):
            if self._is_older_prior(entry, found.value):
                return "already", found.value, "an older step's value is back"
            return "conflict-left", found.value, f"it was {prior.value!r}"
        self._tell(entry.setting, found.value, prior.value, reason)
        knob.restore(target, prior)
        return _result(knob, entry, knob.read(target))

    def _is_older_prior(self, entry: Entry, value: str) -> bool:
        """Tell whether an older live step of the same surface found this value.

        It is so where an undo was not marked for want of room.
        """
        return any(
            older.prior.value == value
            for older in self.live()
            if older.step < entry.step and _surface(older) == _surface(entry)
        )

    def _verify(self, entry: Entry) -> Receipt:
        try:
            outcome, found, why = self._compare(entry)
        except TargetVanishedError as error:
            outcome, found, why = "vanished", "", error.reason
        except (OSError, KnobUnavailableError) as error:
            outcome, found, why = "refused", "", _words(error)
        commands = () if outcome in {"ok", "vanished"} else entry.undo
        return Receipt(entry.step, entry.setting, outcome, found, why, commands)

    def _compare(self, entry: Entry) -> _Result:
        target = entry.setting.target
        if entry.persistence == "process" and entry.pid != os.getpid():
            if self.host.path(f"/proc/{entry.pid}").exists():
                return "ok", "", f"held by pid {entry.pid}"
            return "vanished", "", _ITS_PROCESS_ENDED
        knob = self._knob(entry.setting.knob)
        if knob.identity(target) != entry.identity:
            return "vanished", "", _ANOTHER
        found = knob.look(target)
        if found not in {entry.canonical, entry.got}:
            return "drifted", found, f"we left {entry.got or entry.canonical!r}"
        why = knob.contradiction(target, entry.setting.value)
        return ("drifted" if why else "ok"), found, why

    def _release(self, entry: Entry, receipt: Receipt) -> Receipt:
        if receipt.outcome == "refused":
            return receipt
        target, found = entry.setting.target, receipt.found
        knob = self._knob(entry.setting.knob)
        was_cut_off = entry.outcome is None  # its process ended, perhaps before the write
        if was_cut_off or receipt.outcome == "vanished" or knob.is_ours(target, found, entry.ours):
            return self._undo(entry, receipt.reason)
        if found == entry.prior.value:  # its owner put it back; what is coupled to it is our debt
            self._try_to_put_back(entry, receipt.reason)
        by = self._who(entry.setting.knob)
        for each in self.live():
            if _surface(each) == _surface(entry) and not knob.is_ours(target, found, each.ours):
                self._mark(partial(self.journal.released, each.step, by, found))
        why = "; ".join(filter(None, (receipt.reason, by and f"{by} runs, which turns it too")))
        return Receipt(entry.step, entry.setting, "released", found, why)

    def _mark(self, write: Callable[[], None]) -> str:
        """Write a record that no kernel write waits for; return why it could not be."""
        try:
            write()
        except JournalError as error:
            return f"not marked in the journal: {error}"
        return ""

    def _tell(self, setting: Setting, old: str, new: str, reason: str) -> None:
        what = f"knob={setting.knob} target={str(setting.target)!r} old={old!r} new={new!r}"
        self._log(f"kernel_write {what} reason={reason!r}")


def _surface(entry: Entry) -> tuple[str, Target]:
    return entry.setting.knob, entry.setting.target


def _result(knob: Knob, entry: Entry, after: State) -> _Result:
    """Judge what is there once the prior state was put back."""
    target, prior = entry.setting.target, entry.prior
    if after == prior:
        return "restored", after.value, ""
    if after.value not in {prior.value, knob.canonical(target, prior.value)}:
        return "refused", after.value, f"put {prior.value!r} back, found {after.value!r}"
    if others := knob.unsettled(target, prior, after):
        return "conflict-left", after.value, others
    if after.value == prior.value:
        return "restored", after.value, ""
    return "restored", after.value, f"it was {prior.value!r}, which cannot be had now"


def _refusal(knob: Knob, setting: Setting, error: OSError) -> TuningError:
    target, number = str(setting.target), error.errno or errno.EIO
    if number in _GONE:
        return TargetVanishedError(target)
    needed = number == errno.EPERM and ", ".join(sorted(knob.capabilities))
    hint = f"it needs {needed}" if needed else ""
    return KnobRefusedError(knob.name, target, setting.value, number, hint)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
