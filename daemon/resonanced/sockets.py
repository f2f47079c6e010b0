# SPDX-License-Identifier: MIT
"""May we have this path for a Unix socket of ours?

gRPC removes whatever socket it finds at the path, also one that somebody serves. So we
look first: a live one is an error, and a dead daemon's is left for gRPC to replace.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Final

from resonanced.errors import StartError

__all__ = ["ADMIN_SOCKET", "check_socket_path", "is_served", "socket_mode"]

ADMIN_SOCKET: Final = "admin.sock"
"""In the runtime directory; what the operator alone may ask is asked there."""
_PATH_BYTES: Final = 107
"""Longest path of a Unix socket: ``sun_path`` of unix(7) without its closing zero."""
_PROBE_TIMEOUT_SECONDS: Final = 1.0


def check_socket_path(path: Path) -> None:
    """Raise unless a socket can be made at `path`.

    Raises
    ------
    StartError
        The path is too long, its directory is missing or not writable, or it is served.
    """
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise StartError(
            str(path),
            f"longer than the {_PATH_BYTES} bytes a Unix socket may have",
            "choose a shorter runtime_directory",
        )
    if not path.parent.is_dir():
        raise StartError(str(path.parent), "no such directory", "create it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StartError(
            str(path.parent),
            "not writable",
            f"give it to user {os.geteuid()} or choose another runtime_directory",
        )
    _check_free(path)


def _check_free(path: Path) -> None:
    if path.exists() and not path.is_socket():
        raise StartError(str(path), "exists and is not a socket", "move it away")
    if is_served(path):
        raise StartError(str(path), "socket taken", "stop the other resonanced first")


def is_served(path: Path) -> bool:
    """Return whether somebody accepts connections at a path."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_SECONDS)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


@contextlib.contextmanager
def socket_mode(mode: int) -> Generator[None]:
    """Let sockets made inside have `mode` from their first moment on."""
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)
