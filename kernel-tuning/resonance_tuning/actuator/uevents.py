# SPDX-License-Identifier: MIT
"""Did a CPU come or go? The kernel's own word, by netlink; nothing is asked in between."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["CpuEvent", "Uevents", "parse"]

_KOBJECT_UEVENT: Final = 15
"""``NETLINK_KOBJECT_UEVENT`` of ``include/uapi/linux/netlink.h``."""
_KERNEL_GROUP: Final = 1
"""What the kernel sends; group 2 is udev's, and anybody's."""
_MAX_BYTES: Final = 1 << 14
_ACTIONS: Final[dict[str, Literal["online", "offline"]]] = {
    "online": "online",
    "offline": "offline",
    "add": "online",
    "remove": "offline",
}


@dataclass(frozen=True, slots=True)
class CpuEvent:
    """A CPU came or went."""

    cpu: int
    action: Literal["online", "offline"]


def parse(packet: bytes) -> CpuEvent | None:
    r"""Return what a packet says of a CPU, or nothing if it is of something else.

    >>> parse(b"offline@/devices/system/cpu/cpu1\0ACTION=offline\0SUBSYSTEM=cpu\0")
    CpuEvent(cpu=1, action='offline')
    """
    head, _, path = packet.partition(b"\0")[0].decode(errors="replace").partition("@")
    action = _ACTIONS.get(head)
    directory, _, name = path.rpartition("/")
    number = name.removeprefix("cpu")
    if not action or directory != "/devices/system/cpu" or not number.isdigit():
        return None
    return CpuEvent(int(number), action)


class Uevents:
    """The kernel's announcements; no privilege is needed to hear them.

    Raises
    ------
    OSError
        This kernel or sandbox has no such socket.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, _KOBJECT_UEVENT)
        try:
            self._socket.bind((0, _KERNEL_GROUP))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return what becomes readable."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def take(self) -> tuple[list[CpuEvent], bool]:
        """Return the CPUs that came or went, and whether announcements were lost."""
        events: list[CpuEvent] = []
        is_lost = False
        while True:
            try:
                packet, (sender, _) = self._socket.recvfrom(_MAX_BYTES)
            except BlockingIOError:
                return events, is_lost
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                is_lost = True  # more came than the socket holds
                continue
            event = parse(packet) if sender == 0 else None  # 0 is the kernel itself
            if event:
                events.append(event)
