# SPDX-License-Identifier: MIT
"""What goes over the wire: numbered requests and their answers, any number on a connection."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

__all__ = ["Frame", "Kind", "frames", "pack", "worked"]

_FRAME: Final = struct.Struct("!QB32s")
_ROUNDS: Final = 300
"""*Chosen*: about a tenth of a millisecond of a CPU for each request that is served."""


class Kind(IntEnum):
    """What a frame is: two of the client's, two of the server's."""

    REQUEST = 0
    WITHDRAWN = 1
    SERVED = 2
    REFUSED = 3


class Frame(NamedTuple):
    """A request, or what became of it.

    Attributes
    ----------
    number : int
        Which request of its connection.
    kind : Kind
    payload : bytes
        32 of them.
    """

    number: int
    kind: Kind
    payload: bytes


def pack(frame: Frame) -> bytes:
    """Return a frame as it goes over the wire."""
    return _FRAME.pack(*frame)


def frames(received: bytearray) -> Iterator[Frame]:
    """Take the whole frames out of what was received."""
    whole = len(received) // _FRAME.size * _FRAME.size
    taken = bytes(received[:whole])
    del received[:whole]
    for number, kind, payload in _FRAME.iter_unpack(taken):
        yield Frame(number, Kind(kind), payload)


def worked(payload: bytes) -> bytes:
    """Do the work of a request; its answer shows that it was done."""
    for _ in range(_ROUNDS):
        payload = hashlib.sha256(payload).digest()
    return payload
