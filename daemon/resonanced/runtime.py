# SPDX-License-Identifier: MIT
"""The runtime directory: who may be in it, one service at a time, and empty afterwards.

While the service runs the directory is the daemon's, and what is in it may have been put
there by a daemon that somebody took over. So root opens nothing there but the lock, follows
no link, and removes only names that are ours.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from resonanced.config import Settings
from resonanced.errors import StartError
from resonanced.privileges import Identity
from resonanced.sockets import ADMIN_SOCKET, is_served

__all__ = ["directory", "held_back_log", "sweep_after_death"]

_LOCK: Final = "resonanced.lock"
_HOME_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
# Not blocking: a pipe in the lock's place must not hold up the start.
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MANAGED: Final = frozenset({errno.EBUSY, errno.EROFS})
"""What is answered where a service manager gave us the directory: it removes it itself."""
_MODE: Final = 0o755
_LOCK_MODE: Final = 0o600
"""Whoever can open a file can lock it, and keep us from starting."""


@contextmanager
def directory(settings: Settings, identity: Identity) -> Generator[Path]:
    """Hold the runtime directory for one service; leave nothing in it that we made.

    Forked children hold the lock too, so a daemon that outlives its keeper keeps it.

    Raises
    ------
    StartError
        It cannot be made, holds what is not ours, or another resonanced holds it.
    """
    path = Path(settings.service.runtime_directory)
    names = _names(Path(settings.hints.socket))
    with ExitStack() as stack:
        try:
            is_ours = _is_ours(path, identity)
            if not path.is_dir():
                stack.callback(_remove_empty, path)
            home = _open_home(path)
            stack.callback(os.close, home)
            _refuse_strangers(home, path, names, identity)
            lock = _open_lock(home, path)
            stack.callback(os.close, lock)
            _take(lock, path)
            # Before anything is written: where there is no room for it, nothing stays behind.
            stack.callback(_give_back, home, path, names, is_ours=is_ours)
            _sign(lock)
            if is_ours:
                # One that was left is the daemon's, and only its owner may set its mode.
                os.fchown(home, os.geteuid(), os.getegid())
                os.fchmod(home, _MODE)
            # The mode we set asks for no group, so ours keeps the one that tells it from others.
            os.fchown(home, identity.uid, -1 if is_ours else identity.gid)
        except OSError as error:
            hint = "set service.runtime_directory to a directory that can be made"
            if error.errno in _NO_ROOM:
                hint = f"make room in {path.parent} (df -h, df -i), then start again"
            raise StartError(str(path), error.strerror or str(error), hint) from error
        yield path


def sweep_after_death(settings: Settings) -> tuple[list[Path], int | None]:
    """Remove what a service that was killed left in its runtime directory.

    Returns
    -------
    removed : list of Path
        The directory and what was in it.
    holder : int or None
        The process that still holds the directory; then nothing is removed.

    Raises
    ------
    StartError
        It may not be opened.
    """
    path = Path(settings.service.runtime_directory)
    if not os.path.lexists(path / _LOCK):
        return [], None
    names = _names(Path(settings.hints.socket))
    try:
        home = os.open(path, _HOME_FLAGS)
        with ExitStack() as stack:
            stack.callback(os.close, home)
            lock = _open_lock(home, path)
            stack.callback(os.close, lock)
            if not _is_taken(lock):
                return [], _holder(lock)
            there = [path / name for name in names if os.path.lexists(path / name)]
            _give_back(home, path, names, is_ours=True)
    except OSError as error:
        raise StartError(str(path), error.strerror or str(error), "run as root") from error
    return [entry for entry in (*there, path) if not os.path.lexists(entry)], None


def _names(socket: Path) -> tuple[str, ...]:
    page = socket.with_suffix(".page").name
    return (socket.name, page, f".{page}", ADMIN_SOCKET, _LOCK)


def _is_ours(path: Path, identity: Identity) -> bool:
    """Return whether we make the directory, or one of us made it who could not clean up.

    That one left its lock in it; or was killed when the lock was gone already, and left a
    directory as only we make them: the daemon's, but of root's group. One that was given to us
    has been of the daemon's group since its first use.
    """
    if not path.is_dir() or (path / _LOCK).exists():
        return True
    found, group = path.lstat(), os.getegid()
    looks = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    # Where the daemon has our own user or group, a directory of ours looks like any other.
    can_tell = identity.uid != os.geteuid() and identity.gid != group
    return can_tell and looks == (identity.uid, group, _MODE)


def _open_home(path: Path) -> int:
    with suppress(FileExistsError):
        path.mkdir(mode=_MODE)
    return os.open(path, _HOME_FLAGS)


def _remove_empty(path: Path) -> None:
    with suppress(OSError):  # it was not made, is gone already, or somebody is in it now
        path.rmdir()


def _refuse_strangers(home: int, path: Path, names: tuple[str, ...], identity: Identity) -> None:
    found = os.fstat(home)
    strangers = sorted(entry for entry in os.listdir(home) if entry not in names)
    if strangers:
        reason = f"holds what is not ours: {strangers[0]}"
    elif found.st_uid not in {os.geteuid(), identity.uid}:
        reason = f"belongs to user {found.st_uid}"
    elif found.st_mode & stat.S_IWOTH:
        reason = "everybody may write there"
    else:
        return
    hint = "give resonanced a directory of its own: service.runtime_directory"
    raise StartError(str(path), reason, hint)


def _open_lock(home: int, path: Path) -> int:
    """Open the lock; a link or pipe in its place was not put there by us."""
    lock = os.open(_LOCK, _LOCK_FLAGS, _LOCK_MODE, dir_fd=home)
    found = os.fstat(lock)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return lock
    os.close(lock)
    raise StartError(str(path / _LOCK), "is not the file that we make", "remove it")


def _is_taken(lock: int) -> bool:
    """Take the lock unless somebody has it; return whether it is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> int:
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _take(lock: int, path: Path) -> None:
    if not _is_taken(lock):
        hint = "stop it first, or set another service.runtime_directory"
        raise StartError(str(path), f"in use by resonanced, pid {_holder(lock)}", hint)


def _sign(lock: int) -> None:
    """Say in the lock who has it."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _give_back(home: int, path: Path, names: tuple[str, ...], *, is_ours: bool) -> None:
    """Remove the files of a service that is over, but no socket that somebody else serves."""
    for name in names:
        if not is_served(path / name):
            # A directory of that name is not ours.
            with suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=home)
    if is_ours and not os.listdir(home):
        try:
            path.rmdir()
        except OSError as error:
            if error.errno not in _MANAGED:
                raise


@contextmanager
def held_back_log() -> Generator[None]:
    """Keep standard error in memory while something else draws on the terminal.

    What was logged is shown once the terminal is free again; nothing is lost.
    """
    terminal = os.dup(sys.stderr.fileno())
    log = os.memfd_create("resonanced.log")
    os.dup2(log, sys.stderr.fileno())
    try:
        yield
    finally:
        os.dup2(terminal, sys.stderr.fileno())
        os.close(terminal)
        os.lseek(log, 0, os.SEEK_SET)
        with os.fdopen(log, errors="replace") as kept:
            sys.stderr.writelines(kept)
