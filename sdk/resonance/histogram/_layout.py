# SPDX-License-Identifier: MIT
"""Which values share a bucket, and which number has it?

The arithmetic of HdrHistogram: buckets of equal width up to a number of units, then each
octave in as many buckets again, so that the width stays below a share of the value.

References
----------
HdrHistogram 2.1, ``AbstractHistogram.java``: ``init`` and ``countsArrayIndex``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["CELLS_PER_OCTAVE", "Layout"]

CELLS_PER_OCTAVE: Final = 1024
"""Of what is recorded fast, before it is put into a layout; those of three digits."""
_MOST_DIGITS: Final = 5
_MOST_LOWEST: Final = 10**9
"""*Chosen*: a histogram that cannot tell less than a second apart is not one of latencies; and
implementations that take logarithms in floating point disagree from 2**48 on."""
_MOST_HIGHEST: Final = 2**63 - 1


@dataclass(frozen=True)
class Layout:
    """The buckets of a histogram.

    Parameters
    ----------
    lowest_ns : int
        The least difference to be told apart, 1 to 10**9; rounded down to a power of two.
    highest_ns : int
        Up to where at least there are buckets; twice `lowest_ns` or more, below 2**63.
    digits : int
        Significant decimal digits of a value that are kept, 1 to 5.

    Attributes
    ----------
    size : int
        How many buckets there are.
    top_ns : int
        The first value for which there is none, a power of two.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    lowest_ns: int = 1_000
    highest_ns: int = 100_000_000_000
    digits: int = 3
    size: int = field(init=False, repr=False, compare=False)
    top_ns: int = field(init=False, repr=False, compare=False)
    _unit_bits: int = field(init=False, repr=False, compare=False)
    _half_bits: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.lowest_ns <= _MOST_LOWEST:
            raise ValueError(f"lowest_ns must be 1 to {_MOST_LOWEST}, not {self.lowest_ns}")
        if not 2 * self.lowest_ns <= self.highest_ns <= _MOST_HIGHEST:
            raise ValueError(
                f"highest_ns must be 2 * lowest_ns to {_MOST_HIGHEST}, not {self.highest_ns}"
            )
        if not 1 <= self.digits <= _MOST_DIGITS:
            raise ValueError(f"digits must be 1 to {_MOST_DIGITS}, not {self.digits}")
        unit_bits = self.lowest_ns.bit_length() - 1
        half_bits = (2 * 10**self.digits - 1).bit_length() - 1
        top_bits = max(self.highest_ns.bit_length(), half_bits + 1 + unit_bits)
        octaves = top_bits - half_bits - 1 - unit_bits
        object.__setattr__(self, "_unit_bits", unit_bits)
        object.__setattr__(self, "_half_bits", half_bits)
        object.__setattr__(self, "top_ns", 1 << top_bits)
        object.__setattr__(self, "size", (octaves + 2) << half_bits)

    def index(self, value_ns: int) -> int:
        """Return the number of the bucket of a value.

        Parameters
        ----------
        value_ns : int
            0 or more, below `top_ns`.

        Returns
        -------
        int
            0 or more, below `size`.
        """
        octave = max(value_ns.bit_length() - self._unit_bits - self._half_bits - 1, 0)
        return (octave << self._half_bits) + (value_ns >> octave + self._unit_bits)

    def lowest_in(self, index: int) -> int:
        """Return the lowest value of a bucket.

        Parameters
        ----------
        index : int
            0 or more, below `size`.

        Returns
        -------
        int
            Nanoseconds.
        """
        octave = max((index >> self._half_bits) - 1, 0)
        return (index - (octave << self._half_bits)) << octave + self._unit_bits

    def highest_in(self, index: int) -> int:
        """Return the highest value of a bucket.

        Parameters
        ----------
        index : int
            0 or more, below `size`.

        Returns
        -------
        int
            Nanoseconds.
        """
        octave = max((index >> self._half_bits) - 1, 0)
        return self.lowest_in(index) + (1 << octave + self._unit_bits) - 1

    @property
    def is_coarse(self) -> bool:
        """Whether each bucket is made of whole cells, of 1024 to the octave."""
        return 1 << self._half_bits <= CELLS_PER_OCTAVE

    def of_octave(self, octave: int) -> list[int]:
        """Return the bucket of each cell of an octave.

        Parameters
        ----------
        octave : int
            Values from ``2**octave`` ns on, below `top_ns`; 0 or more.

        Returns
        -------
        (1024,) list of int
        """
        start = 1 << octave
        if 1 << self._half_bits == CELLS_PER_OCTAVE and octave >= self._half_bits + self._unit_bits:
            first = self.index(start)
            return list(range(first, first + CELLS_PER_OCTAVE))
        return [
            self.index(start + (start * cell // CELLS_PER_OCTAVE))
            for cell in range(CELLS_PER_OCTAVE)
        ]
