# SPDX-License-Identifier: MIT
"""How many values are in each bucket, and what follows from it? Arithmetic, for one thread."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, compress
from math import ceil
from operator import add
from typing import Final

from resonance.histogram._layout import Layout

__all__ = ["Quantiles", "Tally"]

_TOLERANCE: Final = 1e-9
"""Of a share in floating point, so that nine tenths of ten are nine and not ten."""


class Tally:
    """Counts of values by bucket.

    Parameters
    ----------
    layout : Layout
        Which values share a bucket.
    counts : (layout.size,) array of unsigned 64-bit integers, optional
        To begin with, taken over and not copied; zeros by default.

    Attributes
    ----------
    clamped : int
        Values beyond the last bucket, which are counted in it.
    refused : int
        What was to be counted and is no latency.
    """

    __slots__ = ("clamped", "counts", "layout", "refused")

    def __init__(self, layout: Layout, counts: array[int] | None = None) -> None:
        self.layout = layout
        self.counts = array("Q", bytes(8 * layout.size)) if counts is None else counts
        self.clamped = 0
        self.refused = 0

    def add(self, value_ns: int, count: int) -> None:
        """Count a value several times.

        Parameters
        ----------
        value_ns : int
            0 or more.
        count : int
            0 or more.
        """
        if value_ns < self.layout.top_ns:
            self.counts[self.layout.index(value_ns)] += count
        else:
            self.clamped += count
            self.counts[-1] += count

    def add_any(self, values: Iterable[float], scale: float) -> None:
        """Count values that may be anything at all.

        Parameters
        ----------
        values : iterable of float
            What is negative, NaN or no number is refused.
        scale : float
            Nanoseconds in one unit of them.
        """
        top_ns = self.layout.top_ns
        for value in values:
            try:
                value_ns = value * scale
                is_latency = bool(value_ns >= 0.0)
            except OverflowError:  # an integer beyond all floats
                value_ns, is_latency = float(top_ns), value > 0
            except (TypeError, ValueError):  # no number, put in without a type checker
                value_ns, is_latency = 0.0, False
            if is_latency:
                self.add(int(min(value_ns, top_ns)), 1)
            else:
                self.refused += 1

    def add_octave(self, octave: int, cells: list[int]) -> None:
        """Add counts of the 1024 cells of an octave; the layout has at most as many buckets.

        Parameters
        ----------
        octave : int
            Values from ``2**octave`` ns on; 0 or more.
        cells : (1024,) list of int
        """
        if 1 << octave >= self.layout.top_ns:
            self.add(1 << octave, sum(cells))
            return
        counts = self.counts
        for index, count in zip(self.layout.of_octave(octave), cells, strict=True):
            if count:
                counts[index] += count

    def merge(self, other: Tally) -> None:
        """Add the counts of another one; of another layout, by each bucket's lowest value.

        Parameters
        ----------
        other : Tally
            Stays as it is.
        """
        if other.layout == self.layout:
            self.counts = array("Q", map(add, self.counts, other.counts))
        else:
            for index, count in other.filled():
                self.add(other.layout.lowest_in(index), count)
        self.clamped += other.clamped
        self.refused += other.refused

    def copy(self) -> Tally:
        """Return another one with the same counts."""
        copied = Tally(self.layout, self.counts[:])
        copied.clamped, copied.refused = self.clamped, self.refused
        return copied

    def filled(self) -> Iterator[tuple[int, int]]:
        """Return the number and the count of each bucket that has values, in order."""
        return zip(self._filled(), filter(None, self.counts), strict=True)

    def _filled(self) -> Iterator[int]:
        return compress(range(self.layout.size), self.counts)

    def quantiles(self) -> Quantiles:
        """Return what quantiles are read from, as the values are now."""
        return Quantiles(
            self.layout, list(self._filled()), list(accumulate(filter(None, self.counts)))
        )

    def mean_ns(self) -> float | None:
        """Return the mean, each value taken as the middle of its bucket.

        Returns
        -------
        float or None
            Nanoseconds; ``None`` without values.
        """
        total = sum(self.counts)
        lowest, highest = self.layout.lowest_in, self.layout.highest_in
        doubled = sum(count * (lowest(index) + highest(index)) for index, count in self.filled())
        return doubled / (2 * total) if total else None


class Quantiles:
    """Which latency does a share of all not exceed? Worked out once, for those who ask often.

    Parameters
    ----------
    layout : Layout
    filled : list of int
        The buckets that have latencies, in order.
    reached : list of int
        How many latencies are in each of them and below it.

    Attributes
    ----------
    count : int
        Latencies counted.
    """

    __slots__ = ("_filled", "_layout", "_reached", "count")

    def __init__(self, layout: Layout, filled: list[int], reached: list[int]) -> None:
        self._layout = layout
        self._filled = filled
        self._reached = reached
        self.count = reached[-1] if reached else 0

    def at(self, q: float) -> float | None:
        """Return the least latency that at least a share of all do not exceed.

        Parameters
        ----------
        q : float
            The share, 0 to 1.

        Returns
        -------
        float or None
            Seconds, the highest of its bucket; ``None`` without latencies.

        Raises
        ------
        ValueError
            `q` is not between 0 and 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q must be between 0 and 1, not {q}")
        if not self.count:
            return None
        wanted = max(ceil(q * self.count - _TOLERANCE), 1)
        return self._layout.highest_in(self._filled[bisect_left(self._reached, wanted)]) / 1e9
