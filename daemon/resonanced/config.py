# SPDX-License-Identifier: MIT
"""The configuration: defaults < file < flags, every key checked before anything starts.

Each room owns the record of its own table; this file gathers them. The manual is the
example file, ``systemd/resonanced.toml``, which a test compares with these defaults.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_type_hints

import msgspec

from resonance_bpf.loader import Choice
from resonance_tuning.settings import FORMS as TUNING_FORMS
from resonance_tuning.settings import TuningSettings
from resonanced.errors import ConfigError
from resonanced.hints.settings import HintsSettings, PoliciesSettings
from resonanced.phase.settings import PhaseSettings
from resonanced.signals.settings import SignalsSettings
from resonanced.sockets import ADMIN_SOCKET
from resonanced.telemetry.settings import TelemetrySettings

__all__ = [
    "DEFAULT_PATH",
    "ProbesSettings",
    "ServiceSettings",
    "Settings",
    "keys_that_need_a_restart",
    "load",
]

DEFAULT_PATH: Final = Path("/etc/resonance/resonanced.toml")

AbsolutePath = Annotated[str, msgspec.Meta(pattern=r"^/[^\x00-\x1f]+\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]+\Z")]


_FORMS: Final = {
    "service.runtime_directory": "must be an absolute path",
    "service.user": "must be the name of a user",
    "service.group": "must be the name of a group",
    "probes.bpffs_directory": "must be an absolute path",
    "signals.cgroups": "must be shell patterns that begin with /, *, [ or ?",
    "hints.socket": "must be a file name that ends in .sock",
    "phase.protect": "must be shell patterns that begin with /, *, [ or ?",
}
"""What the patterns of these keys ask for, in words."""


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[service]`` table.

    Attributes
    ----------
    runtime_directory : str
        Where the hints socket and the shared page are made, and removed at the end.
    user, group : str
        Who the unprivileged part runs as. Where the default user does not exist,
        ``nobody`` takes its place, and the service says so.
    log_level : {"debug", "info", "warning", "error"}
        Least severe line that is logged.
    """

    runtime_directory: AbsolutePath = "/run/resonance"
    user: _Name = "resonance"
    group: _Name = "resonance"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ProbesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[probes]`` table.

    Attributes
    ----------
    backend : {"auto", "core", "bcc", "none"}
        How to measure; ``auto`` takes the best that works and says which.
    bpffs_directory : str
        The BPF file system where maps and links are pinned.
    """

    backend: Choice = "auto"
    bpffs_directory: AbsolutePath = "/sys/fs/bpf"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration, one attribute per table."""

    service: ServiceSettings = ServiceSettings()
    probes: ProbesSettings = ProbesSettings()
    signals: SignalsSettings = SignalsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    hints: HintsSettings = HintsSettings()
    policies: PoliciesSettings = PoliciesSettings()
    phase: PhaseSettings = PhaseSettings()
    tuning: TuningSettings = TuningSettings()


def _choices(key: str) -> tuple[str, ...]:
    """Return the words a key may have, in the order they are declared."""
    kind: Any = Settings
    for part in key.split("."):
        kind = get_type_hints(kind)[part]
    return get_args(kind)


def load(path: Path | None, flags: dict[str, dict[str, Any]] | None = None) -> Settings:
    """Read the configuration.

    Parameters
    ----------
    path : Path or None
        A file that must exist; ``None`` for the default one, which need not.
    flags : dict, optional
        Values from the command line, as nested tables; they win over the file.

    Raises
    ------
    ConfigError
        The file is missing, unreadable or not TOML; a key is unknown or out of range.
    """
    table = _read(path or DEFAULT_PATH, is_optional=path is None)
    for name, values in (flags or {}).items():
        if not isinstance(table.setdefault(name, {}), dict):
            raise ConfigError(str(path or DEFAULT_PATH), name, "must be a table")
        table[name] |= values
    try:
        settings = msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        # msgspec ends its sentences with the key's path: "... - at `$.hints.page_hz`".
        reason, _, key = str(error).partition(" - at `$.")
        key = key.rstrip("`")
        bare = re.sub(r"\[.*?\]", "", key)  # without the place in an array
        if "matching regex" in reason:
            reason = _FORMS.get(bare) or TUNING_FORMS[bare.rpartition(".")[2]]
        elif reason.startswith("Invalid enum value"):
            reason = f"{reason}; known: {', '.join(_choices(bare))}"
        raise ConfigError(_origin(bare, flags or {}, path), key, reason) from error
    if settings.hints.socket == ADMIN_SOCKET:
        reason = "is the name of the operator's own socket"
        raise ConfigError(_origin("hints.socket", flags or {}, path), "hints.socket", reason)
    if settings.hints.valid_for_seconds <= settings.signals.interval_seconds:
        reason = "must be longer than signals.interval_seconds, or hints expire before the next"
        raise ConfigError(str(path or DEFAULT_PATH), "hints.valid_for_seconds", reason)
    return settings


def _origin(key: str, flags: dict[str, dict[str, Any]], path: Path | None) -> str:
    """Return where a key was set; a flag for a group stands for all of the group's keys."""
    table, name, *_ = [*key.split("."), ""]
    return "flag" if name in flags.get(table, {}) else str(path or DEFAULT_PATH)


def _read(path: Path, *, is_optional: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        if is_optional:
            return {}
        raise ConfigError(str(path), "", "no such file") from error
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"not TOML: {error}") from error


_RELOADED: Final = frozenset({"signals.cgroups", "service.log_level"})


def keys_that_need_a_restart(old: Settings, new: Settings) -> list[str]:
    """Return the dotted names of changed keys that a reload cannot put into force."""
    before = dict(_flat(msgspec.to_builtins(old)))
    after = _flat(msgspec.to_builtins(new))
    return [key for key, value in after if before[key] != value and key not in _RELOADED]


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
