# SPDX-License-Identifier: MIT
"""Which capabilities does the process need that writes? Those of its knobs, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from resonance_tuning.host import Host
from resonance_tuning.knob import Knob
from resonance_tuning.planning import profiles
from resonance_tuning.planning.processes import are_hidden
from resonance_tuning.records import Setting
from resonance_tuning.settings import TuningSettings

__all__ = ["needed_capabilities"]

_TO_ENTER_NAMESPACES: Final = "CAP_SYS_ADMIN"
"""setns(2); no knob names it, because in our own namespace none needs it."""
_TO_SEE_PROCESSES: Final = "CAP_SYS_PTRACE"
"""Where ``/proc`` hides them: a process unseen would be taken for ended, and not be put back."""


def needed_capabilities(
    host: Host,
    settings: TuningSettings,
    knobs: Mapping[str, Knob],
    *,
    may_turn: Callable[[str], bool],
    planned: Iterable[Setting],
    live: Iterable[Setting],
) -> frozenset[str]:
    """Return what turning and undoing need.

    All knobs that the profile names count, not only those that have a target now: a process
    may start later, when nothing can be gained any more.

    Parameters
    ----------
    may_turn : callable
        Whether a knob of this name is within reach.
    planned : iterable of Setting
        What a plan holds besides: knobs of systemd in place of a cgroup's.
    live : iterable of Setting
        What is in force, and must be undone whatever the configuration says now.

    Raises
    ------
    ProfileError
        There is no such profile, or it is wrong.
    """
    profile = profiles.load(settings.profile, profiles.directories(settings.profiles_directory))
    wanted = {name for values in profile.settings.values() for name in values}
    wanted |= {setting.knob for setting in planned}
    wanted = {name for name in wanted - set(settings.refuse) if name in knobs and may_turn(name)}
    held = list(live)
    turned = [knobs[name] for name in wanted | {each.knob for each in held} if name in knobs]
    needed = {capability for knob in turned for capability in knob.capabilities}
    others = set(settings.network.namespaces) - {"self"}
    others |= {each.target.name for each in held if each.target.kind == "namespace"} - {""}
    if others and any(knob.scope == "namespace" for knob in turned):
        needed.add(_TO_ENTER_NAMESPACES)
    if are_hidden(host):
        needed.add(_TO_SEE_PROCESSES)
    return frozenset(needed)
