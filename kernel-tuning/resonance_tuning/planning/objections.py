# SPDX-License-Identifier: MIT
"""What stands against a setting, before its knob is asked?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from resonance_tuning.journal import Journal
from resonance_tuning.knob import Knob
from resonance_tuning.planning.groups import Groups
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.other_tuners import detect
from resonance_tuning.planning.protection import container_reason, throttling
from resonance_tuning.records import Setting, Target
from resonance_tuning.settings import TuningSettings

__all__ = ["OPT_IN", "Objections"]

OPT_IN: Final = frozenset({"cpu_dma_latency", "realtime"})
"""Knobs that are turned only where the configuration allows them by name."""

_MAX_RELEASES: Final = 3
_FIRST_RUNG_OF_CPUS: Final = 3


class Objections:
    """Reasons that hold for this host, this configuration and this moment.

    Parameters
    ----------
    inventory : Inventory
    groups : Groups
    settings : TuningSettings
    knobs : mapping of str to Knob
    journal : Journal
        What has been released, and when.
    is_held : bool
        Whether the process that applies stays.
    cool_down_seconds : float
        Rest of a knob after its first release; each further one doubles it.
    now_boottime_seconds : float

    Attributes
    ----------
    everywhere : str
        What stands against everything, or nothing.
    others : tuple of OtherTuner
        Who else tunes this host.
    """

    def __init__(
        self,
        inventory: Inventory,
        groups: Groups,
        settings: TuningSettings,
        knobs: Mapping[str, Knob],
        journal: Journal,
        *,
        is_held: bool,
        cool_down_seconds: float,
        now_boottime_seconds: float,
    ) -> None:
        sysctls = [name for name, knob in knobs.items() if knob.scope == "namespace"]
        self.everywhere = container_reason(inventory.host)
        self.others = detect(inventory.host, inventory.processes, sysctls)
        self._throttled = dict(_throttled(inventory, groups))
        self._is_for_somebody = bool(groups.latency_critical)
        self._settings = settings
        self._knobs = knobs
        self._journal = journal
        self._is_held = is_held
        self._cool_down_seconds = cool_down_seconds
        self._now = now_boottime_seconds

    def to(self, setting: Setting) -> str:
        """Return the first reason against a setting, or nothing."""
        return next(self._all(setting), "")

    def _all(self, setting: Setting) -> Iterator[str]:
        name, target = setting.knob, setting.target
        if self.everywhere:
            yield self.everywhere
        if name in self._settings.refuse:
            yield "refused by tuning.refuse"
        if name in OPT_IN and name not in self._settings.allow:
            yield f'only turned where tuning.allow names "{name}"'
        if self._knobs[name].persistence == "process" and not self._is_held:
            yield "it lasts as long as the process that holds it: let the service apply it"
        if not self._is_for_somebody and self._sets_cpus_apart(setting):
            yield "nobody latency-critical is here, for whom CPUs would be kept free"
        for other in self.others:
            if name in other.knobs:
                yield f"left to {other}: {other.advice}"
        if setting.role == "latency_critical" and target in self._throttled:
            yield self._throttled[target]
        reason = self._rest(setting)
        if reason:
            yield reason

    def _sets_cpus_apart(self, setting: Setting) -> bool:
        is_far_up = self._knobs[setting.knob].rung >= _FIRST_RUNG_OF_CPUS
        return setting.role == "host" or (setting.role == "batch" and is_far_up)

    def _rest(self, setting: Setting) -> str:
        """Return why a knob that somebody took back is left alone for now."""
        releases = self._journal.releases(setting.knob, setting.target)
        if not releases or self._is_in_force(setting) or self._settings.reclaim:
            return ""
        last = releases[-1]
        who = f"{last.released_by or 'somebody else'} set it to {last.found!r}"
        if len(releases) >= _MAX_RELEASES:
            return f"{who}, the third time or more: theirs, unless tuning.reclaim = true"
        rest = self._cool_down_seconds * 2 ** (len(releases) - 1)
        left = last.ended_boottime_seconds + rest - self._now
        return f"{who}: left alone for {left / 60:.0f} more minutes" if left > 0 else ""

    def _is_in_force(self, setting: Setting) -> bool:
        wanted = (setting.knob, setting.target)
        live = self._journal.live()
        return any((entry.setting.knob, entry.setting.target) == wanted for entry in live)


def _throttled(inventory: Inventory, groups: Groups) -> Iterator[tuple[Target, str]]:
    for target in groups.latency_critical:
        reason = throttling(inventory.host, target.name) if target.kind == "cgroup" else ""
        if reason:
            yield target, reason
            yield Target("unit", inventory.unit(target.name)), reason
