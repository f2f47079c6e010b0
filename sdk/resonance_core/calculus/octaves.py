# SPDX-License-Identifier: MIT
"""Thousands of latencies counted by octave, each octave in 1024 cells.

A float of 64 bits has its octave in its exponent, and the first ten bits of its fraction are
the cell: a shift sorts it. These are the buckets of HdrHistogram with three significant digits
(G. Tene, "HdrHistogram: A High Dynamic Range Histogram", 2012).
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

__all__ = ["CELLS_PER_OCTAVE", "OctaveCells"]

CELLS_PER_OCTAVE: Final = 1024
_FIRST_OCTAVE: Final = 1
_OCTAVES: Final = 48
"""Values from 2 ns to six days, as where numpy is not at hand."""
_FRACTION_BITS: Final = 52
_CELL_BITS: Final = 10
_BIAS: Final = 1023
_FIRST_NUMBER: Final = (_BIAS + _FIRST_OCTAVE) << _CELL_BITS


class OctaveCells:
    """Counts of values by cell."""

    def __init__(self) -> None:
        self._counts = np.zeros(_OCTAVES * CELLS_PER_OCTAVE, dtype=np.int64)

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
        try:
            # Twice as fast as numpy's own way from a tuple to an array.
            ticks = np.frombuffer(struct.Struct(f"{len(values)}d").pack(*values))
        except (struct.error, TypeError, OverflowError):
            return False
        if scale != 1.0:
            with np.errstate(over="ignore"):  # what is infinite then is refused below
                ticks = ticks * scale
        numbers = ticks.view(np.int64) >> (_FRACTION_BITS - _CELL_BITS)
        numbers -= _FIRST_NUMBER
        if numbers.view(np.uint64).max() >= self._counts.size:  # also if one is below zero
            return False
        np.add.at(self._counts, numbers, 1)
        return True

    def drain(self) -> list[tuple[int, list[int]]]:
        """Return the counts of each octave that has some, and begin at zero.

        Returns
        -------
        list of (int, list of int)
            The octave: values from ``2**octave`` ns; and the counts of its 1024 cells.
        """
        octaves = self._counts.reshape(_OCTAVES, CELLS_PER_OCTAVE)
        filled = np.flatnonzero(octaves.any(axis=1))
        drained = [(_FIRST_OCTAVE + int(row), octaves[row].tolist()) for row in filled]
        self._counts[:] = 0
        return drained
