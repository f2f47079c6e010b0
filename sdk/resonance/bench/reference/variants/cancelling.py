# SPDX-License-Identifier: MIT
"""When is a call of gRPC over that was cancelled?

A server does not answer RST_STREAM. So a PING goes behind it, whose answer says that what came
before has been read (RFC 9113, 6.4 and 6.7); it names the stream. That answer is passed on as if
the server had reset the stream, and ends the call, unless the call's own answer was under way and
has ended it before: each call ends once, by what the server sent, in the order it sent it.

Dropped means that there will be no answer. What still waited then is not begun, grpcio sees to
that; what it had begun it finishes, and that work is in the CPU time of the server, but nothing
tells the driver to count it among what was wasted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from resonance.bench.digest import Outcome
from resonance.bench.load.wires import Wire
from resonance.bench.load.wires.http2 import frames

__all__ = ["CancellingWire"]


class CancellingWire:
    """A connection of HTTP/2 on which calls can be cancelled.

    Parameters
    ----------
    wire : Wire
        Of the same connection; it opens a stream for each call, and sends no PING of its own.

    Attributes
    ----------
    capacity : int
    is_reusable : bool
    """

    def __init__(self, wire: Wire) -> None:
        self.capacity = wire.capacity
        self.is_reusable = wire.is_reusable
        self._wire = wire
        self._next_stream = count(1, 2)
        self._streams: dict[int, int] = {}
        self._cancelled: set[int] = set()
        self._rest = b""

    def begin(self) -> bytes:
        """See `Wire`."""
        return self._wire.begin()

    def send(self, number: int, request: int) -> bytes:
        """See `Wire`."""
        self._streams[number] = next(self._next_stream)
        return self._wire.send(number, request)

    def cancel(self, number: int) -> bytes:
        """Return what cancels a call.

        Parameters
        ----------
        number : int
            Of one that is under way.

        Returns
        -------
        bytes
        """
        stream = self._streams[number]
        self._cancelled.add(number)
        asked = frames.frame(frames.PING, 0, 0, stream.to_bytes(8, "big"))
        return frames.reset(stream, frames.CANCEL) + asked

    def receive(self, data: bytes) -> Sequence[tuple[int, Outcome]]:
        """See `Wire`."""
        ended = self._wire.receive(self._translated(data))
        self.capacity, self.is_reusable = self._wire.capacity, self._wire.is_reusable
        for number, _ in ended:
            del self._streams[number]
        return ended

    def was_cancelled(self, number: int) -> bool:
        """Tell whether a call that has ended had been cancelled; asked once.

        Parameters
        ----------
        number : int

        Returns
        -------
        bool
        """
        was_so = number in self._cancelled
        self._cancelled.discard(number)
        return was_so

    def reply(self) -> bytes:
        """See `Wire`."""
        return self._wire.reply()

    def end(self) -> Sequence[tuple[int, Outcome]]:
        """See `Wire`."""
        return self._wire.end()

    def _translated(self, data: bytes) -> bytes:
        """Return the frames that are whole, a reset for each answer to a PING."""
        data = self._rest + data
        at, out = 0, bytearray()
        while len(data) - at >= frames.HEAD.size:
            high, low, kind, flags, _ = frames.HEAD.unpack_from(data, at)
            start = at + frames.HEAD.size
            end = start + (high << 8 | low)
            if end > len(data):
                break
            if kind == frames.PING and flags & frames.ACK:
                stream = int.from_bytes(data[start:end], "big")
                out += frames.reset(stream, frames.CANCEL)
            else:
                out += data[at:end]
            at = end
        self._rest = data[at:]
        return bytes(out)
