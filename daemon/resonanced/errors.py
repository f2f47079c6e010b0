# SPDX-License-Identifier: MIT
"""What can go wrong in the service.

::

    DaemonError               anything below; one clear line, with what to do next
      ConfigError             a file or flag is wrong: path, key, reason
      StartError              a port, socket or directory cannot be had
      RefusedError            the daemon process said it cannot start, and why
      StalledError            a room has not ticked for too long
"""

from __future__ import annotations

__all__ = ["ConfigError", "DaemonError", "RefusedError", "StalledError", "StartError"]


class DaemonError(Exception):
    """Base of every error of the daemon; ``str`` of it is what the operator reads."""

    exit_code = 1


class ConfigError(DaemonError):
    """A configuration value is unknown or out of range."""

    exit_code = 2

    def __init__(self, path: str, key: str, reason: str) -> None:
        super().__init__(path, key, reason)
        self.path = path
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        where = f"{self.path}: {self.key}" if self.key else self.path
        return f"{where}: {self.reason}"


class StartError(DaemonError):
    """Something the daemon needs at start is taken, missing or forbidden."""

    def __init__(self, subject: str, reason: str, hint: str = "") -> None:
        super().__init__(subject, reason, hint)
        self.subject = subject
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.subject}: {self.reason}"
        return f"{text}; {self.hint}" if self.hint else text


class RefusedError(DaemonError):
    """The daemon process could not start; its own words and exit status, passed on."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason, exit_code)
        self.reason = reason
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.reason


class StalledError(DaemonError):
    """A room has not ticked for too long."""

    def __init__(self, room: str, last_tick_seconds: float) -> None:
        super().__init__(room, last_tick_seconds)
        self.room = room
        self.last_tick_seconds = last_tick_seconds

    def __str__(self) -> str:
        return f"{self.room}: no tick for {self.last_tick_seconds:.1f} s"
