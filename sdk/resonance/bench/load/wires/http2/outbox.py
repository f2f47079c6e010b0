# SPDX-License-Identifier: MIT
"""What is to be sent on a connection, and how much of it do the peer's windows let through?"""

from __future__ import annotations

from dataclasses import dataclass

from resonance.bench.load.wires import WireError
from resonance.bench.load.wires.http2 import frames

__all__ = ["Outbox"]


@dataclass(slots=True)
class _Unsent:
    body: bytes
    window: int
    at: int = 0


class Outbox:
    """What waits to be sent: answers of the protocol itself, and bodies that had no room."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._unsent: dict[int, _Unsent] = {}
        self._window = self._stream_window = frames.FIRST_WINDOW

    def add(self, data: bytes) -> None:
        """Add what no window holds back.

        Parameters
        ----------
        data : bytes
            Whole frames.
        """
        self._out += data

    def begin(self, stream: int, block: bytes, body: bytes) -> bytes:
        """Return what is sent for a new stream, after what waited.

        Parameters
        ----------
        stream : int
        block : bytes
            Of its header.
        body : bytes

        Returns
        -------
        bytes
        """
        out = frames.header_frames(stream, block, is_last=not body)
        if len(body) <= min(self._window, self._stream_window, frames.MOST_FRAME_BYTES):
            if body:
                self._window -= len(body)
                out += frames.frame(frames.DATA, frames.END_STREAM, stream, body)
            return self.take() + out if self._out else out
        self._out += out
        self._unsent[stream] = _Unsent(body, self._stream_window)
        self._flush(stream)
        return self.take()

    def take(self) -> bytes:
        """Return what can be sent.

        Returns
        -------
        bytes
        """
        if not self._out:
            return b""
        out = bytes(self._out)
        self._out.clear()
        return out

    def is_sending(self, stream: int) -> bool:
        """Return whether a part of a stream's body waits.

        Parameters
        ----------
        stream : int

        Returns
        -------
        bool
        """
        return stream in self._unsent

    def drop(self, stream: int) -> None:
        """Forget what waits of a stream's body.

        Parameters
        ----------
        stream : int
        """
        self._unsent.pop(stream, None)

    def widen(self, stream: int, increment: int) -> None:
        """Take in that the peer takes so many bytes more.

        Parameters
        ----------
        stream : int
            0 for the connection; of one whose body was sent it is of no interest.
        increment : int

        Raises
        ------
        WireError
            The window is wider than may be.
        """
        if not stream:
            self._window += increment
            _check(self._window)
            self._flush_all()
        elif stream in self._unsent:
            self._unsent[stream].window += increment
            _check(self._unsent[stream].window)
            self._flush(stream)

    def set_stream_window(self, size: int) -> None:
        """Take in how wide the windows of streams are from the beginning.

        Parameters
        ----------
        size : int
            Those that are open change by the difference, and may be negative then.

        Raises
        ------
        WireError
            It is wider than may be.
        """
        _check(size)
        for unsent in self._unsent.values():
            unsent.window += size - self._stream_window
            _check(unsent.window)
        self._stream_window = size
        self._flush_all()

    def _flush(self, stream: int) -> None:
        unsent = self._unsent[stream]
        while (room := min(self._window, unsent.window, frames.MOST_FRAME_BYTES)) > 0:
            piece = unsent.body[unsent.at : unsent.at + room]
            unsent.at += len(piece)
            unsent.window -= len(piece)
            self._window -= len(piece)
            is_last = unsent.at == len(unsent.body)
            flags = frames.END_STREAM if is_last else 0
            self._out += frames.frame(frames.DATA, flags, stream, piece)
            if is_last:
                del self._unsent[stream]
                break

    def _flush_all(self) -> None:
        for stream in list(self._unsent):
            self._flush(stream)


def _check(window: int) -> None:
    if window > frames.MOST_WINDOW:
        raise WireError(f"a window of {window} bytes, wider than HTTP/2 has them")
