# SPDX-License-Identifier: MIT
"""Which policy does a name, or a file of the user's, stand for?

A profile is a TOML file with the fields of `Policy` as keys and its parts as tables. A part that
is optional and absent is off; ``false`` says so where the profile it extends has it on. The
shipped ``balanced.toml`` has every key, with its unit, its default and the reason for it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args, get_origin

import msgspec

from resonance.errors import PolicyError
from resonance.policies._records import Policy

__all__ = ["PROFILES", "load"]

PROFILES: Final = ("conservative", "balanced", "aggressive")
"""The shipped ones, from the fewest extra requests to the most."""

_EXTENDS: Final = "extends"
_NOT_IN_A_FILE: Final = frozenset({"retry_on"})
"""Exception types: they have no name that a file could be held to."""
_WHERE: Final = re.compile(r" - at `\$\.?(.*)`$")
_EXPECTED: Final = re.compile(r"Expected `(\w+)(?: \| null)?`, got `(\w+)`")
_WORDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "date": "a date",
    "datetime": "a date and time",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": "a text",
    "time": "a time",
}

Table = dict[str, Any]


def load(name_or_path: str | os.PathLike[str]) -> Policy:
    """Read a policy from a profile.

    Parameters
    ----------
    name_or_path : str or path
        ``conservative``, ``balanced`` or ``aggressive``, or a TOML file: anything that ends in
        ``.toml`` or has a slash. A file may begin with ``extends``, the name of a shipped
        profile, and then needs only what it changes.

    Returns
    -------
    Policy

    Raises
    ------
    PolicyError
        There is no such profile; the file cannot be read, or is no TOML; or a key in it is not
        known, or has a value that cannot be. The error's ``key`` is the file and the key's path.

    Examples
    --------
    >>> load("balanced").budget.ratio
    0.05
    """
    text = os.fspath(name_or_path)
    if text in PROFILES:
        return _policy(_shipped(text), text)
    if isinstance(name_or_path, str) and not text.endswith(".toml") and "/" not in text:
        raise PolicyError("profile", f"must be {', '.join(PROFILES)} or a TOML file, not {text!r}")
    return _policy(_read(Path(text), text), text)


def _shipped(name: str) -> Table:
    source = resources.files("resonance.policies") / "profiles" / f"{name}.toml"
    return _extended(tomllib.loads(source.read_text(encoding="utf-8")), name)


def _read(path: Path, source: str) -> Table:
    try:
        return _extended(tomllib.loads(path.read_text(encoding="utf-8")), source)
    except OSError as error:
        raise PolicyError(source, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(source, f"is not TOML: {error}") from error


def _extended(table: Table, source: str) -> Table:
    """Put a profile's own keys over those of the shipped one it extends."""
    name = table.pop(_EXTENDS, None)
    if name is None:
        return table
    if name not in PROFILES:
        reason = f"must be one of {', '.join(PROFILES)}, not {name!r}"
        raise PolicyError(f"{source}: {_EXTENDS}", reason)
    return _merged(_shipped(name), table)


def _merged(below: Table, above: Table) -> Table:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[key] = _merged(cast("Table", under), cast("Table", value))
        else:
            merged[key] = value
    return merged


def _policy(table: Table, source: str) -> Policy:
    prepared = _prepared(table, Policy, source, "")
    try:
        return msgspec.convert(prepared, Policy)
    except msgspec.ValidationError as error:
        path, reason = _translated(error)
        raise PolicyError(f"{source}: {path}", reason) from error


def _prepared(table: Mapping[str, Any], record: type, source: str, path: str) -> Table:
    """Refuse keys and choices that are not known, and read ``false`` as none where one may be."""
    types = {field.name: field.type for field in msgspec.structs.fields(record)}
    prepared: Table = {}
    for key, value in table.items():
        where = f"{path}{key}"
        if key not in types or key in _NOT_IN_A_FILE:
            raise PolicyError(f"{source}: {where}", _unknown(key, types))
        kinds = get_args(types[key]) or (types[key],)
        parts = [kind for kind in kinds if isinstance(kind, type) and _is_record(kind)]
        if get_origin(types[key]) is Literal and value not in kinds:
            reason = f"must be one of {', '.join(kinds)}, not {value!r}"
            raise PolicyError(f"{source}: {where}", reason)
        if value is False and type(None) in kinds:
            prepared[key] = None
        elif parts and isinstance(value, dict):
            prepared[key] = _prepared(cast("Table", value), parts[0], source, f"{where}.")
        else:
            prepared[key] = value
    return prepared


def _is_record(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct)


def _unknown(key: str, known: Mapping[str, object]) -> str:
    if key in _NOT_IN_A_FILE:
        return "cannot be set in a file: exception types are for code"
    names = [name for name in known if name not in _NOT_IN_A_FILE]
    close = difflib.get_close_matches(key, names, n=1)
    return f"is not known; {close[0]} is" if close else f"is not known; {', '.join(names)} are"


def _translated(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return the key's path and what is wrong with it, in words of TOML."""
    text = str(error)
    match = _WHERE.search(text)
    path = match[1] if match else ""
    if isinstance(error.__cause__, PolicyError):
        field = error.__cause__.key.rpartition(".")[2]
        return f"{path}.{field}".lstrip("."), error.__cause__.reason
    said = _WHERE.sub("", text)
    if expected := _EXPECTED.fullmatch(said):
        wanted, got = (_WORDS.get(word, word) for word in expected.groups())
        return path, f"must be {wanted}, not {got}"
    return path, said
