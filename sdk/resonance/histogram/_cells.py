# SPDX-License-Identifier: MIT
"""How are thousands of values sorted into buckets without a step of the interpreter for each?

A float of 64 bits has its octave in its exponent, and the first ten bits of its fraction cut
the octave into 1024 cells: with three significant digits those are the buckets. So values are
packed, and whole bytes of all of them are cut out, translated and joined; what is left to do
for each value is one addition. With numpy not even that.
"""

from __future__ import annotations

import struct
from array import array
from itertools import product, repeat
from operator import mul
from sys import byteorder
from typing import Final, Protocol

from resonance.histogram._layout import CELLS_PER_OCTAVE

__all__ = ["Cells", "PlainCells", "make_cells"]

_FIRST_OCTAVE: Final = 1
"""Values from 2 ns to six days; others are for the caller. With these, the exponent of the
float, whose bias is 1023, has only three values in all but its last four bits."""
_REGULAR: Final = b"\x40\x41\x42"
"""The first byte: the sign, and the first seven of eleven bits of the exponent."""
_FIRST, _SECOND, _THIRD, _HIGH, _LOW = (7, 6, 5, 1, 0) if byteorder == "little" else (0, 1, 2, 0, 1)

# A cell's number is sixteen bits. Its high byte is the second of the float: the last four bits
# of the exponent and the first four of the fraction. Its low byte is made of two bits more of
# the exponent and six of the fraction, from the bytes before and after.
_OF_FIRST: Final = bytes((byte & 3) << 6 for byte in range(256))
_OF_THIRD: Final = bytes(byte >> 2 for byte in range(256))
_NUMBERS: Final = 1 << 16
_RUN: Final = 64
"""Cells that follow one another have numbers that do, so many of them."""


class Cells(Protocol):
    """Counts of values by cell."""

    def add(self, values: tuple[float, ...], scale: float) -> bool:
        """Count all values, or none.

        Parameters
        ----------
        values : tuple of float
            One or more.
        scale : float
            Nanoseconds in one unit of them.

        Returns
        -------
        bool
            ``False``: one is not a number, below 2 ns or above six days, so none was counted.
        """
        ...

    def drain(self) -> list[tuple[int, list[int]]]:
        """Return the counts of each octave that has some, and begin at zero.

        Returns
        -------
        list of (int, list of int)
            The octave: values from ``2**octave`` ns; and the counts of its 1024 cells.
        """
        ...


class PlainCells:
    """Counts of values by cell, without numpy."""

    def __init__(self) -> None:
        self._counts = [0] * _NUMBERS
        self._is_empty = True

    def add(self, values: tuple[float, ...], scale: float) -> bool:
        """Count all values, or none.

        Parameters and result as `Cells.add`.
        """
        size = len(values)
        try:
            scaled = values if scale == 1.0 else map(mul, values, repeat(scale))
            packed = struct.Struct(f"{size}d").pack(*scaled)
        except (struct.error, TypeError, OverflowError):
            return False
        first = packed[_FIRST::8]
        if first.translate(None, _REGULAR):
            return False
        numbers = bytearray(2 * size)
        numbers[_HIGH::2] = packed[_SECOND::8]
        numbers[_LOW::2] = _either(
            first.translate(_OF_FIRST), packed[_THIRD::8].translate(_OF_THIRD)
        )
        self._is_empty = False
        counts = self._counts
        for number in array("H", numbers):
            counts[number] += 1
        return True

    def drain(self) -> list[tuple[int, list[int]]]:
        """Return the counts of each octave that has some, and begin at zero.

        Result as `Cells.drain`.
        """
        drained: list[tuple[int, list[int]]] = []
        if self._is_empty:
            return drained
        runs = CELLS_PER_OCTAVE // _RUN
        for upper, lower in product(range(len(_REGULAR)), range(16)):
            octave: list[int] = []
            for run in range(runs):
                start = (lower * runs + run) * 256 + upper * _RUN
                octave += self._counts[start : start + _RUN]
            if any(octave):
                drained.append((_FIRST_OCTAVE + upper * 16 + lower, octave))
        self._counts = [0] * _NUMBERS
        self._is_empty = True
        return drained


def make_cells() -> Cells:
    """Return cells that numpy counts in, where it is installed."""
    try:
        from resonance_core.calculus.octaves import OctaveCells
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        return PlainCells()
    return OctaveCells()


def _either(left: bytes, right: bytes) -> bytes:
    """Return the bits of both, byte by byte."""
    both = int.from_bytes(left, "little") | int.from_bytes(right, "little")
    return both.to_bytes(len(left), "little")
