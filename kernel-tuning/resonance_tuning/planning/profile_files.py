# SPDX-License-Identifier: MIT
"""What stands in the files of a profile: each is read, checked and laid over what it includes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec

from resonance_tuning.errors import ProfileError
from resonance_tuning.guard import Guard
from resonance_tuning.planning.requirements import Requirements
from resonance_tuning.settings import FORMS, Group, ProfileName

__all__ = ["File", "Match", "Sources", "gather", "names"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a profile means, besides those the configuration names."""

    latency_critical: Group = Group()
    batch: Group = Group()


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file as it stands, or what a file and those it includes come to."""

    description: str = ""
    include: tuple[ProfileName, ...] = ()
    on_stop: Literal["restore", "keep"] | None = None
    variables: dict[str, Any] = {}
    require: Requirements = Requirements()
    match: Match = Match()
    latency_critical: dict[str, Any] = {}
    batch: dict[str, Any] = {}
    network: dict[str, Any] = {}
    host: dict[str, Any] = {}
    guard: Guard = Guard()


@dataclass(frozen=True, slots=True)
class Sources:
    """The tables of the files read so far, laid over each other."""

    table: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    done: set[Path] = field(default_factory=set[Path])

    def wrong(self, key: str, reason: str) -> ProfileError:
        """Return an error about a key, with the file it comes from."""
        return ProfileError(self.origins[key], key, reason)


def names(directories: Sequence[Path]) -> list[str]:
    """Return the names of the profiles there are."""
    return sorted({path.stem for directory in directories for path in directory.glob("*.toml")})


def gather(name: str, directories: Sequence[Path]) -> tuple[Path, Sources]:
    """Read a profile's file and those it includes; return where it is, and all of it.

    Raises
    ------
    ProfileError
        One of them is missing, unreadable, or wrong by itself.
    """
    if not _NAME.fullmatch(name):
        raise ProfileError(name, "", FORMS["profile"])
    path = _find(name, directories, None)
    if not path:
        where = directories[0] / f"{name}.toml"
        raise ProfileError(str(where), "", f"no such profile; {_choice(directories)}")
    sources = Sources()
    _gather(path, directories, sources, ())
    return path, sources


def _find(name: str, directories: Sequence[Path], asking: Path | None) -> Path | None:
    paths = (directory / f"{name}.toml" for directory in directories)
    return next((path for path in paths if path != asking and path.is_file()), None)


def _choice(directories: Sequence[Path]) -> str:
    return f"there are: {', '.join(names(directories))}"


def _gather(
    path: Path, directories: Sequence[Path], sources: Sources, above: tuple[Path, ...]
) -> None:
    """Lay a file over what it includes; a file that is included twice counts once."""
    table = _read(path)
    for name in table.get("include", ()):
        included = _find(name, directories, path)
        if not included:
            raise ProfileError(str(path), "include", f"no profile {name}; {_choice(directories)}")
        if included in {*above, path}:
            circle = " includes ".join(one.stem for one in (*above, path, included))
            raise ProfileError(str(path), "include", f"a circle: {circle}")
        if included not in sources.done:
            _gather(included, directories, sources, (*above, path))
    sources.done.add(path)
    _lay(sources.table, table)
    sources.origins.update((key, str(path)) for key in _keys(table))


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        msgspec.convert(table, File)
    except OSError as error:
        raise ProfileError(str(path), "", error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(str(path), "", f"not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ProfileError(str(path), *_explain(error)) from error
    return table


def _explain(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return key and reason; msgspec ends its sentences with the path of the key."""
    reason, _, key = str(error).partition(" - at `$.")
    key = re.sub(r"\[.*?\]", "", key.rstrip("`"))
    unknown = _UNKNOWN.match(reason)
    if unknown:
        return f"{key}.{unknown[1]}".lstrip("."), "there is no such key"
    if "matching regex" in reason:
        reason = FORMS.get(key.rpartition(".")[2], "must be a version, as 5.15")
    return key, reason


def _lay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict):
            _lay(below.setdefault(key, {}), cast("dict[str, Any]", value))
        else:
            below[key] = value


def _keys(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(cast("dict[str, Any]", value), f"{prefix}{key}.")
