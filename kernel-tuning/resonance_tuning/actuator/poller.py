# SPDX-License-Identifier: MIT
"""One place to wait for everything: sockets, signals, and what the kernel marks as urgent."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Callable
from typing import Protocol

__all__ = ["Poller", "Source", "Wakeup"]


class Source(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


class Poller:
    """Calls whoever waits for what has happened; the argument is poll(2)'s mask."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def add(
        self, source: Source, handler: Callable[[int], None], mask: int = select.POLLIN
    ) -> None:
        """Wait for this too; the end and errors are told whatever the mask is."""
        self._poll.register(source.fileno(), mask)
        self._handlers[source.fileno()] = handler

    def change(self, source: Source, mask: int) -> None:
        """Wait for something else of it."""
        self._poll.modify(source.fileno(), mask)

    def remove(self, source: Source) -> None:
        """Wait for it no more; to be called before it is closed."""
        self._poll.unregister(source.fileno())
        del self._handlers[source.fileno()]

    def wait(self, seconds: float) -> None:
        """Wait for something to happen, but no longer than this, and call who waits for it."""
        for descriptor, mask in self._poll.poll(max(seconds, 0.0) * 1e3):
            handler = self._handlers.get(descriptor)
            if handler:  # another one may just have removed it
                handler(mask)


class Wakeup:
    """Signals as readable bytes, so that none ends us in the middle of a write."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, _wake)
        # A terminal's Ctrl-C and hang-up reach us too; who drives us decides what they mean.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def fileno(self) -> int:
        """Return what becomes readable at a signal."""
        return self._read.fileno()

    def close(self) -> None:
        """Hear no more."""
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()


def _wake(_number: int, _frame: object) -> None:
    """Do nothing: the interpreter has written the number where the loop waits."""
