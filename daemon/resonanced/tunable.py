# SPDX-License-Identifier: MIT
"""What of this host could be tuned, what not, and why? For ``resonanced check``; reads only.

A knob is asked about the targets this host has until one says yes: whether it may be turned on
those that are named is `plan`'s to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from resonance_tuning.errors import RequirementError, TuningError
from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.planning import profiles
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.objections import OPT_IN
from resonance_tuning.planning.other_tuners import OtherTuner, detect
from resonance_tuning.planning.protection import container_reason
from resonance_tuning.planning.requirements import demand
from resonance_tuning.records import HOST, Target, TargetKind
from resonance_tuning.settings import TuningSettings

__all__ = ["Reach", "Tunables", "survey"]

_MOST_ASKED: Final = 64
"""Targets a knob is asked about at most: what so many lack, the kernel does not have."""

_NOT_ROOT: Final = "only root may tune, and can tell what could be: run it with sudo"


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether one knob can be turned anywhere on this host.

    Attributes
    ----------
    knob, scope : str
    rung : int
    is_there : bool
    reason : str
        Why it is not, or is not turned all the same.
    """

    knob: str
    scope: TargetKind
    rung: int
    is_there: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Tunables:
    """What can be tuned here.

    Attributes
    ----------
    everywhere : str
        What stands against all of it, or nothing.
    others : tuple of OtherTuner
        Who else tunes this host.
    reaches : tuple of Reach
        None are asked where something stands against all of it.
    unmet : str
        What the profile requires and this host has not, or nothing.
    """

    everywhere: str
    others: tuple[OtherTuner, ...]
    reaches: tuple[Reach, ...]
    unmet: str = ""


def survey(host: Host, settings: TuningSettings, knobs: Mapping[str, Knob]) -> Tunables:
    """Ask each knob, and who else there is.

    Raises
    ------
    ProfileError
        The configured profile is wrong.
    """
    inventory = Inventory(host)
    sysctls = [name for name, knob in knobs.items() if knob.scope == "namespace"]
    others = detect(host, inventory.processes, sysctls)
    everywhere = container_reason(host) or ("" if os.geteuid() == 0 else _NOT_ROOT)
    reaches = [] if everywhere else [_reach(knob, inventory, settings) for knob in knobs.values()]
    return Tunables(everywhere, others, tuple(reaches), _unmet(host, settings, knobs))


def _unmet(host: Host, settings: TuningSettings, knobs: Mapping[str, Knob]) -> str:
    scopes: dict[str, TargetKind] = {name: knob.scope for name, knob in knobs.items()}
    places = profiles.directories(settings.profiles_directory)
    profile = profiles.load(settings.profile, places, scopes=scopes)
    try:
        demand(host, profile.name, profile.requirements)
    except RequirementError as error:
        return f"{error}"
    return ""


def _reach(knob: Knob, inventory: Inventory, settings: TuningSettings) -> Reach:
    reason = _missing(knob, inventory)
    is_there = not reason
    if knob.name in settings.refuse:
        reason = reason or "refused by tuning.refuse"
    elif knob.name in OPT_IN and knob.name not in settings.allow:
        reason = reason or "only turned where tuning.allow names it"
    return Reach(knob.name, knob.scope, knob.rung, is_there, reason)


def _missing(knob: Knob, inventory: Inventory) -> str:
    """Return why no target takes it, or nothing."""
    reasons: list[str] = []
    for target in islice(_targets(knob, inventory), _MOST_ASKED):
        reason = _unavailable(knob, target)
        if not reason:
            return ""
        reasons.append(reason)
    if not reasons or (knob.scope == "cgroup" and len(reasons) == 1):
        return f"there is no {knob.scope} here to turn it on"
    # Of several the last one is meant: the first is of the root group, or of ourselves.
    return f"no {knob.scope} here takes it: {reasons[-1]}" if len(reasons) > 1 else reasons[0]


def _unavailable(knob: Knob, target: Target) -> str:
    try:
        return knob.unavailable(target)
    except (OSError, TuningError) as error:
        return f"{error}"


def _targets(knob: Knob, inventory: Inventory) -> Iterator[Target]:
    """Yield what there is of a knob's kind; of some kinds one stands for all."""
    match knob.scope:
        case "cgroup":
            # The root group is never turned, and shows what only needs the hierarchy.
            yield from knob.targets(_all("cgroup", ["/", *sorted(inventory.cgroups)]))
        case "process":
            # Ours may be turned but for its autogroup: another session's then.
            pids = (os.getpid(), *inventory.processes.all)
            yield from knob.targets(_all("process", map(str, islice(pids, _MOST_ASKED))))
        case "unit":
            units = {inventory.unit(path) for path in inventory.cgroups} - {""}
            yield from _all("unit", units or {"none.service"})
        case "device":
            devices = inventory.host.path("/sys/class/net").glob("*")
            yield from knob.targets(_all("device", sorted(device.name for device in devices)))
        case "route":
            yield from _all("route", ["default"])
        case "namespace":
            yield from _all("namespace", [""])
        case "interrupt" | "host":
            yield from knob.targets([HOST])


def _all(kind: TargetKind, names: Iterable[str]) -> list[Target]:
    return [Target(kind, name) for name in names]
