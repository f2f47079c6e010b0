# SPDX-License-Identifier: MIT
"""What came of the tuning, counted, as telemetry and hints show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from resonance_tuning.host import parse_cpus
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Receipt, Setting
from resonanced.model import Tuning

__all__ = ["Ledger"]

_OUTCOMES: Final = ("applied", "already", "restored", "vanished", "conflict-left", "refused")
"""What can become of a write."""
_WORDS: Final = ("kept", "undone", "would", "harm", "no-signal")
_IN_FORCE: Final = frozenset({"applied", "already"})
_EXCLUSIVE: Final = frozenset({"root", "isolated"})
"""Partitions that keep everybody else off their CPUs."""


class Ledger:
    """The books of one run.

    Parameters
    ----------
    requested_mode : str
        What the configuration asks for.

    Attributes
    ----------
    mode : str
        What is in force.
    """

    def __init__(self, requested_mode: str) -> None:
        self.mode = self._requested_mode = requested_mode
        self._reasons: dict[str, str] = {}
        self._profile = ""
        self._knobs: set[str] = set()
        self._live: set[Setting] = set()
        self._writes: Counter[tuple[str, str]] = Counter()
        self._drifts: Counter[str] = Counter()
        self._verdicts: Counter[tuple[str, str]] = Counter()

    def degrade(self, part: str, reason: str) -> None:
        """Turn nothing from now on, because of one part of us."""
        self._reasons[part] = reason
        self.mode = "shadow"

    def recover(self, part: str) -> None:
        """Forget why a part of us was in the way; the mode comes back with the last one."""
        if self._reasons.pop(part, "") and not self._reasons:
            self.mode = self._requested_mode

    def planned(self, plan: Plan) -> None:
        """Take a plan: its knobs are counted from now on, from zero."""
        self._profile = plan.profile
        settings = [change.setting for change in plan.changes]
        settings += [each.setting for each in plan.excluded]
        self._knobs |= {setting.knob for setting in settings}

    def adopt(self, receipts: Iterable[Receipt]) -> None:
        """Take what is in force at the start; nothing was written for it."""
        self._live = {receipt.setting for receipt in receipts}

    def written(self, receipts: Iterable[Receipt]) -> None:
        """Count what became of an apply or an undo."""
        for receipt in receipts:
            self._writes[receipt.setting.knob, receipt.outcome] += 1
            if receipt.outcome in _IN_FORCE and receipt.step:
                self._live.add(receipt.setting)
            elif receipt.outcome != "refused":
                self._live.discard(receipt.setting)

    def drifted(self, receipts: Iterable[Receipt]) -> None:
        """Count what somebody else has changed; it is theirs now."""
        for receipt in receipts:
            self._live.discard(receipt.setting)
            self._drifts[receipt.setting.knob] += 1

    def judged(self, knob: str, word: str) -> None:
        """Count a verdict."""
        self._verdicts[knob, word] += 1

    def tuning(self) -> Tuning:
        """Return the record of all that."""
        knobs = sorted(self._knobs)
        live = Counter(setting.knob for setting in self._live)
        return Tuning(
            mode=self.mode,
            requested_mode=self._requested_mode,
            reason="; ".join(self._reasons.values()),
            profile=self._profile,
            applied={knob: live[knob] for knob in knobs},
            writes={(knob, each): 0 for knob in knobs for each in _OUTCOMES} | self._writes,
            drifts=dict.fromkeys(knobs, 0) | self._drifts,
            verdicts={(knob, word): 0 for knob in knobs for word in _WORDS} | self._verdicts,
            grants=self._grants(),
        )

    def _grants(self) -> dict[str, tuple[int, ...]]:
        """Return the CPUs of cgroups that are partitions through us: nobody else runs there."""
        cpus = {setting.target: setting.value for setting in self._live if setting.knob == "cpuset"}
        return {
            setting.target.name: tuple(sorted(parse_cpus(cpus[setting.target])))
            for setting in self._live
            if setting.knob == "cpuset_partition"
            and setting.value in _EXCLUSIVE
            and setting.target in cpus
        }
