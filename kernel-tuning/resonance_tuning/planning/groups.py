# SPDX-License-Identifier: MIT
"""Who is latency-critical on this host, who is batch, and who of them is never touched?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from resonance_tuning.errors import ProfileError
from resonance_tuning.planning.matching import Inventory, Match, is_within, outermost
from resonance_tuning.planning.profiles import Profile
from resonance_tuning.planning.protection import Protection
from resonance_tuning.records import Role, Target
from resonance_tuning.settings import Group, TuningSettings

__all__ = ["Groups", "Refusal", "find_groups"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Somebody a configuration names and nobody may tune."""

    role: Role
    target: Target
    reason: str


@dataclass(frozen=True, slots=True)
class Groups:
    """Whom a profile is for on this host.

    Attributes
    ----------
    latency_critical, batch : tuple of Target
        Cgroups, none within another of the same role, and processes.
    refusals : tuple of Refusal
    notes : tuple of str
        What an operator should know of the names.
    """

    latency_critical: tuple[Target, ...]
    batch: tuple[Target, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]

    def of(self, role: Role) -> tuple[Target, ...]:
        """Return the targets of a role; those of the network are everybody's cgroups."""
        if role == "latency_critical":
            return self.latency_critical
        if role == "batch":
            return self.batch
        everybody = (*self.latency_critical, *self.batch)
        return tuple(target for target in everybody if target.kind == "cgroup")


def find_groups(
    inventory: Inventory, protection: Protection, settings: TuningSettings, profile: Profile
) -> Groups:
    """Look up the names of the configuration and of the profile.

    Raises
    ------
    ProfileError
        Somebody is meant to be both, or lies within the other.
    """
    matches: dict[Role, Match] = {
        "latency_critical": inventory.match(
            _joined(settings.latency_critical, profile.match.latency_critical)
        ),
        "batch": inventory.match(_joined(settings.batch, profile.match.batch)),
    }
    for reason in _contradictions(inventory, matches["latency_critical"], matches["batch"]):
        is_own = profile.match.batch != Group()
        path, key = (profile.path, "match.batch") if is_own else ("configuration", "tuning.batch")
        raise ProfileError(path, key, reason)
    refusals = tuple(_refusals(protection, matches))
    refused = {refusal.target for refusal in refusals}
    return Groups(
        latency_critical=_permitted(matches["latency_critical"], refused),
        batch=_permitted(matches["batch"], refused),
        refusals=refusals,
        notes=tuple(_notes(profile, matches)),
    )


def _joined(one: Group, other: Group) -> Group:
    return Group(
        units=tuple(dict.fromkeys(one.units + other.units)),
        cgroups=tuple(dict.fromkeys(one.cgroups + other.cgroups)),
        processes=tuple(dict.fromkeys(one.processes + other.processes)),
    )


def _contradictions(inventory: Inventory, critical: Match, batch: Match) -> Iterator[str]:
    for one, other in product(critical.cgroups, batch.cgroups):
        if one == other:
            yield f"{one} is latency-critical, too; name it once"
        elif is_within(one.name, other.name):
            yield f"{other} holds the latency-critical {one}; name groups beside each other"
        elif is_within(other.name, one.name):
            yield f"{other} lies within the latency-critical {one}; name groups beside each other"
    for process in critical.processes:
        if process in batch.processes:
            yield f"{process} is latency-critical, too; name it once"
        for cgroup, other in product(inventory.processes.cgroups(int(process.name)), batch.cgroups):
            if is_within(cgroup, other.name):
                yield f"{other} holds the latency-critical {process}"


def _refusals(protection: Protection, matches: dict[Role, Match]) -> Iterator[Refusal]:
    for role, match in matches.items():
        for target in (*match.cgroups, *match.processes):
            reason = protection.refusal(target)
            if reason:
                yield Refusal(role, target, f"never tuned: {reason}")


def _permitted(match: Match, refused: set[Target]) -> tuple[Target, ...]:
    cgroups = [target.name for target in match.cgroups if target not in refused]
    processes = [target for target in match.processes if target not in refused]
    return (*(Target("cgroup", path) for path in outermost(cgroups)), *processes)


def _notes(profile: Profile, matches: dict[Role, Match]) -> Iterator[str]:
    for role, match in matches.items():
        who = role.replace("_", "-")
        for name in match.missing:
            yield f"{who}: there is no {name} here, or it does not run"
        if profile.settings[role] and not (match.cgroups or match.processes or match.missing):
            yield (
                f"{who}: nobody is named; name units, cgroups or processes in [tuning.{role}], "
                'as cgroups = ["/web*"]'
            )
