# SPDX-License-Identifier: MIT
"""The runtime directory: who may be in it, one service at a time, and empty afterwards."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from resonanced.config import ServiceSettings
from resonanced.errors import StartError
from resonanced.privileges import Identity

__all__ = ["directory", "held_back_log", "sweep"]

_LOCK: Final = "resonanced.lock"


@contextmanager
def directory(settings: ServiceSettings, identity: Identity) -> Generator[Path]:
    """Hold the runtime directory for one service; leave nothing in it that we made.

    Raises
    ------
    StartError
        It cannot be made, or another resonanced holds it.
    """
    path = Path(settings.runtime_directory)
    was_there = path.is_dir()
    try:
        path.mkdir(mode=0o755, parents=False, exist_ok=True)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        hint = "set service.runtime_directory to a directory that can be made"
        raise StartError(str(path), error.strerror or str(error), hint) from error
    try:
        _take(lock, path)
        os.chown(path, identity.uid, identity.gid)
        try:
            yield path
        finally:
            sweep(path)
            if not was_there:
                path.rmdir()
    finally:
        os.close(lock)


@contextmanager
def held_back_log(path: Path) -> Generator[None]:
    """Keep standard error in a file while something else draws on the terminal.

    What was logged is shown once the terminal is free again; nothing is lost.
    """
    terminal = os.dup(sys.stderr.fileno())
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, sys.stderr.fileno())
    try:
        yield
    finally:
        os.dup2(terminal, sys.stderr.fileno())
        os.close(terminal)
        os.lseek(log, 0, os.SEEK_SET)
        with os.fdopen(log, errors="replace") as kept:
            sys.stderr.writelines(kept)


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        hint = "stop it first, or set another service.runtime_directory"
        raise StartError(str(path), f"in use by resonanced, pid {holder}", hint) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def sweep(path: Path) -> None:
    """Remove the sockets and regular files of a service that is over."""
    for entry in path.iterdir():
        if stat.S_ISSOCK(entry.lstat().st_mode) or entry.suffix in {".page", ".lock", ".log"}:
            entry.unlink()
