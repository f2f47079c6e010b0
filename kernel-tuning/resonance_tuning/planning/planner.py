# SPDX-License-Identifier: MIT
"""What would a profile change on this host, what not, and why?

It reads and never writes. Whatever stands against a setting is told in the words an operator
can act on; what remains is put beside what is there now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from resonance_tuning.errors import KnobUnavailableError, ProfileError, TargetVanishedError
from resonance_tuning.guard import Guard
from resonance_tuning.host import Host
from resonance_tuning.journal import Journal
from resonance_tuning.knob import Knob
from resonance_tuning.planning.candidates import Candidates
from resonance_tuning.planning.groups import find_groups
from resonance_tuning.planning.matching import Inventory
from resonance_tuning.planning.objections import Objections
from resonance_tuning.planning.profiles import directories, load
from resonance_tuning.planning.protection import Protection
from resonance_tuning.planning.reasons import reason_of
from resonance_tuning.planning.requirements import demand
from resonance_tuning.records import Change, Excluded, Role, Setting, Target, TargetKind
from resonance_tuning.settings import TuningSettings
from resonance_tuning.tuner import Tuner

__all__ = ["Plan", "plan"]

_ROLES: Final[tuple[Role, ...]] = ("latency_critical", "batch", "network", "host")
"""Whoever is given more comes before whoever is given less."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a profile comes to on this host.

    Attributes
    ----------
    profile : str
    changes : tuple of Change
        In the order they are made: up the ladder, and whoever is given more before whoever
        is given less. Those that are there already are among them.
    excluded : tuple of Excluded
        What the profile asks for and is not done, and why.
    notes : tuple of str
        What an operator should know besides.
    latency_critical, batch : tuple of str
        Paths of their cgroups.
    on_stop : {"restore", "keep"}
    guard : Guard
    """

    profile: str
    changes: tuple[Change, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    latency_critical: tuple[str, ...]
    batch: tuple[str, ...]
    on_stop: Literal["restore", "keep"]
    guard: Guard


def plan(
    host: Host,
    settings: TuningSettings,
    knobs: Mapping[str, Knob],
    *,
    journal: Journal | None,
    held: bool,
    now_boottime_seconds: float,
) -> Plan:
    """Return what the configured profile would change here, and what not.

    Parameters
    ----------
    journal : Journal or None
        What has been changed and released; None where nothing has.
    held : bool
        Whether the process that applies it stays: what lasts as long as its process is left
        out otherwise.
    now_boottime_seconds : float
        Of the clock of the journal's times.

    Raises
    ------
    ProfileError
        The profile or the configuration of it is wrong.
    RequirementError
        This host is none the profile is for.
    """
    scopes: dict[str, TargetKind] = {name: knob.scope for name, knob in knobs.items()}
    profile = load(settings.profile, directories(settings.profiles_directory), scopes=scopes)
    _check_names(settings, knobs)
    demand(host, profile.name, profile.requirements)
    inventory = Inventory(host)
    groups = find_groups(inventory, Protection(inventory, os.getpid()), settings, profile)
    journal = journal or Journal(Path(settings.journal_directory), host.boot_id)
    objections = Objections(
        inventory,
        groups,
        settings,
        knobs,
        journal,
        is_held=held,
        cool_down_seconds=profile.guard.cool_down_seconds,
        now_boottime_seconds=now_boottime_seconds,
    )
    candidates = Candidates(inventory, knobs, settings, profile, groups)
    preview = Tuner(host, journal, knobs).preview
    judged = [
        each if isinstance(each, Excluded) else _judge(each, objections, preview, knobs)
        for each in candidates.settings()
    ]
    changes = [each for each in judged if isinstance(each, Change)]
    return Plan(
        profile=profile.name,
        changes=tuple(_with_first_undo(journal, change) for change in _ordered(changes, knobs)),
        excluded=tuple(each for each in judged if isinstance(each, Excluded)),
        notes=(*_notes(objections), *groups.notes, *candidates.notes()),
        latency_critical=_paths(groups.latency_critical),
        batch=_paths(groups.batch),
        on_stop=profile.on_stop or settings.on_stop,
        guard=profile.guard,
    )


def _check_names(settings: TuningSettings, knobs: Mapping[str, Knob]) -> None:
    for key, names in {"allow": settings.allow, "refuse": settings.refuse}.items():
        unknown = [name for name in names if name not in knobs]
        if unknown:
            reason = f"there is no knob {unknown[0]}; there are: {', '.join(sorted(knobs))}"
            raise ProfileError("configuration", f"tuning.{key}", reason)


def _judge(
    setting: Setting,
    objections: Objections,
    preview: Callable[[Setting, str], Change],
    knobs: Mapping[str, Knob],
) -> Change | Excluded:
    reason = objections.to(setting)
    if reason:
        return Excluded(setting, reason)
    try:
        return preview(setting, reason_of(knobs[setting.knob], setting))
    except KnobUnavailableError as error:
        return Excluded(setting, error.reason)
    except TargetVanishedError as error:
        return Excluded(setting, str(error))


def _ordered(changes: list[Change], knobs: Mapping[str, Knob]) -> list[Change]:
    """Sort up the ladder; targets of one knob stay in the order the knob gave them."""
    places = {name: place for place, name in enumerate(knobs)}

    def key(change: Change) -> tuple[int, int, int]:
        setting = change.setting
        return knobs[setting.knob].rung, _ROLES.index(setting.role), places[setting.knob]

    return sorted(changes, key=key)


def _with_first_undo(journal: Journal, change: Change) -> Change:
    """Return a change whose undo leads back to before us, where it is in force already."""
    wanted = (change.setting.knob, change.setting.target)
    undos = [
        entry.undo
        for entry in journal.live()
        if (entry.setting.knob, entry.setting.target) == wanted
    ]
    return replace(change, undo=undos[0]) if undos else change


def _notes(objections: Objections) -> Iterator[str]:
    if objections.everywhere:
        yield objections.everywhere
    for other in objections.others:
        yield f"{other} is at work and keeps {', '.join(sorted(other.knobs))}: {other.advice}"


def _paths(targets: tuple[Target, ...]) -> tuple[str, ...]:
    return tuple(target.name for target in targets if target.kind == "cgroup")
