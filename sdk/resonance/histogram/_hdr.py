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
from ctypes import memmove
from typing import Any, Final

from resonance.errors import MissingExtraError
from resonance.histogram._errors import FormatError
from resonance.histogram._layout import Layout

__all__ = ["decode", "encode"]

_WHERE: Final = "encoded histogram"
_COMPRESSED: Final = 0x1C849304
_ENCODED: Final = 0x1C849303
_COOKIE_MASK: Final = ~0xF0
"""The word size in the cookie means nothing in V2, and differs between implementations."""
_OUTER: Final = struct.Struct(">II")
_HEADER: Final = struct.Struct(">IIIIQQd")
_MOST_BYTES: Final = 64 * 2**20
"""*Chosen*: beyond what five digits over all 63 octaves can need, nine bytes to a count."""


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
        raise FormatError(_WHERE, f"its counts cannot be read: {error}") from None
    counts = array("Q", bytes(histogram.counts))
    assert len(counts) == layout.size
    return layout, counts


def _layout(text: str) -> Layout:
    """Read and check all but the counts, which the package does not."""
    inner = _decompressed(text)
    if len(inner) < _HEADER.size:
        raise FormatError(_WHERE, "it was cut off")
    cookie, length, offset, digits, lowest_ns, highest_ns, ratio = _HEADER.unpack_from(inner)
    if cookie & _COOKIE_MASK != _ENCODED:
        raise FormatError(_WHERE, "it is not of the format V2")
    if length != len(inner) - _HEADER.size:
        raise FormatError(_WHERE, "it is not as long as it says")
    if offset or ratio != 1.0:
        raise FormatError(_WHERE, "its values are shifted or scaled, not whole nanoseconds")
    try:
        return Layout(lowest_ns, highest_ns, digits)
    except ValueError as error:
        raise FormatError(_WHERE, str(error)) from None


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
        inner = unpacker.decompress(outer[_OUTER.size :], _MOST_BYTES)
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
