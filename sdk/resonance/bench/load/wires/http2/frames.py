# SPDX-License-Identifier: MIT
"""How are the frames of HTTP/2 written that a client of few requests sends? (RFC 9113, 4 and 6)"""

from __future__ import annotations

import struct
from typing import Final

from resonance.bench.load.wires import WireError

__all__ = [
    "ACK",
    "ACKNOWLEDGED",
    "BEGIN",
    "CANCEL",
    "CONNECTION_WINDOW",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "FIRST_WINDOW",
    "GOAWAY",
    "HEAD",
    "HEADERS",
    "LONG",
    "MOST_FRAME_BYTES",
    "MOST_WINDOW",
    "PADDED",
    "PING",
    "PRIORITY",
    "PROTOCOL_ERROR",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTING",
    "SETTINGS",
    "SET_INITIAL_WINDOW",
    "SET_STREAMS",
    "SET_TABLE",
    "STREAM_WINDOW",
    "WINDOW_UPDATE",
    "frame",
    "header_frames",
    "reset",
    "unpadded",
    "window_update",
]

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

SET_TABLE: Final = 1
_SET_PUSH: Final = 2
SET_STREAMS: Final = 3
SET_INITIAL_WINDOW: Final = 4

PROTOCOL_ERROR: Final = 1
CANCEL: Final = 8

MOST_FRAME_BYTES: Final = 16_384
"""Of payload, both ways: what each peer must take, and we do not ask for more."""
MOST_WINDOW: Final = 2**31 - 1
FIRST_WINDOW: Final = 65_535
STREAM_WINDOW: Final = 2**20
CONNECTION_WINDOW: Final = 2**24
"""*Chosen*: so large that no answer waits until we say that we took the last one."""

HEAD: Final = struct.Struct(">HBBBL")
"""Length in two parts, kind, flags, stream."""
LONG: Final = struct.Struct(">L")
SETTING: Final = struct.Struct(">HL")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame.

    Parameters
    ----------
    kind, flags, stream : int
    payload : bytes

    Returns
    -------
    bytes
    """
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def header_frames(stream: int, block: bytes, *, is_last: bool) -> bytes:
    """Return a header block in as many frames as it needs.

    Parameters
    ----------
    stream : int
    block : bytes
    is_last : bool
        Whether nothing follows it on the stream.

    Returns
    -------
    bytes
    """
    ends = END_STREAM if is_last else 0
    size = len(block)
    if size <= MOST_FRAME_BYTES:
        return HEAD.pack(size >> 8, size & 0xFF, HEADERS, ends | END_HEADERS, stream) + block
    pieces = [block[at : at + MOST_FRAME_BYTES] for at in range(0, size, MOST_FRAME_BYTES)]
    return b"".join(
        (
            frame(HEADERS, ends, stream, pieces[0]),
            *(frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1]),
            frame(CONTINUATION, END_HEADERS, stream, pieces[-1]),
        )
    )


def window_update(stream: int, increment: int) -> bytes:
    """Return the frame that lets the peer send so many bytes more.

    Parameters
    ----------
    stream : int
        0 for the connection.
    increment : int

    Returns
    -------
    bytes
    """
    return frame(WINDOW_UPDATE, 0, stream, LONG.pack(increment))


def reset(stream: int, reason: int) -> bytes:
    """Return the frame that ends a stream at once.

    Parameters
    ----------
    stream, reason : int

    Returns
    -------
    bytes
    """
    return frame(RST_STREAM, 0, stream, LONG.pack(reason))


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return the header block of a frame that has padding or a priority as well.

    Parameters
    ----------
    payload : bytes
    flags : int
        Of the frame.

    Returns
    -------
    bytes

    Raises
    ------
    WireError
        The frame is shorter than what it says is in it.
    """
    before = bool(flags & PADDED) + (5 if flags & PRIORITY else 0)
    after = payload[0] if flags & PADDED and payload else 0
    if before + after > len(payload):
        raise WireError("padding longer than its frame")
    return payload[before : len(payload) - after]


BEGIN: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(
        SETTINGS,
        0,
        0,
        SETTING.pack(_SET_PUSH, 0) + SETTING.pack(SET_INITIAL_WINDOW, STREAM_WINDOW),
    )
    + window_update(0, CONNECTION_WINDOW - FIRST_WINDOW)
)
"""The preface, no pushing, wide windows."""
ACKNOWLEDGED: Final = frame(SETTINGS, ACK, 0)
