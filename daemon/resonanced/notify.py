# SPDX-License-Identifier: MIT
"""Tell the service manager how we are (sd_notify(3)): one datagram, no library."""

from __future__ import annotations

import os
import socket

from resonanced.errors import StartError

__all__ = ["notify", "watchdog_seconds"]


def notify(state: str) -> None:
    """Send a state such as ``READY=1``; nothing happens without a service manager.

    Raises
    ------
    StartError
        There is one, and its socket does not take the message.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        # A leading @ stands for the zero byte of an abstract address.
        try:
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.sendall(state.encode())
        except OSError as error:
            hint = "unset NOTIFY_SOCKET, unless a service manager listens there"
            raise StartError(address, error.strerror or str(error), hint) from error


def watchdog_seconds() -> float | None:
    """Return how often the manager wants a sign of life, or None if it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() else None
