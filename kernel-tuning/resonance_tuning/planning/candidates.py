# SPDX-License-Identifier: MIT
"""Which settings does a profile ask for on this host? All of them, whether or not they may be.

On a host that systemd runs, a unit's cgroup is systemd's: its weight and CPUs are asked for
over D-Bus, by the knobs of units, and its files are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from resonance_tuning.errors import ProfileError, RequirementError
from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.planning.groups import Groups
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.placement import Placement, place
from resonance_tuning.planning.profiles import Profile, Value, fill, needs_placement
from resonance_tuning.records import HOST, Excluded, Role, Setting, Target
from resonance_tuning.settings import TuningSettings

__all__ = ["Candidates"]

_OF_UNITS: Final = {
    "cpu_weight": "unit_cpu_weight",
    "cpu_idle": "unit_cpu_weight",
    "cpuset": "unit_allowed_cpus",
}
"""The knob of a unit that stands for one of a cgroup."""
_NOT_OF_UNITS: Final = frozenset({"cpuset_partition"})


class Candidates:
    """The settings of a profile on a host.

    Parameters
    ----------
    inventory : Inventory
    knobs : mapping of str to Knob
    settings : TuningSettings
    profile : Profile
    groups : Groups
    """

    def __init__(
        self,
        inventory: Inventory,
        knobs: Mapping[str, Knob],
        settings: TuningSettings,
        profile: Profile,
        groups: Groups,
    ) -> None:
        self._inventory = inventory
        self._knobs = knobs
        self._profile = profile
        self._groups = groups
        self._network = settings.network
        self._placement = _place(inventory.host, settings, profile.name)

    def settings(self) -> Iterator[Setting | Excluded]:
        """Yield each setting once; excluded ones cannot be had whoever asks.

        Raises
        ------
        ProfileError
            A knob does not take a value.
        """
        found: dict[tuple[str, Target], Setting | Excluded] = {}
        for role, values in self._profile.settings.items():
            for name, value in values.items():
                for each in self._of_knob(role, name, value):
                    setting = each.setting if isinstance(each, Excluded) else each
                    found[setting.knob, setting.target] = each
        yield from found.values()

    def notes(self) -> Iterator[str]:
        """Yield which CPUs are whose, and which knobs find nobody to be turned on."""
        values = [value for role in self._profile.settings.values() for value in role.values()]
        if isinstance(self._placement, Placement) and any(map(needs_placement, values)):
            cpus = self._placement.variables
            yield (
                f"CPUs: {cpus['housekeeping_cpus']} for everybody, "
                f"{cpus['latency_critical_cpus']} for the latency-critical, "
                f"{cpus['batch_cpus']} for batch"
            )
        for role, knobs in self._profile.settings.items():
            targets = self._targets(role)
            names = [name for name in knobs if not self._knobs[name].targets(targets)]
            if names and (targets or role == "network"):
                kinds = sorted({self._knobs[name].scope for name in names})
                yield f"{role}: no {' or '.join(kinds)} is named for {', '.join(names)}"

    def _of_knob(self, role: Role, name: str, raw: Value) -> Iterator[Setting | Excluded]:
        value, reason = self._fill(raw)
        targets = self._targets(role)
        units = [target for target in targets if self._unit(target)] if name in _OF_UNITS else []
        plain = [target for target in targets if target not in units]
        text = str(value) if reason else self._parse(role, name, value)
        for target in self._knobs[name].targets(plain):
            setting = Setting(name, target, text, role)
            yield Excluded(setting, reason) if reason else self._permitted(setting)
        for target in units if name != "cpu_idle" or value else ():
            setting = self._of_unit(role, name, value, target, is_known=not reason)
            yield Excluded(setting, reason) if reason else setting
        for refusal in self._groups.refusals:
            if refusal.role == role and refusal.target.kind == self._knobs[name].scope:
                yield Excluded(Setting(name, refusal.target, text, role), refusal.reason)

    def _fill(self, raw: Value) -> tuple[Value, str]:
        """Return a value with the host's CPUs put in, or why they cannot be."""
        if isinstance(self._placement, str):
            return raw, self._placement if needs_placement(raw) else ""
        return fill(raw, dict(self._placement.variables)), ""

    def _permitted(self, setting: Setting) -> Setting | Excluded:
        unit = self._unit(setting.target)
        if unit and setting.knob in _NOT_OF_UNITS:
            reason = f"the cgroup of {unit} is systemd's, which has no such property"
            return Excluded(setting, reason)
        return setting

    def _of_unit(
        self, role: Role, name: str, value: Value, target: Target, *, is_known: bool
    ) -> Setting:
        knob = _OF_UNITS[name]
        wanted = "idle" if name == "cpu_idle" else value
        text = self._parse(role, knob, wanted, key=name) if is_known else str(value)
        return Setting(knob, Target("unit", self._unit(target)), text, role)

    def _unit(self, target: Target) -> str:
        return self._inventory.unit(target.name) if target.kind == "cgroup" else ""

    def _targets(self, role: Role) -> list[Target]:
        if role == "host":
            return [HOST, *self._devices()]  # interrupts are looked up by their knob
        found = list(self._groups.of(role))
        if role == "network":
            found += [Target("route", name) for name in self._network.routes]
            found += [
                Target("namespace", "" if name == "self" else name)
                for name in self._network.namespaces
            ]
            return [*found, *self._devices()]
        units = {self._unit(target) for target in found} - {""}
        return [*found, *(Target("unit", name) for name in sorted(units))]

    def _devices(self) -> Iterable[Target]:
        return [Target("device", name) for name in self._network.devices]

    def _parse(self, role: Role, name: str, value: Value, *, key: str = "") -> str:
        try:
            return self._knobs[name].parse(value)
        except ValueError as error:
            path = f"{role}.{key or name}"
            raise ProfileError(self._profile.origins[path], path, str(error)) from error


def _place(host: Host, settings: TuningSettings, profile: str) -> Placement | str:
    """Return who gets which CPUs, or why they are not divided."""
    try:
        return place(
            host,
            latency_critical_cpus=settings.latency_critical_cpus or None,
            min_housekeeping=settings.min_housekeeping_cpus,
            profile=profile,
        )
    except RequirementError as error:
        return f"CPUs cannot be set apart: {error.requirement} needed, found {error.found}"
