# SPDX-License-Identifier: MIT
"""Which knob is next? The least invasive one that may help, and why a better one is not.

The order is the plan's. A step is one knob on all its targets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

from resonance_tuning.guard import Guard
from resonance_tuning.host import parse_cpus
from resonance_tuning.knob import Knob
from resonance_tuning.planning.planner import Plan
from resonance_tuning.records import Setting
from resonance_tuning.trials import transport
from resonance_tuning.trials.evidence import Kind
from resonance_tuning.trials.limits import Limits
from resonance_tuning.trials.trial import Step
from resonance_tuning.trials.view import View

__all__ = ["Ladder", "Mode", "cpus_given"]

Mode = Literal["shadow", "adaptive", "active"]

_ADAPTIVE_RUNG: Final = 2
"""The highest that is taken without the operator having asked for all of a profile."""
_RESERVING_RUNG: Final = 3
"""From here on CPUs, and what runs on them, are set apart whether they are used or not."""
_CPU_LISTS: Final = frozenset({"cpuset", "unit_allowed_cpus"})
_CONGESTION: Final = frozenset({"congestion_control", "route_congestion", "tcp_congestion_control"})


class Ladder:
    """A plan's changes as steps.

    Parameters
    ----------
    plan : Plan
    mode : {"shadow", "adaptive", "active"}
    kinds : dict of str to type of Knob
        Tells rung and evidence of each knob.
    limits : Limits
        Knows what rests.

    Attributes
    ----------
    refusals : dict of str to str
        By knob: why it was passed over when the last step was chosen, though it was its turn.
    """

    def __init__(
        self, plan: Plan, mode: Mode, kinds: Mapping[str, type[Knob]], limits: Limits
    ) -> None:
        self.plan = plan
        self._mode, self._kinds, self._limits = mode, kinds, limits
        self.refusals: dict[tuple[Setting, ...], str] = {}

    def next_step(
        self, now_seconds: float, kind: Kind, view: View, live: Collection[Setting]
    ) -> Step | None:
        """Return the next step for a breach of this kind, or nothing where none is left."""
        self.refusals = {}
        for knob, settings in self._knobs(kind).items():
            able = [
                setting
                for setting in settings
                if setting not in live and not self._limits.is_resting(now_seconds, setting)
            ]
            fitting = tuple(setting for setting in able if not self._refuses(setting, view))
            if fitting:
                return Step(knob, kind, fitting)
            if able:
                self.refusals[tuple(able)] = self._refuses(able[0], view)
        return None

    def is_reserving(self, step: Step) -> bool:
        """Whether a step takes something from others even while nobody needs it.

        A weight, an idle class or a congestion control does not: without contention it is as if
        it were not there. CPUs that were set apart are missed by others all the time.
        """
        traits = self._kinds[step.knob]
        return traits.evidence == "runqueue" and traits.rung >= _RESERVING_RUNG

    def _knobs(self, kind: Kind) -> dict[str, list[Setting]]:
        knobs: dict[str, list[Setting]] = {}
        for change in self.plan.changes:
            traits = self._kinds[change.setting.knob]
            is_in_reach = self._mode != "adaptive" or traits.rung <= _ADAPTIVE_RUNG
            if change.is_needed and traits.evidence == kind and is_in_reach:
                knobs.setdefault(change.setting.knob, []).append(change.setting)
        return knobs

    def _refuses(self, setting: Setting, view: View) -> str:
        guard = self.plan.guard
        if setting.knob in _CONGESTION:
            return _wrong_path(setting, view, guard)
        given = cpus_given([setting])
        if given and view.busy_cpus is not None:
            return _too_narrow(view.busy_cpus, given, guard)
        return ""


def _wrong_path(setting: Setting, view: View, guard: Guard) -> str:
    """Judge by the paths of the cgroup that is meant; of a route or namespace, by the worst."""
    is_measured = setting.target.kind == "cgroup" and setting.target.name in view.windows
    name = setting.target.name if is_measured else view.worst("srtt")
    if name not in view.paths:
        return f"{name or 'nobody'}: too few segments to tell its paths"
    if view.loads["srtt"][name] <= 1.0:
        return f"{name}: its paths neither queue nor lose"
    now, shortest_seconds = view.paths[name]
    reason = transport.why_not(now, shortest_seconds, guard)
    return f"{name}: {reason}" if reason else ""


def _too_narrow(busy_cpus: float, given: int, guard: Guard) -> str:
    if busy_cpus <= guard.max_utilisation_ratio * given:
        return ""
    return f"the latency-critical groups keep {busy_cpus:.1f} CPUs busy; they would get {given}"


def cpus_given(settings: Collection[Setting]) -> int:
    """Return how many CPUs these settings leave the latency-critical groups; 0 if all."""
    given: set[int] = set()
    for setting in settings:
        if setting.knob in _CPU_LISTS and setting.role == "latency_critical":
            given |= parse_cpus(setting.value)
    return len(given)
