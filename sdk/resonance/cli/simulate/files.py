# SPDX-License-Identifier: MIT
"""Which scenarios are there, and what does a file say?"""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from resonance.cli.connection import CommandError
from resonance.cli.units import path_text

if TYPE_CHECKING:
    from resonance_core.simulation import Scenario

__all__ = ["read_scenario", "shipped_names"]

_MOST_SOURCES = 1_024
_MOST_JOBS = 50_000_000
"""About a gigabyte."""


def shipped_names() -> list[str]:
    """Return the names of the scenarios that come with the package, in order."""
    folder = resources.files("resonance_core.simulation") / "scenarios"
    names = (each.name for each in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def read_scenario(name: str) -> Scenario:
    """Read a scenario that comes with us, or a file; a path has a dot or a slash in it.

    Raises
    ------
    CommandError
        It is not there, is no scenario, or is too large.
    """
    if "/" in name or "." in name:
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}") from error
        return _parsed(name, content)
    if name not in shipped_names():
        known = ", ".join(shipped_names())
        raise CommandError(f"no scenario is called {path_text(name, len(name))!r}; known: {known}")
    folder = resources.files("resonance_core.simulation") / "scenarios"
    return _parsed(name, (folder / f"{name}.toml").read_bytes())


def _parsed(name: str, content: bytes) -> Scenario:
    from resonance_core.simulation import Scenario

    try:
        table = tomllib.loads(content.decode())
        _refuse_unknown(Scenario, table, f"{name}: ")
        scenario = msgspec.convert(table, Scenario)
    except msgspec.ValidationError as error:
        # msgspec ends its sentences with the key's path: "... - at `$.sources[0].count`".
        reason, _, key = str(error).partition(" - at `$.")
        raise CommandError(f"{name}: {key.rstrip('`') + ': ' if key else ''}{reason}") from error
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from error
    sources = sum(block.count for block in scenario.sources)
    jobs = scenario.duration_seconds * scenario.cores / _shortest_job_seconds(scenario)
    if sources > _MOST_SOURCES or jobs > _MOST_JOBS:
        raise CommandError(
            f"{name}: {sources} sources and up to {jobs:.3g} jobs; "
            f"at most {_MOST_SOURCES} and {_MOST_JOBS:.3g} are simulated"
        )
    return scenario


def _shortest_job_seconds(scenario: Scenario) -> float:
    jobs = (min(each.job_seconds, each.work_seconds) for each in scenario.sources)
    return min(*jobs, scenario.requests.service_seconds)


def _refuse_unknown(record: type, table: dict[str, Any], where: str) -> None:
    """Refuse keys that no field takes: msgspec passes over them in dataclasses."""
    from resonance_core.simulation import Requests, SourceBlock

    nested: dict[str, type] = {"requests": Requests, "sources": SourceBlock}
    assert is_dataclass(record)
    known = {each.name for each in fields(record)}
    for key, value in table.items():
        if key not in known:
            raise CommandError(
                f"{where}{key} is no setting of a scenario; known here: {', '.join(sorted(known))}"
            )
        if key in nested:
            for part in _tables(value):
                _refuse_unknown(nested[key], part, f"{where}{key}: ")


def _tables(value: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] | dict[str, Any]
    found = msgspec.convert(value, list[dict[str, Any]] | dict[str, Any])
    return found if isinstance(found, list) else [found]
