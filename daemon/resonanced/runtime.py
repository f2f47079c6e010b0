# SPDX-License-Identifier: MIT
"""The runtime directory: who may be in it, one service at a time, and empty afterwards."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from resonanced.config import Settings
from resonanced.errors import StartError
from resonanced.hints.socket import is_served
from resonanced.privileges import Identity

__all__ = ["directory", "held_back_log"]

_LOCK: Final = "resonanced.lock"
_LOG: Final = "resonanced.log"
_OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
"""The directory is the daemon's: what it could link to must not be opened as root."""


@contextmanager
def directory(settings: Settings, identity: Identity) -> Generator[Path]:
    """Hold the runtime directory for one service; leave nothing in it that we made.

    Raises
    ------
    StartError
        It cannot be made, holds what is not ours, or another resonanced holds it.
    """
    path = Path(settings.service.runtime_directory)
    names = _names(Path(settings.hints.socket))
    # A lock that is there already was left by one of us who could not clean up.
    is_ours = not path.is_dir() or (path / _LOCK).exists()
    try:
        path.mkdir(mode=0o755, parents=False, exist_ok=True)
        _refuse_strangers(path, names)
        lock = os.open(path / _LOCK, _OPEN_FLAGS, 0o644)
    except OSError as error:
        hint = "set service.runtime_directory to a directory that can be made"
        raise StartError(str(path), error.strerror or str(error), hint) from error
    try:
        _take(lock, path)
        os.chown(path, identity.uid, identity.gid)
        try:
            yield path
        finally:
            _sweep(path, names)
            if is_ours and not any(path.iterdir()):
                path.rmdir()
    finally:
        os.close(lock)


def _names(socket: Path) -> tuple[str, ...]:
    page = socket.with_suffix(".page").name
    return (_LOCK, _LOG, socket.name, page, f".{page}")


def _refuse_strangers(path: Path, names: tuple[str, ...]) -> None:
    strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in names)
    if strangers:
        hint = "give resonanced a directory of its own: service.runtime_directory"
        raise StartError(str(path), f"holds what is not ours: {strangers[0]}", hint)


@contextmanager
def held_back_log(directory: Path) -> Generator[None]:
    """Keep standard error in a file while something else draws on the terminal.

    What was logged is shown once the terminal is free again; nothing is lost.
    """
    terminal = os.dup(sys.stderr.fileno())
    log = os.open(directory / _LOG, _OPEN_FLAGS | os.O_TRUNC | os.O_APPEND, 0o600)
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


def _sweep(path: Path, names: tuple[str, ...]) -> None:
    """Remove the files of a service that is over, but no socket that somebody else serves."""
    for name in names:
        if not is_served(path / name):
            (path / name).unlink(missing_ok=True)
