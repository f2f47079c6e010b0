#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How does a daemon in a pod learn which pods want slots of their own?

Runs the daemon and gives it one configuration of two sources: the operator's file, and the
uids that `pods.py` found. Where either changes, the configuration is written anew and the
daemon asked to reload. Of what `pods.py` writes, which talks to the network, nothing but uids
is taken: they become patterns of ``signals.cgroups``, which choose what is measured apart.
Nothing here makes any pod a target of tuning.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import tomli_w

__all__ = ["main", "merged", "patterns"]

_POLL_SECONDS: Final = 2.0
_MOST_PODS: Final = 64
"""As many as there are slots; and what a reload says must fit into one message."""
_UID: Final = re.compile(r"[0-9a-z](?:[0-9a-z-]{0,62}[0-9a-z])?")
_HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def patterns(uids: Iterable[str]) -> list[str]:
    """Return what the cgroups of these pods' containers are called, by either cgroup driver.

    The driver ``systemd`` puts a pod into a slice whose name may hold no ``-`` of its own, at
    any depth and behind any prefix; ``cgroupfs`` into a directory. What is above says the pod's
    class of service and does not matter here.

    >>> patterns(["0a-1b"])
    ['*-pod0a_1b.slice/*', '*/pod0a-1b/*']
    """
    found: list[str] = []
    for uid in uids:
        found += [f"*-pod{uid.replace('-', '_')}.slice/*", f"*/pod{uid}/*"]
    return found


def merged(operators: str, pods: str) -> str:
    """Return the operator's configuration with the pods' cgroups among those measured apart.

    Parameters
    ----------
    operators : str
        TOML; whether its keys are right is for the daemon to say.
    pods : str
        A JSON list of uids; empty for none.

    Raises
    ------
    ValueError
        One of them is not what it should be.
    """
    table: dict[str, Any] = tomllib.loads(operators)
    signals = table.setdefault("signals", {})
    if not isinstance(signals, dict):
        raise ValueError("signals is not a table")  # noqa: TRY004 - of a file, not of an argument
    of_signals = cast("dict[str, Any]", signals)
    configured = of_signals.get("cgroups", [])
    if not isinstance(configured, list):
        raise ValueError("signals.cgroups is not a list")  # noqa: TRY004 - as above
    of_signals["cgroups"] = [*cast("list[object]", configured), *patterns(_uids(pods))]
    return tomli_w.dumps(table)


def _uids(pods: str) -> list[str]:
    found: object = json.loads(pods or "[]")
    if not isinstance(found, list):
        raise ValueError("the pods are not a list")  # noqa: TRY004 - of a file
    uids = [uid for uid in cast("list[object]", found) if isinstance(uid, str)]
    if len(uids) != len(cast("list[object]", found)) or not all(map(_UID.fullmatch, uids)):
        raise ValueError("what stands among the pods is no uid")
    return uids[:_MOST_PODS]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until it ends; return its exit status, as a shell gives it."""
    parser = argparse.ArgumentParser(description="Run the daemon with the slots pods asked for.")
    parser.add_argument("--base", required=True, type=Path, help="the operator's file")
    parser.add_argument("--pods", required=True, type=Path, help="what pods.py writes")
    parser.add_argument("--config", required=True, type=Path, help="what is made of both")
    parser.add_argument("command", nargs="+", help="reads --config, and again at SIGHUP")
    arguments = parser.parse_args(argv)
    try:
        written = _read(arguments.base, arguments.pods)
    except (OSError, ValueError) as error:
        _say(f"not started: {arguments.base}, {arguments.pods}: {error}")
        return 2
    _replace(arguments.config, written)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    # One thread is here, so nothing can hold a lock that the child would wait for.
    child = subprocess.Popen(arguments.command, preexec_fn=_hear_as_usual)  # noqa: PLW1509
    refused = ""
    while child.poll() is None:
        heard = signal.sigtimedwait(_HEARD, _POLL_SECONDS)
        if heard and heard.si_signo in _ENDING:
            child.send_signal(heard.si_signo)
        elif _is_heard(child.pid, signal.SIGHUP):
            try:
                wanted = _read(arguments.base, arguments.pods)
            except (OSError, ValueError) as error:
                if str(error) != refused:
                    refused = str(error)
                    _say(f"kept as it was: {arguments.base}, {arguments.pods}: {refused}")
                continue
            refused = ""
            if wanted != written:
                written = wanted
                _replace(arguments.config, written)
                child.send_signal(signal.SIGHUP)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _hear_as_usual() -> None:
    """In the child: nothing is blocked, and a reload that comes before it listens is harmless."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


def _is_heard(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal (``SigCgt`` of proc_pid_status(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # it has ended
    caught = status.partition("SigCgt:")[2].split()
    return bool(caught) and bool(int(caught[0], 16) >> (number - 1) & 1)


def _read(base: Path, pods: Path) -> str:
    """Return the one configuration; before `pods.py` has written there are no pods."""
    found = pods.read_text(encoding="utf-8") if pods.exists() else ""
    return merged(base.read_text(encoding="utf-8"), found)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def _say(line: str) -> None:
    sys.stderr.write(f"with_pods: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
