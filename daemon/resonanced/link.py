# SPDX-License-Identifier: MIT
"""What the privileged keeper and the unprivileged daemon say to each other.

Two socket pairs, one message per packet, JSON: on *requests* the daemon asks and waits for
the answer; on *orders* the keeper tells. Neither trusts the other's bytes to be more than
these records.
"""

from __future__ import annotations

import socket
from typing import Annotated, Final

import msgspec

from resonanced.config import Settings
from resonanced.errors import DaemonError

__all__ = [
    "Answer",
    "Assign",
    "Failed",
    "KeeperLink",
    "Misses",
    "Ready",
    "Release",
    "Reload",
    "Request",
    "decode_request",
]

_MAX_BYTES: Final = 1 << 16
_TIMEOUT_SECONDS: Final = 8.0
"""On a node full of hogs the keeper waits for a CPU for seconds. Still within the ten that the
service manager's watchdog leaves us (``WatchdogSec=``), so that it is we who say what is wrong."""
_Line = Annotated[str, msgspec.Meta(max_length=8_192, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
"""What root may print on a terminal: nothing that moves a cursor."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The daemon serves; where."""

    metrics: _Line
    hints: _Line


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The daemon cannot start, and why."""

    reason: _Line
    exit_code: Annotated[int, msgspec.Meta(ge=1, le=255)]


class Assign(msgspec.Struct, frozen=True, tag="assign"):
    """Count a cgroup in a slot. Answered with whether the table had room near its hash."""

    slot: int
    cgroup_id: int


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Count a cgroup in slot 0 again."""

    cgroup_id: int


class Misses(msgspec.Struct, frozen=True, tag="misses"):
    """How often did the kernel skip each program?"""


Request = Ready | Failed | Assign | Release | Misses


class Answer(msgspec.Struct, frozen=True):
    """The keeper's answer to what is asked; `Release` and `Failed` are only told."""

    is_done: bool = True
    misses: dict[str, int] = {}


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """The keeper's order to take new settings.

    Attributes
    ----------
    settings : Settings
        What is in force from now on, as far as it can be.
    refused : str
        Why the file was not taken; then `settings` are the old ones.
    needs_restart : list of str
        Changed keys that only a restart puts into force.
    """

    settings: Settings
    refused: str = ""
    needs_restart: list[str] = []


def decode_request(raw: bytes) -> Request:
    """Parse one packet from the daemon; raises ``msgspec.MsgspecError``."""
    request: Request = msgspec.json.decode(raw, type=Request)
    return request


class KeeperLink:
    """The daemon's end of the requests.

    Raises
    ------
    DaemonError
        From both calls: the keeper is gone or does not answer; without it we cannot live.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._socket = requests
        self._socket.settimeout(_TIMEOUT_SECONDS)

    def tell(self, request: Request) -> None:
        """Send what needs no answer."""
        try:
            self._socket.send(msgspec.json.encode(request))
        except OSError as error:
            raise DaemonError(f"the keeper does not listen: {error}") from error

    def ask(self, request: Assign | Misses | Ready) -> Answer:
        """Send a request and wait for its answer."""
        self.tell(request)
        try:
            raw = self._socket.recv(_MAX_BYTES)
        except OSError as error:
            raise DaemonError(f"the keeper does not answer: {error}") from error
        if not raw:
            raise DaemonError("the keeper is gone")
        return msgspec.json.decode(raw, type=Answer)
