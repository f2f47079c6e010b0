# SPDX-License-Identifier: MIT
"""What does a scenario file say? Each wrong key or value is told with its path in the file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any, Final

import msgspec

from resonance.bench.errors import PlanError
from resonance.bench.load import parse_target
from resonance.bench.plan import Arrival, Load, Request, Stage, Target
from resonance.bench.records import Rule
from resonance.bench.scenarios.durations import parse_duration
from resonance.bench.scenarios.requests import RequestTable, request_of
from resonance.bench.scenarios.thresholds import parse_threshold

__all__ = ["Scenario", "example_text", "load_scenario"]

_MOST_BYTES: Final = 2**20
"""*Chosen*: a scenario is written by hand; bodies have files of their own."""
_MOST_REPETITIONS: Final = 1_000
_KEYS: Final = {"seconds": "duration"}
"""What a `Stage` calls otherwise than the file does."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load that was written down.

    Parameters
    ----------
    load : Load
    thresholds : tuple of str
        Each as `parse_threshold` reads it.
    repetitions : int
        How often it is measured.
    rule : Rule
        When a repetition is not to be believed.
    """

    load: Load
    thresholds: tuple[str, ...] = ()
    repetitions: int = 1
    rule: Rule = field(default_factory=Rule)


class _Stage(msgspec.Struct, frozen=True, kw_only=True):
    duration: str | float
    rate: float
    to_rate: float | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    target: str
    insecure: bool = False
    ca: str = ""
    arrival: Arrival = "poisson"
    seed: int = 0
    warm_up: str | float = 0.0
    timeout: str | float = 10.0
    connections: int = 256
    processes: int = 1
    repetitions: int = 1
    frame_bytes: int = 16
    thresholds: tuple[str, ...] = ()
    stages: tuple[_Stage, ...]
    requests: tuple[RequestTable, ...] = ()
    rule: Rule = Rule()


_TABLES: Final[dict[str, type[msgspec.Struct]]] = {
    "stages": _Stage,
    "requests": RequestTable,
    "rule": Rule,
}


def example_text() -> str:
    """Return the scenario that comes with the package: every key, explained.

    Returns
    -------
    str
    """
    return (resources.files("resonance.bench.scenarios") / "example.toml").read_text(
        encoding="utf-8"
    )


def load_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Scenario

    Raises
    ------
    PlanError
        It cannot be read, or a key or value is wrong; the key is the file and the path in it.
    """
    where, folder = os.fspath(path), Path(path).parent
    try:
        return _scenario(_parsed(_content(where)), folder)
    except PlanError as error:
        key = f"{where}: {error.key}" if error.key else where
        raise PlanError(key, error.reason) from None


def _content(where: str) -> str:
    try:
        with Path(where).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise PlanError("", error.strerror or str(error)) from None
    if len(content) > _MOST_BYTES:
        raise PlanError("", f"more than {_MOST_BYTES >> 20} MiB is no scenario")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise PlanError("", f"is not UTF-8 at byte {error.start}") from None


def _parsed(text: str) -> _File:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError("", f"is not TOML: {error}") from None
    _refuse_unknown(table, _File, "")
    for name in ("stages", "requests"):
        if isinstance(table.get(name), dict):
            raise PlanError(name, f"is one table; write [[{name}]] with two brackets")
    for name, record in _TABLES.items():
        for number, each in enumerate(_tables(table.get(name))):
            _refuse_unknown(each, record, name if name == "rule" else f"{name}[{number}]")
    try:
        return msgspec.convert(table, _File)
    except msgspec.ValidationError as error:
        # msgspec ends its sentences with the value's path: "... - at `$.stages[0].rate`".
        reason, _, key = str(error).partition(" - at `$.")
        raise PlanError(key.rstrip("`"), reason[:1].lower() + reason[1:]) from None


def _tables(value: Any) -> list[dict[str, Any]]:
    """Return the tables of a key; none where it is of another type, which msgspec then tells."""
    try:
        found = msgspec.convert(value, dict[str, Any] | list[dict[str, Any]])
    except msgspec.ValidationError:
        return []
    return [found] if isinstance(found, dict) else found


def _refuse_unknown(table: dict[str, Any], record: type[msgspec.Struct], where: str) -> None:
    known = record.__struct_fields__
    for key in table:
        if key not in known:
            raise PlanError(
                f"{where}.{key}" if where else key,
                f"is no key of a scenario; known here: {', '.join(known)}",
            )


def _scenario(file: _File, folder: Path) -> Scenario:
    if not 1 <= file.repetitions <= _MOST_REPETITIONS:
        raise PlanError("repetitions", f"must be 1 to {_MOST_REPETITIONS}, not {file.repetitions}")
    if not file.stages:
        raise PlanError("stages", "there is none: write [[stages]] with a duration and a rate")
    for number, threshold in enumerate(file.thresholds):
        parse_threshold(threshold, f"thresholds[{number}]")
    return Scenario(_load(file, folder), file.thresholds, file.repetitions, _rule(file.rule))


def _load(file: _File, folder: Path) -> Load:
    stages = tuple(_stage(each, f"stages[{number}]") for number, each in enumerate(file.stages))
    requests = _requests(file.requests, folder)
    try:
        return Load(
            target=_target(file, folder),
            stages=stages,
            arrival=file.arrival,
            requests=requests,
            warm_up_seconds=parse_duration(file.warm_up, "warm_up"),
            connections=file.connections,
            processes=file.processes,
            timeout_seconds=parse_duration(file.timeout, "timeout"),
            seed=file.seed,
            frame_bytes=file.frame_bytes,
        )
    except PlanError as error:
        raise PlanError("stages" if error.key == "rate" else error.key, error.reason) from None


def _target(file: _File, folder: Path) -> Target:
    authorities = str(folder / file.ca) if file.ca else ""
    return parse_target(file.target, verify=not file.insecure, certificate_authorities=authorities)


def _stage(stage: _Stage, where: str) -> Stage:
    seconds = parse_duration(stage.duration, f"{where}.duration")
    try:
        return Stage(seconds, stage.rate, stage.to_rate)
    except PlanError as error:
        raise PlanError(f"{where}.{_KEYS.get(error.key, error.key)}", error.reason) from None


def _requests(tables: tuple[RequestTable, ...], folder: Path) -> tuple[Request, ...]:
    requests = tuple(
        request_of(each, number + 1, f"requests[{number}]", folder)
        for number, each in enumerate(tables)
    )
    names = [each.name for each in requests]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise PlanError(f"requests[{number}].name", f"{name!r} is already taken")
    return requests or (Request(),)


def _rule(rule: Rule) -> Rule:
    for key in ("min_achieved_ratio", "max_lateness_ratio"):
        if not 0.0 <= getattr(rule, key) <= 1.0:
            raise PlanError(f"rule.{key}", f"must be 0 to 1, not {getattr(rule, key)}")
    cores = rule.max_foreign_cores
    if cores is not None and not (isfinite(cores) and cores >= 0.0):
        raise PlanError("rule.max_foreign_cores", f"must be 0 or more CPUs, not {cores}")
    return rule
