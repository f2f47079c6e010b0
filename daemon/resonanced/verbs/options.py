# SPDX-License-Identifier: MIT
"""The command line of tuning: verbs, flags, examples. Imports nothing of ours.

A flag overrides the key of the configuration that it names, so that everything can be tried
without a file.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = [
    "EXAMPLES",
    "absolute",
    "add_journal",
    "add_output",
    "add_to",
    "flags",
    "same_place",
]

# argparse has no public name for what add_subparsers() returns.
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
AddVerb: TypeAlias = Callable[[_Verbs, str, str, str], argparse.ArgumentParser]
_GROUPS: Final = ("latency_critical", "batch")
_WHO: Final = {"latency_critical": "who is protected", "batch": "who may wait"}
_KINDS: Final = {"unit": "units", "process": "processes"}
_WHAT: Final = {
    "plan": "print what a profile would change, why, and how to go back",
    "apply": "change it, and say how to go back",
    "verify": "compare what was changed with what is there now",
    "explain": "tell why something was changed, what it gained, how to go back",
    "journal": "list every change since the host booted",
}
EXAMPLES: Final = {
    "plan": """\
  resonanced plan                       the configuration's profile
  resonanced plan balanced --latency-critical /web --batch '/hogs*'
  resonanced plan --batch unit:backup.service --batch process:ffmpeg
""",
    "apply": """\
  resonanced apply balanced --latency-critical /web --batch '/hogs*'
  resonanced apply --max-rung 2         idle class and weights, nothing more
""",
    "verify": """\
  resonanced verify                     exits 3 where something drifted
""",
    "explain": """\
  resonanced explain                    what is in force, in short
  resonanced explain 2                  the journal's step 2
  resonanced explain cpu_weight         one knob, and its values now
  resonanced explain /web               whatever was done to one cgroup
""",
    "journal": """\
  resonanced journal                    a table; --output json has it all
""",
}


def add_to(verbs: _Verbs, add_verb: AddVerb) -> None:
    """Add the verbs of tuning; which it is will stand in ``verb``."""
    for name, what in _WHAT.items():
        verb = add_verb(verbs, name, what, EXAMPLES[name])
        verb.set_defaults(verb=name)
        if name in {"plan", "apply"}:
            verb.add_argument(
                "profile",
                nargs="?",
                metavar="PROFILE",
                help="its name; default: the configuration's",
            )
            verb.add_argument(
                "--max-rung",
                type=int,
                choices=range(1, 6),
                default=5,
                help="leave out what is more invasive (default 5: nothing)",
            )
            verb.add_argument(
                "--reclaim",
                action="store_true",
                help="turn again what somebody else has taken back",
            )
        if name == "explain":
            verb.add_argument(
                "subject", nargs="?", metavar="KNOB|TARGET|STEP", help="default: an overview"
            )
        if name in {"plan", "apply", "explain"}:
            _add_groups(verb)
        add_journal(verb)
        add_output(verb)


def _add_groups(verb: argparse.ArgumentParser) -> None:
    for group in _GROUPS:
        verb.add_argument(
            f"--{group.replace('_', '-')}",
            action="append",
            metavar="GLOB",
            help=f"{_WHO[group]}: cgroups, unit:NAME or process:NAME; may be repeated",
        )


def add_journal(verb: argparse.ArgumentParser) -> None:
    """Add where the journal is."""
    verb.add_argument(
        "--journal-directory", metavar="DIR", help="where what was there is written down"
    )


def add_output(verb: argparse.ArgumentParser) -> None:
    """Add the form of the output."""
    verb.add_argument(
        "--output", choices=("text", "json"), default="text", help="json: for a program"
    )


def flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the keys of ``[tuning]`` that were given as flags."""
    given = vars(arguments)
    keys: dict[str, Any] = {
        key: given[key] for key in ("profile", "reclaim", "journal_directory") if given.get(key)
    }
    if keys.get("journal_directory"):
        keys["journal_directory"] = absolute(keys["journal_directory"])
    return keys | {name: _group(given[name]) for name in _GROUPS if given.get(name)}


def absolute(path: str | None) -> str | None:
    """Return a path as one that means the same in every directory."""
    return str(Path(path).absolute()) if path else path


def same_place(arguments: argparse.Namespace) -> str:
    """Return the flags that lead another command to the same journal, to be pasted."""
    given = (("--config", arguments.config), ("--journal-directory", arguments.journal_directory))
    return "".join(f" {flag} {shlex.quote(str(value))}" for flag, value in given if value)


def _group(names: list[str]) -> dict[str, list[str]]:
    group: dict[str, list[str]] = {}
    for text in names:
        kind, colon, name = text.partition(":")
        is_kind = colon and kind in _KINDS
        group.setdefault(_KINDS[kind] if is_kind else "cgroups", []).append(
            name if is_kind else text
        )
    return group
