# SPDX-License-Identifier: MIT
"""The actuator's end of the connection: never waited for, in either direction."""

from __future__ import annotations

import socket
from typing import Final

import msgspec

from resonance_tuning.actuator import wire
from resonance_tuning.errors import ActuatorError

__all__ = ["Channel"]

_CHUNK_BYTES: Final = 1 << 16


class Channel:
    """Requests in, answers and events out.

    Parameters
    ----------
    connection : socket
        One end of a stream pair; it is ours from now on.
    max_unread_bytes : int
        What a client may leave unread before it is taken for broken.
    """

    def __init__(
        self, connection: socket.socket, max_unread_bytes: int = wire.MAX_ANSWER_BYTES
    ) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._max_unread_bytes = max_unread_bytes
        self._lines = wire.Lines(wire.MAX_REQUEST_BYTES)
        self._unsent = bytearray()

    def fileno(self) -> int:
        """Return what becomes readable when a request or the end comes."""
        return self._connection.fileno()

    def close(self) -> None:
        """Let the other side see the end."""
        self._connection.close()

    @property
    def has_unsent(self) -> bool:
        """True while `flush` has something to do once the socket is writable."""
        return bool(self._unsent)

    def receive(self) -> list[wire.Request] | None:
        """Return the requests that are complete, or None at the other side's end.

        Raises
        ------
        ActuatorError
            It says what ours never would.
        """
        try:
            data = self._connection.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not data:
            return None
        try:
            return [wire.decode_request(line) for line in self._lines.feed(data)]
        except msgspec.MsgspecError as error:
            raise ActuatorError(f"a request that is none: {error}") from error

    def say(self, message: wire.Answer | wire.Event) -> None:
        """Send as far as the socket takes it, and keep the rest.

        Raises
        ------
        ActuatorError
            The other side does not read.
        """
        self._unsent += wire.encode(message)
        self.flush()
        if len(self._unsent) > self._max_unread_bytes:
            raise ActuatorError("the client does not read what it is told")

    def flush(self) -> None:
        """Send what was kept; who is gone is seen at the next `receive`."""
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()
