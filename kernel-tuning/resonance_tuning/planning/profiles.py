# SPDX-License-Identifier: MIT
"""What may an operator want of a node? Profiles: TOML, each built upon others.

A profile names knobs and values by role; it knows no host. Its own variables are put in when
it is loaded, those of `PLACEMENT` when it is planned. Whatever is wrong in it is one line with
path and key, before anything is touched.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import msgspec

from resonance_tuning.guard import Guard
from resonance_tuning.knobs import KNOBS
from resonance_tuning.planning.profile_files import File, Match, Sources, gather, names
from resonance_tuning.planning.requirements import Requirements
from resonance_tuning.records import Role, TargetKind

__all__ = [
    "PLACEMENT",
    "Guard",
    "Match",
    "Profile",
    "Value",
    "directories",
    "fill",
    "load",
    "names",
    "needs_placement",
]

Value = str | int | float | bool | list["str | int | float"]

PLACEMENT: Final = ("online_cpus", "housekeeping_cpus", "latency_critical_cpus", "batch_cpus")
"""Variables every profile has: lists of CPUs of the host it is planned for."""

_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_SCOPES: Final[Mapping[Role, frozenset[TargetKind]]] = {
    "latency_critical": frozenset({"process", "cgroup", "unit"}),
    "batch": frozenset({"process", "cgroup", "unit"}),
    "network": frozenset({"cgroup", "route", "namespace", "device"}),
    "host": frozenset({"host", "interrupt", "device"}),
}
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_DEFAULT_WEIGHT: Final = 100
_MAX_WEIGHT_RATIO: Final = 100
"""Beyond it batch work starves."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile with what it includes.

    Attributes
    ----------
    path : str
        Its own file.
    settings : dict of Role to dict of str to Value
        Values by role and knob; variables of `PLACEMENT` are still in them.
    origins : dict of str to str
        The file each key comes from, as ``batch.cpu_idle``.
    on_stop : str or None
        None leaves it to the configuration.
    """

    name: str
    path: str
    description: str
    settings: Mapping[Role, Mapping[str, Value]]
    origins: Mapping[str, str]
    requirements: Requirements
    match: Match
    guard: Guard
    on_stop: Literal["restore", "keep"] | None


def directories(own: str) -> tuple[Path, ...]:
    """Return where profiles are looked for: the operator's own directory first."""
    return Path(own), Path(str(files("resonance_tuning").joinpath("profiles")))


def load(
    name: str, directories: Sequence[Path], *, scopes: Mapping[str, TargetKind] | None = None
) -> Profile:
    """Read a profile and what it includes.

    Parameters
    ----------
    directories : sequence of Path
        The first that has it wins. A profile that includes one of its own name means the
        next one.
    scopes : mapping of str to TargetKind, optional
        The knobs there are, and what each is turned on; by default those of the catalogue.

    Raises
    ------
    ProfileError
        It is missing, unreadable or wrong.
    """
    path, sources = gather(name, directories)
    whole = msgspec.convert(sources.table, File)
    return Profile(
        name=name,
        path=str(path),
        description=whole.description,
        settings=_settings(whole, sources, scopes or {knob.name: knob.scope for knob in KNOBS}),
        origins=sources.origins,
        requirements=whole.require,
        match=whole.match,
        guard=whole.guard,
        on_stop=whole.on_stop,
    )


def fill(value: Value, variables: Mapping[str, Value]) -> Value:
    """Return a value with variables put in; those that are not given stay.

    A variable alone keeps its type.

    >>> fill("${weight}", {"weight": 1000}), fill("${cpus},7", {"cpus": "0-3"})
    (1000, '0-3,7')
    """
    if isinstance(value, list):
        return [_text(one, variables) if isinstance(one, str) else one for one in value]
    if not isinstance(value, str):
        return value
    alone = _VARIABLE.fullmatch(value)
    return variables.get(alone[1], value) if alone else _text(value, variables)


def _text(text: str, variables: Mapping[str, Value]) -> str:
    return _VARIABLE.sub(lambda found: str(variables.get(found[1], found[0])), text)


def needs_placement(value: Value) -> bool:
    """Tell whether a loaded value waits for the CPUs of a host."""
    return bool(_variables(value))


def _settings(
    whole: File, sources: Sources, scopes: Mapping[str, TargetKind]
) -> dict[Role, dict[str, Value]]:
    for name, value in whole.variables.items():
        _check_variable(name, value, sources)
    settings: dict[Role, dict[str, Value]] = {role: {} for role in _ROLES}
    for role, values in settings.items():
        for knob, value in getattr(whole, role).items():
            key = f"{role}.{knob}"
            _check_knob(role, knob, scopes, sources)
            _check_value(key, value, sources)
            for variable in _variables(value):
                if variable not in {*whole.variables, *PLACEMENT}:
                    raise sources.wrong(key, f"there is no variable {variable}")
            values[knob] = fill(value, whole.variables)
    _check_weights(settings, sources)
    for role, values in settings.items():
        if values.get("cpu_idle") and "cpu_weight" in values:
            reason = "an idle group has no weight; leave it out, or set cpu_idle = 0"
            raise sources.wrong(f"{role}.cpu_weight", reason)
    return settings


def _variables(value: Value) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [name for text in texts if isinstance(text, str) for name in _VARIABLE.findall(text)]


def _check_knob(role: Role, knob: str, scopes: Mapping[str, TargetKind], sources: Sources) -> None:
    if knob not in scopes:
        close = difflib.get_close_matches(knob, scopes, n=1)
        hint = f"; is {close[0]} meant?" if close else f"; there are: {', '.join(sorted(scopes))}"
        raise sources.wrong(f"{role}.{knob}", f"there is no such knob{hint}")
    if scopes[knob] not in _SCOPES[role]:
        right = " or ".join(f"[{name}]" for name in _ROLES if scopes[knob] in _SCOPES[name])
        reason = f"it is turned on a {scopes[knob]} and belongs into {right}"
        raise sources.wrong(f"{role}.{knob}", reason)


def _check_variable(name: str, value: Any, sources: Sources) -> None:
    key = f"variables.{name}"
    if name in PLACEMENT:
        raise sources.wrong(key, "the host gives this variable")
    _check_value(key, value, sources)
    if _variables(value):
        raise sources.wrong(key, "a variable cannot be made of others")


def _check_value(key: str, value: Any, sources: Sources) -> None:
    parts = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(part, str | int | float) for part in parts):
        raise sources.wrong(key, "must be a text, a number, a truth value or a list of these")
    if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
        raise sources.wrong(key, "must be a finite number")


def _check_weights(settings: Mapping[Role, Mapping[str, Value]], sources: Sources) -> None:
    for knob in ("cpu_weight", "unit_cpu_weight"):
        high = settings["latency_critical"].get(knob, _DEFAULT_WEIGHT)
        low = settings["batch"].get(knob, _DEFAULT_WEIGHT)
        if not isinstance(high, int) or not isinstance(low, int):
            continue  # the knob refuses it, in its own words
        if high > low * _MAX_WEIGHT_RATIO:
            key = f"latency_critical.{knob}"
            key = key if key in sources.origins else f"batch.{knob}"
            reason = f"{high} against {low} of batch is more than {_MAX_WEIGHT_RATIO} to 1"
            raise sources.wrong(key, reason)
