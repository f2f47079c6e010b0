# SPDX-License-Identifier: MIT
"""The one place that knows the package hdrhistogram: our counts as its text, and back.

References
----------
HdrHistogram 2.1, ``AbstractHistogram.java``: ``encodeIntoByteBuffer`` (V2) and
``encodeIntoCompressedByteBuffer``.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import struct
import zlib
from array import array
from collections.abc import Hashable
from ctypes import memmove, memset
from typing import Any, Final, Generic, TypeVar

from resonance.errors import MissingExtraError
from resonance.histogram._errors import FormatError
from resonance.histogram._layout import Layout

__all__ = ["Sums", "decode", "encode"]

_WHERE: Final = "encoded histogram"
_COMPRESSED: Final = 0x1C849304
_ENCODED: Final = 0x1C849303
_COOKIE_MASK: Final = ~0xF0
"""The word size in the cookie means nothing in V2, and differs between implementations."""
_OUTER: Final = struct.Struct(">II")
_HEADER: Final = struct.Struct(">IIIIQQd")
_SETTINGS: Final = slice(8, 40)
"""All of the header but the cookie and the length: what is the same from one to the next."""
_MOST_BYTES: Final = 64 * 2**20
"""*Chosen*: beyond what five digits over all 63 octaves can need, nine bytes to a count."""
_USUAL_BYTES: Final = 8_192
"""Of a second with thousands of latencies; room for all at once makes it a fifth slower."""

Key = TypeVar("Key", bound=Hashable)


def encode(layout: Layout, counts: array[int]) -> str:
    """Return counts in the format V2, compressed, in base64.

    Parameters
    ----------
    layout : Layout
    counts : (layout.size,) array of unsigned 64-bit integers

    Returns
    -------
    str
        ASCII.

    Raises
    ------
    MissingExtraError
        hdrhistogram is not installed.
    """
    histogram = _package("Histogram.encode").HdrHistogram(
        layout.lowest_ns, layout.highest_ns, layout.digits
    )
    assert histogram.counts_len == layout.size  # or this would write into what is not its own
    memory = counts.tobytes()
    memmove(histogram.counts, memory, len(memory))
    # The package encodes up to the longest latency, if there are any, and asks for no more.
    end = -(-len(memory.rstrip(b"\0")) // counts.itemsize)
    if end:
        histogram.set_internal_tacking_values(0, end - 1, 1)
    text: bytes = histogram.encode()
    return text.decode("ascii")


def decode(text: str) -> tuple[Layout, array[int]]:
    """Return the layout and the counts in a text.

    Parameters
    ----------
    text : str
        Of the format V2, compressed, in base64.

    Returns
    -------
    (Layout, (layout.size,) array of unsigned 64-bit integers)

    Raises
    ------
    FormatError
        It is not such a text, or its values are not whole nanoseconds.
    MissingExtraError
        hdrhistogram is not installed.
    """
    layout = _layout(text)
    try:
        histogram = _package("Histogram.decode").HdrHistogram.decode(text)
    # The package says in many ways that counts do not fit their header.
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise _unreadable(error) from None
    counts = array("Q", bytes(histogram.counts))
    assert len(counts) == layout.size
    return layout, counts


class Sums(Generic[Key]):
    """Adds up encoded histograms, each under a key, without making a histogram of each.

    The counts of a text are written into memory that is used again for the next, and only as
    many of them added and wiped as there are from the first that is not zero to the last.

    Raises
    ------
    MissingExtraError
        hdrhistogram is not installed.
    """

    def __init__(self) -> None:
        _package("Sums")
        # Not of the package itself: what its decode and its add do in between is most of both.
        codec: Any = importlib.import_module("pyhdrh")
        self._decode, self._add = codec.decode, codec.add_array
        self._layouts: dict[bytes, Layout] = {}
        self._room: dict[Layout, array[int]] = {}
        self._totals: dict[Key, dict[Layout, array[int]]] = {}

    def add(self, key: Key, text: str) -> None:
        """Add one.

        Parameters
        ----------
        key : hashable
        text : str
            As for `decode`.

        Raises
        ------
        FormatError
            As of `decode`, or the counts would pass 64 bits; then nothing was added.
        """
        inner = _decompressed(text)
        layout = self._layouts.get(inner[_SETTINGS])
        if layout is None:
            layout = self._layouts[inner[_SETTINGS]] = _layout_of(inner)
            self._room.setdefault(layout, _zeros(layout))
        else:
            _check_frame(inner)
        of_key = self._totals.setdefault(key, {})
        total = of_key.get(layout)
        if total is None:
            total = of_key[layout] = _zeros(layout)
        room = self._room[layout]
        size = room.itemsize
        begin, _ = room.buffer_info()
        into, _ = total.buffer_info()
        first, last = 0, layout.size - 1
        try:
            found = self._decode(inner, _HEADER.size, begin, layout.size, size)
            first, last = found["min_nonzero_index"], found["max_nonzero_index"]
            if first >= 0:
                self._add(into + size * first, begin + size * first, last - first + 1, size)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _unreadable(error) from None
        finally:
            if first >= 0:
                memset(begin + size * first, 0, size * (last - first + 1))

    def totals(self) -> dict[Key, dict[Layout, array[int]]]:
        """Return the counts of each key by layout, in the order that each was first met."""
        return self._totals


def _zeros(layout: Layout) -> array[int]:
    return array("Q", bytes(8 * layout.size))


def _unreadable(error: Exception) -> FormatError:
    return FormatError(_WHERE, f"its counts cannot be read: {error}")


def _layout(text: str) -> Layout:
    """Read and check all but the counts, which the package does not."""
    return _layout_of(_decompressed(text))


def _layout_of(inner: bytes) -> Layout:
    _check_frame(inner)
    *_, offset, digits, lowest_ns, highest_ns, ratio = _HEADER.unpack_from(inner)
    if offset or ratio != 1.0:
        raise FormatError(_WHERE, "its values are shifted or scaled, not whole nanoseconds")
    try:
        return Layout(lowest_ns, highest_ns, digits)
    except ValueError as error:
        raise FormatError(_WHERE, str(error)) from None


def _check_frame(inner: bytes) -> None:
    if len(inner) < _HEADER.size:
        raise FormatError(_WHERE, "it was cut off")
    cookie, length = _OUTER.unpack_from(inner)
    if cookie & _COOKIE_MASK != _ENCODED:
        raise FormatError(_WHERE, "it is not of the format V2")
    if length != len(inner) - _HEADER.size:
        raise FormatError(_WHERE, "it is not as long as it says")


def _decompressed(text: str) -> bytes:
    try:
        outer = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise FormatError(_WHERE, "it is not base64") from None
    if len(outer) < _OUTER.size or _OUTER.unpack_from(outer)[0] & _COOKIE_MASK != _COMPRESSED:
        raise FormatError(_WHERE, "it is not of the format V2, compressed")
    if _OUTER.unpack_from(outer)[1] != len(outer) - _OUTER.size:
        raise FormatError(_WHERE, "it was cut off, or something was added")
    unpacker = zlib.decompressobj()
    try:
        inner = unpacker.decompress(memoryview(outer)[_OUTER.size :], _USUAL_BYTES)
        if unpacker.unconsumed_tail:
            inner += unpacker.decompress(unpacker.unconsumed_tail, _MOST_BYTES)
    except zlib.error as error:
        raise FormatError(_WHERE, f"it cannot be decompressed: {error}") from None
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError(_WHERE, "it was cut off, or something was added")
    return inner


def _package(what: str) -> Any:
    try:
        return importlib.import_module("hdrh.histogram")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "hdrh":
            raise
        raise MissingExtraError(what, "hdrhistogram", "histogram") from None
