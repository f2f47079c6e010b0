# SPDX-License-Identifier: MIT
"""Where is the daemon, when may it be asked again, and why did it not answer?

After a failure nothing is asked until a random moment passes (full jitter), so that callers
get "unknown" at once instead of a timeout each, and a daemon that comes back is not met by
all its clients together.

References
----------
M. Brooker, Exponential backoff and jitter, AWS Architecture Blog, 2015 ("full jitter").
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Final

__all__ = ["SOCKET_VARIABLE", "FailedCallError", "Link", "socket_path", "why_no_socket"]

SOCKET_VARIABLE: Final = "RESONANCE_HINTS_SOCKET"
_DEFAULT_SOCKET: Final = "/run/resonance/hints.sock"
_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 5.0
_MOST_DOUBLINGS: Final = 10
_PATH_BYTES: Final = 107
"""``sun_path`` of unix(7) without its closing zero."""


def socket_path(socket: str | os.PathLike[str] | None) -> Path:
    """Return the daemon's socket: the one given, else the environment's, else the default."""
    given = socket if socket is not None else os.environ.get(SOCKET_VARIABLE) or _DEFAULT_SOCKET
    return Path(given).absolute()


def why_no_socket(path: Path) -> str:
    """Return why a Unix socket cannot have this path, or nothing where it can."""
    if len(os.fsencode(path)) <= _PATH_BYTES:
        return ""
    return f"longer than the {_PATH_BYTES} bytes a Unix socket's path may have"


class FailedCallError(Exception):
    """A call without an answer: the name of its gRPC status, and the daemon's words."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class Link:
    """What is known of the way to the daemon.

    Parameters
    ----------
    path : pathlib.Path
        Its socket.

    Attributes
    ----------
    reason : str
        Why the last call had no answer; empty when it had.
    """

    def __init__(self, path: Path) -> None:
        self.reason = "not asked yet"
        self._path = path
        self._failures = 0
        self._open_at = 0.0
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether the daemon may be asked now."""
        return time.monotonic() >= self._open_at and not self._is_closed

    def close(self) -> None:
        """Let nothing be asked any more."""
        self.reason = "closed"
        self._is_closed = True

    def succeeded(self) -> None:
        """Take note of an answer."""
        self.reason = ""
        self._failures = 0
        self._open_at = 0.0

    def failed(self, error: FailedCallError) -> float:
        """Take note of a failed call; return the seconds to leave the daemon alone."""
        self.reason = f"{self._path}: {self._explain(error)}"
        if error.code == "INVALID_ARGUMENT":
            # The question's fault, and will be again; other questions may be asked.
            return _LONGEST_SECONDS
        ceiling = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        delay = random.uniform(0.0, ceiling)  # noqa: S311 - spreads clients, hides nothing
        self._open_at = time.monotonic() + delay
        return delay

    def _explain(self, error: FailedCallError) -> str:
        match error.code:
            case "UNAVAILABLE" if not os.path.exists(self._path):  # never raises, as a path's may
                return "no daemon here; start `resonanced run`"
            case "UNAVAILABLE" if not os.access(self._path, os.W_OK):
                return "permission denied; join the group that owns it (resonance)"
            case "UNAVAILABLE" if error.details.startswith("failed to connect"):
                return "the daemon has gone; start `resonanced run` again"
            case "UNIMPLEMENTED":
                return "the daemon speaks another version; update the older of the two"
            case "DEADLINE_EXCEEDED":
                return "no answer in time"
            case _:
                return error.details or error.code.lower()
