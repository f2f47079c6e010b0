# SPDX-License-Identifier: MIT
"""How does a call become a stream of a connection, and end with it? (RFC 9113)"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from resonance.bench.digest import Outcome
from resonance.bench.load.wires import WireError
from resonance.bench.load.wires.http2 import frames
from resonance.bench.load.wires.http2.headers import Reader, Writer
from resonance.bench.load.wires.http2.outbox import Outbox
from resonance.bench.load.wires.http2.requests import Prepared

__all__ = ["Block", "Http2Wire"]

_MOST_STREAMS: Final = 100
"""At once; what RFC 9113, 6.5.2 asks peers to allow at least, and what is taken until one says."""
_MOST_BLOCK_BYTES: Final = 2**18
"""*Chosen*: header blocks in more frames than that are an attack (CVE-2024-27316)."""
_WITHOUT_BODY: Final = frozenset({204, 304})
_REFUSED_STREAM: Final = 7
_OUR_FAULT: Final = {
    1: "PROTOCOL_ERROR",
    3: "FLOW_CONTROL_ERROR",
    5: "STREAM_CLOSED",
    6: "FRAME_SIZE_ERROR",
    9: "COMPRESSION_ERROR",
    12: "INADEQUATE_SECURITY",
    13: "HTTP_1_1_REQUIRED",
}
"""Reasons to end a connection that say it is us who speak wrongly (RFC 9113, 7)."""


class Block(NamedTuple):
    """What a header block means.

    Attributes
    ----------
    status : int
        0 in trailers.
    length : int
        Of the body; -1 where it does not say.
    outcome : Outcome or None
    """

    status: int
    length: int
    outcome: Outcome | None


@dataclass(slots=True)
class _Call:
    number: int
    is_head: bool
    has_begun: bool = False
    outcome: Outcome | None = None
    length: int = -1
    received: int = 0
    taken: int = 0

    @property
    def lost(self) -> Outcome:
        return Outcome.CUT if self.has_begun else Outcome.RESET


class Http2Wire:
    """One connection.

    Parameters
    ----------
    requests : sequence of Prepared
    writer : Writer
        Of their header blocks.
    reader : Reader
    least_bytes : int
        Of the body of an answer that is ``OK``.

    Attributes
    ----------
    capacity : int
        Streams that may be open at once.
    is_reusable : bool
        ``False`` after GOAWAY.
    """

    def __init__(
        self,
        requests: Sequence[Prepared],
        writer: Writer,
        reader: Reader[Block],
        *,
        least_bytes: int = 0,
    ) -> None:
        self.capacity = _MOST_STREAMS
        self.is_reusable = True
        self._requests = requests
        self._writer = writer
        self._reader = reader
        self._least_bytes = least_bytes
        self._calls: dict[int, _Call] = {}
        self._ended: list[tuple[int, Outcome]] = []
        self._outbox = Outbox()
        self._rest = b""
        self._block: tuple[int, int, bytearray] | None = None
        self._next_stream = 1
        self._taken = 0
        self._has_settings = False
        self._fault = ""

    def begin(self) -> bytes:
        """Return the preface, our settings, and a wide window.

        Returns
        -------
        bytes
        """
        return frames.BEGIN

    def send(self, number: int, request: int) -> bytes:
        """Begin a call on a new stream.

        Parameters
        ----------
        number : int
        request : int

        Returns
        -------
        bytes
            As much of it as the peer's windows let through; `reply` has the rest as they open.
        """
        _, body, is_head = self._requests[request]
        stream = self._next_stream
        self._next_stream = stream + 2
        self._calls[stream] = _Call(number, is_head)
        block = self._writer.write(request)
        return self._outbox.begin(stream, block, body)

    def receive(self, data: bytes) -> Sequence[tuple[int, Outcome]]:
        """Take in what came.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        sequence of (int, Outcome)
            The calls that ended with it. Where what follows their ends is not of the protocol,
            all others are among them, as ``GARBAGE``.

        Raises
        ------
        WireError
            It is not of the protocol, and no call had ended before that.
        """
        if self._fault:
            raise WireError(self._fault)
        ended = self._ended = []
        if self._rest:
            data = self._rest + data
        try:
            self._rest = data[self._take_frames(data) :]
        except WireError as error:
            self._fault = error.reason
            self.is_reusable = False
            if not ended:
                raise
            ended += [(call.number, Outcome.GARBAGE) for call in self._calls.values()]
            self._calls.clear()
        return ended

    def reply(self) -> bytes:
        """Return acknowledgements, and what the windows now let through of bodies.

        Returns
        -------
        bytes
        """
        return self._outbox.take()

    def end(self) -> Sequence[tuple[int, Outcome]]:
        """Return the calls under way, now that the peer closed.

        Returns
        -------
        sequence of (int, Outcome)
        """
        self.is_reusable = False
        ended = [(call.number, call.lost) for call in self._calls.values()]
        self._calls.clear()
        return ended

    def _take_frames(self, data: bytes) -> int:
        at, size = 0, len(data)
        if not self._has_settings and data.startswith(b"HTTP/"):
            raise WireError("the peer speaks HTTP/1: its scheme is http, with TLS https")
        while size - at >= frames.HEAD.size:
            high, low, kind, flags, stream = frames.HEAD.unpack_from(data, at)
            length = high << 8 | low
            stream &= frames.MOST_WINDOW  # the highest bit is reserved
            start = at + frames.HEAD.size
            at_next = start + length
            if not self._has_settings and (kind != frames.SETTINGS or flags & frames.ACK):
                raise WireError("the peer does not speak HTTP/2: what came first is no SETTINGS")
            if length > frames.MOST_FRAME_BYTES:
                raise WireError(f"a frame of {length} bytes, longer than we allow")
            if at_next > size:
                break
            if self._block is not None and kind != frames.CONTINUATION:
                raise WireError("another frame in the middle of a header block")
            if kind == frames.DATA:
                self._take_data(stream, flags, length, data[start] if length else 0)
            elif kind == frames.HEADERS:
                self._take_headers(stream, flags, data[start:at_next])
            else:
                self._take_other(kind, stream, flags, data[start:at_next])
            at = at_next
        return at

    def _take_data(self, stream: int, flags: int, length: int, first: int) -> None:
        size = length
        if flags & frames.PADDED:
            size -= first + 1
            if size < 0:
                raise WireError("padding longer than its frame")
        self._taken += length
        if self._taken >= frames.CONNECTION_WINDOW // 2:
            self._outbox.add(frames.window_update(0, self._taken))
            self._taken = 0
        call = self._known(stream)
        if call is None:
            return
        call.received += size
        if not call.has_begun:
            self._spoil(stream, call)
        elif flags & frames.END_STREAM:
            self._finish(stream, call)
        else:
            call.taken += length
            if call.taken >= frames.STREAM_WINDOW // 2:
                self._outbox.add(frames.window_update(stream, call.taken))
                call.taken = 0

    def _take_headers(self, stream: int, flags: int, payload: bytes) -> None:
        if flags & (frames.PADDED | frames.PRIORITY):
            payload = frames.unpadded(payload, flags)
        if flags & frames.END_HEADERS:
            self._take_block(stream, flags, payload)
        else:
            self._block = stream, flags, bytearray(payload)

    def _take_continuation(self, stream: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream:
            raise WireError("a CONTINUATION of no header block")
        _, first_flags, block = self._block
        block += payload
        if len(block) > _MOST_BLOCK_BYTES:
            raise WireError(f"a header block of more than {_MOST_BLOCK_BYTES} bytes")
        if flags & frames.END_HEADERS:
            self._block = None
            self._take_block(stream, first_flags, bytes(block))

    def _take_block(self, stream: int, flags: int, block: bytes) -> None:
        status, length, outcome = self._reader.read(block)
        call = self._known(stream)
        if call is None:
            return
        is_last = bool(flags & frames.END_STREAM)
        if call.has_begun:
            is_sound = is_last and not status
        elif status < 200:
            is_sound = status >= 100 and not is_last
            outcome = None
        else:
            is_sound = call.has_begun = True
            if not call.is_head and status not in _WITHOUT_BODY:
                call.length = length
        if not is_sound:
            self._spoil(stream, call)
            return
        if outcome is not None:
            call.outcome = outcome
        if is_last:
            self._finish(stream, call)

    def _take_reset(self, stream: int, payload: bytes) -> None:
        _check("RST_STREAM", len(payload) == 4)
        call = self._known(stream)
        if call is not None:
            is_refused = not call.has_begun and frames.LONG.unpack(payload)[0] == _REFUSED_STREAM
            self._drop(stream, call, Outcome.NONE if is_refused else call.lost)

    def _take_settings(self, stream: int, flags: int, payload: bytes) -> None:
        is_answer = flags & frames.ACK
        _check("SETTINGS", not stream and not len(payload) % 6 and not (is_answer and payload))
        if is_answer:
            return
        self._has_settings = True
        for name, value in frames.SETTING.iter_unpack(payload):
            if name == frames.SET_STREAMS:
                self.capacity = min(value, _MOST_STREAMS)
            elif name == frames.SET_TABLE:
                self._writer.limit(value)
            elif name == frames.SET_INITIAL_WINDOW:
                self._outbox.set_stream_window(value)
        self._outbox.add(frames.ACKNOWLEDGED)

    def _take_goaway(self, stream: int, payload: bytes) -> None:
        _check("GOAWAY", not stream and len(payload) >= 8)
        last, reason = struct.unpack_from(">LL", payload)
        if reason in _OUR_FAULT:
            said = payload[8:].decode("ascii", "backslashreplace")
            raise WireError(f"the peer says {_OUR_FAULT[reason]} {said}".rstrip())
        self.is_reusable = False
        last &= frames.MOST_WINDOW
        for each in [each for each in self._calls if each > last]:
            self._drop(each, self._calls[each], Outcome.NONE)

    def _take_window(self, stream: int, payload: bytes) -> None:
        _check("WINDOW_UPDATE", len(payload) == 4)
        increment = frames.LONG.unpack(payload)[0] & frames.MOST_WINDOW
        _check("WINDOW_UPDATE", increment > 0)
        if stream:
            self._known(stream)
        self._outbox.widen(stream, increment)

    def _take_other(self, kind: int, stream: int, flags: int, payload: bytes) -> None:
        match kind:  # what is none of these is to be ignored (RFC 9113, 4.1)
            case frames.WINDOW_UPDATE:
                self._take_window(stream, payload)
            case frames.RST_STREAM:
                self._take_reset(stream, payload)
            case frames.SETTINGS:
                self._take_settings(stream, flags, payload)
            case frames.PING:
                _check("PING", not stream and len(payload) == 8)
                if not flags & frames.ACK:
                    self._outbox.add(frames.frame(frames.PING, frames.ACK, 0, payload))
            case frames.CONTINUATION:
                self._take_continuation(stream, flags, payload)
            case frames.GOAWAY:
                self._take_goaway(stream, payload)
            case frames.PUSH_PROMISE:
                raise WireError("PUSH_PROMISE, though we said that we take none")
            case _:
                pass

    def _known(self, stream: int) -> _Call | None:
        call = self._calls.get(stream)
        if call is None and (stream >= self._next_stream or not stream % 2):
            raise WireError(f"a frame of stream {stream}, which nobody opened")
        return call

    def _finish(self, stream: int, call: _Call) -> None:
        outcome = Outcome.GARBAGE if call.outcome is None else call.outcome
        if outcome is Outcome.OK and (
            call.received < self._least_bytes or -1 < call.length != call.received
        ):
            outcome = Outcome.GARBAGE
        if self._outbox.is_sending(stream):
            self._outbox.add(frames.reset(stream, frames.CANCEL))
        self._drop(stream, call, outcome)

    def _spoil(self, stream: int, call: _Call) -> None:
        self._outbox.add(frames.reset(stream, frames.PROTOCOL_ERROR))
        self._drop(stream, call, Outcome.GARBAGE)

    def _drop(self, stream: int, call: _Call, outcome: Outcome) -> None:
        del self._calls[stream]
        self._outbox.drop(stream)
        self._ended.append((call.number, outcome))


def _check(kind: str, is_sound: bool) -> None:
    if not is_sound:
        raise WireError(f"{kind} that may not be so")
