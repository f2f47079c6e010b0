# SPDX-License-Identifier: MIT
"""``resonanced rollback``: give the host back, whatever is left of us.

The kernel's settings first, with the standard library alone: a broken configuration, a missing
package or a failure of what comes after must not keep them. Then what dead services loaded and
made. Needs no running daemon.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from resonance_bpf.errors import ProbeError
from resonance_tuning.__main__ import DEFAULT_DIRECTORY
from resonance_tuning.errors import TuningError
from resonance_tuning.host import Host
from resonance_tuning.records import Receipt
from resonance_tuning.rollback import roll_back
from resonanced.errors import ConfigError, DaemonError
from resonanced.verbs import report
from resonanced.verbs.terminal import printable, write, write_json

__all__ = ["DEFAULT_PATH", "run"]

DEFAULT_PATH: Final = Path("/etc/resonance/resonanced.toml")
"""Of the configuration."""
_REFUSED: Final = 1
_LEFT: Final = 3
"""Exit status when something is left that an operator must look at."""
_KEPT: Final = (
    ("tuning", "journal_directory"),
    ("service", "runtime_directory"),
    ("probes", "bpffs_directory"),
    ("hints", "socket"),
)
"""Keys of a broken configuration that are taken from it all the same: where to look."""
_UNSETTLED: Final = frozenset({"conflict-left", "refused"})


@dataclass
class _Outcome:
    """What became of everything.

    Attributes
    ----------
    receipts : list of Receipt
        Of the kernel's settings.
    removed : list of str
        Pins, sockets, pages and directories.
    alive : list of int
        Services that run; what is theirs stays.
    warnings, failures : list of str
        What was guessed, and what could not be done; a line each.
    damage : str
        The line of the journal that cannot be trusted; then a change may be unknown.
    """

    receipts: list[Receipt] = field(default_factory=list[Receipt])
    removed: list[str] = field(default_factory=list[str])
    alive: list[int] = field(default_factory=list[int])
    warnings: list[str] = field(default_factory=list[str])
    failures: list[str] = field(default_factory=list[str])
    damage: str = ""

    @property
    def status(self) -> int:
        if self.alive or self.failures:
            return _REFUSED
        is_left = any(receipt.outcome in _UNSETTLED for receipt in self.receipts)
        return _LEFT if is_left or self.damage else 0


def run(arguments: argparse.Namespace, flags: dict[str, dict[str, Any]]) -> int:
    """Put back and remove; return the exit status."""
    outcome = _Outcome()
    tables = _tables(arguments.config, outcome)
    kept = {
        table: {key: tables[table][key]}
        for table, key in _KEPT
        if isinstance(tables.get(table), dict) and isinstance(tables[table].get(key), str)
    }
    named = arguments.journal_directory or kept.get("tuning", {}).get("journal_directory")
    _put_back(Path(named or DEFAULT_DIRECTORY), arguments.left_by_services, outcome)
    try:
        _remove(arguments.config, kept, flags, outcome)
    except Exception as error:  # noqa: BLE001 - a package is missing, or a defect: told, not hidden
        outcome.failures.append(_told(error))
    if arguments.output == "json":
        write_json(dataclasses.asdict(outcome))
    elif lines := _lines(outcome):
        write(lines)
    for reason in filter(None, (*outcome.warnings, outcome.damage, *outcome.failures)):
        sys.stderr.write(f"resonanced: {printable(reason)}\n")
    return outcome.status


def _tables(path: Path | None, outcome: _Outcome) -> dict[str, Any]:
    """Return the configuration as far as it is TOML, whatever its keys are."""
    try:
        return tomllib.loads((path or DEFAULT_PATH).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if path or not isinstance(error, FileNotFoundError):
            reason = (error.strerror if isinstance(error, OSError) else "") or f"not TOML: {error}"
            outcome.warnings.append(f"{path or DEFAULT_PATH}: {reason}; taking the defaults")
        return {}


def _put_back(directory: Path, left_by_services: bool, outcome: _Outcome) -> None:
    """Put the kernel's settings back, newest first, where they are still ours."""
    try:
        receipts, outcome.damage = roll_back(directory, Host(), left_by_services=left_by_services)
        outcome.receipts += receipts
    except (OSError, TuningError) as error:
        outcome.failures.append(str(error))


def _remove(
    path: Path | None,
    kept: dict[str, dict[str, Any]],
    flags: dict[str, dict[str, Any]],
    outcome: _Outcome,
) -> None:
    """Remove what dead services loaded and made."""
    from resonance_bpf import pins
    from resonanced import config, runtime

    try:
        settings = config.load(path, flags)
    except ConfigError as error:
        if not outcome.warnings:
            outcome.warnings.append(f"{error}; taking the defaults")
        tables = {name: kept.get(name, {}) | flags.get(name, {}) for name in {*kept, *flags}}
        settings = config.load(Path(os.devnull), tables)
    pinned, running = pins.rollback(Path(settings.probes.bpffs_directory))
    left, holder = runtime.sweep_after_death(settings)
    outcome.removed += [str(path) for path in (*(each.path for each in pinned), *left)]
    alive = {each.pid for each in running} | ({holder} if holder is not None else set[int]())
    outcome.alive += sorted(alive)


def _told(error: Exception) -> str:
    ours = isinstance(error, DaemonError | ProbeError)
    return f"{error}" if ours else f"{type(error).__name__}: {error}"


def _lines(outcome: _Outcome) -> list[str]:
    lines = report.receipt_lines(outcome.receipts)
    lines += [f"removed {printable(path)}" for path in outcome.removed]
    for pid in outcome.alive:
        lines.append(f"resonanced runs, pid {pid}: stop it to take back what is its, or set")
        lines.append('    tuning.mode = "observe" in its configuration and restart it')
    if not (lines or outcome.failures):
        return ["nothing to put back, nothing to remove"]
    return lines
