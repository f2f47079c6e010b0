# SPDX-License-Identifier: MIT
"""How often did it take how long? All of it, to three significant digits."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from math import isfinite
from typing import NamedTuple

from resonance.histogram import _hdr
from resonance.histogram._folding import fold_now_and_then, lock
from resonance.histogram._layout import Layout
from resonance.histogram._pending import Pending, to_ns
from resonance.histogram._tally import Quantiles, Tally

__all__ = ["Bucket", "Histogram", "histogram_of"]


class Bucket(NamedTuple):
    """Latencies that are not told apart."""

    lowest_seconds: float
    highest_seconds: float
    times: int


class Histogram:
    """Counts of latencies in the layout of HdrHistogram.

    Any thread may record and read. Recording only appends to a list; what is in it is taken in
    by whoever reads, and ten times a second by a thread that begins with the first use of
    `record`. A latency beyond the last bucket counts in the last bucket and in `clamped`; what
    is none at all, negative or not a number, counts in `refused` only.

    Parameters
    ----------
    lowest_ns : int
        The least difference to be told apart, 1 to 10**9; rounded down to a power of two.
    highest_ns : int
        Up to where at least there are buckets; twice `lowest_ns` or more, below 2**63.
    digits : int
        Significant decimal digits that are kept, 1 to 5. Up to 3, recording is fast.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Examples
    --------
    >>> histogram = Histogram()
    >>> for milliseconds in range(1, 101):
    ...     histogram.record(milliseconds / 1000)
    >>> histogram.count
    100
    >>> f"{histogram.quantile(0.99):.4f}"
    '0.0990'
    """

    def __init__(
        self,
        *,
        lowest_ns: int = 1_000,
        highest_ns: int = 100_000_000_000,
        digits: int = 3,
    ) -> None:
        self._begin(Tally(Layout(lowest_ns, highest_ns, digits)))
        self._pending.make_ready(self.layout)

    def _begin(self, tally: Tally) -> None:
        self._tally = tally
        self._pending = Pending()

    @classmethod
    def _of(cls, tally: Tally) -> Histogram:
        histogram = cls.__new__(cls)
        histogram._begin(tally)  # noqa: SLF001 - in place of __init__
        return histogram

    # -- recording

    @cached_property
    def record(self) -> Callable[[float], None]:
        """Count one latency, in seconds; a function, which may be kept in a variable."""
        self._pending.make_ready(self.layout)
        fold_now_and_then(self)
        return self._pending.seconds.append

    @cached_property
    def record_ns(self) -> Callable[[float], None]:
        """Count one latency, in nanoseconds, whole or not; otherwise like `record`."""
        self._pending.make_ready(self.layout)
        fold_now_and_then(self)
        return self._pending.ns.append

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a latency several times; slower than `record`, but it complains at once.

        Parameters
        ----------
        seconds : float
            0 or more; beyond the last bucket it counts there, and in `clamped`.
        count : int
            1 or more.

        Raises
        ------
        ValueError
            One of the two is out of range, or not finite.
        """
        if not (isfinite(seconds) and seconds >= 0.0):
            raise ValueError(f"a latency must be 0 or more seconds, not {seconds}")
        if count < 1:
            raise ValueError(f"count must be 1 or more, not {count}")
        with lock:
            self._tally.add(to_ns(seconds), count)

    def add_all_ns(self, values_ns: Iterable[float]) -> None:
        """Count many latencies at once, of a measurement that has ended; no thread begins.

        Parameters
        ----------
        values_ns : iterable of float
            Nanoseconds, whole or not; as with `record_ns`, what is no latency counts in `refused`.
        """
        self._pending.make_ready(self.layout)
        self._pending.ns.extend(values_ns)
        self.fold()

    def fold(self) -> None:
        """Take in what was recorded; whoever reads does this first."""
        with lock:
            self._pending.fold(self._tally)

    def _settled(self) -> Tally:
        """Return the counts themselves, with all in them that was recorded; with the lock held."""
        self._pending.settle(self._tally)
        return self._tally

    # -- as a whole

    def merge(self, *others: Histogram) -> None:
        """Add what others counted.

        Of another layout, the latencies of a bucket count as its lowest one, as in other
        implementations: none is lost, and the error is at most a bucket of each.

        Parameters
        ----------
        *others : Histogram
            They stay as they are.
        """
        with lock:
            for other in others:
                self._settled().merge(other._snapshot())  # noqa: SLF001 - of this class

    def take(self) -> Histogram:
        """Return what was counted so far as a histogram of its own, and begin at zero.

        Whatever is recorded at the same time is in this one or in a later one, never in both.
        """
        with lock:
            taken = self._settled()
            self._tally = Tally(taken.layout)
            return self._of(taken)

    def copy(self) -> Histogram:
        """Return another one with the same counts."""
        with lock:
            return self._of(self._settled().copy())

    def encode(self) -> str:
        """Return the counts in the format V2 of HdrHistogram, compressed, in base64.

        Raises
        ------
        MissingExtraError
            hdrhistogram is not installed.
        """
        tally = self._snapshot()
        return _hdr.encode(tally.layout, tally.counts)

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Return what was encoded, by this or by another implementation.

        Parameters
        ----------
        text : str
            Of the format V2, compressed, in base64.

        Returns
        -------
        Histogram
            With the layout of the text, so that encoding it gives the same text again.

        Raises
        ------
        FormatError
            It is not such a text, or its values are not whole nanoseconds.
        MissingExtraError
            hdrhistogram is not installed.
        """
        return cls._of(Tally(*_hdr.decode(text)))

    # -- reading

    def _snapshot(self) -> Tally:
        with lock:
            return self._settled().copy()

    @property
    def count(self) -> int:
        """Latencies counted, those clamped included."""
        return sum(self._snapshot().counts)

    @property
    def clamped(self) -> int:
        """Latencies beyond the last bucket, which are counted in it."""
        return self._snapshot().clamped

    @property
    def refused(self) -> int:
        """How much was recorded that is no latency: negative, NaN, not a number."""
        return self._snapshot().refused

    @property
    def layout(self) -> Layout:
        """Which values share a bucket."""
        return self._tally.layout

    def counts(self) -> array[int]:
        """Return the count of each bucket of `layout`."""
        return self._snapshot().counts

    def quantile(self, q: float) -> float | None:
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
        return self.quantiles().at(q)

    def quantiles(self) -> Quantiles:
        """Return what many quantiles are read from, of the latencies so far.

        Returns
        -------
        Quantiles
            Stays as it is, whatever is recorded later.
        """
        return self._snapshot().quantiles()

    @property
    def mean_seconds(self) -> float | None:
        """The mean, each latency taken as the middle of its bucket; ``None`` without any."""
        mean_ns = self._snapshot().mean_ns()
        return None if mean_ns is None else mean_ns / 1e9

    def __iter__(self) -> Iterator[Bucket]:
        """Return the buckets that have latencies, from the lowest on."""
        tally = self._snapshot()
        lowest, highest = tally.layout.lowest_in, tally.layout.highest_in
        for index, times in tally.filled():
            yield Bucket(lowest(index) / 1e9, highest(index) / 1e9, times)

    def __repr__(self) -> str:
        layout = self.layout
        return (
            f"<Histogram of {self.count} latencies, {layout.lowest_ns} to "
            f"{layout.highest_ns} ns, {layout.digits} digits>"
        )


def histogram_of(counts: Mapping[Layout, array[int]]) -> Histogram:
    """Return counts of several layouts as one histogram, in that of the first.

    Parameters
    ----------
    counts : mapping of Layout to (layout.size,) array of unsigned 64-bit integers
        One or more; taken over and not copied.

    Returns
    -------
    Histogram
    """
    first, *others = (Tally(layout, each) for layout, each in counts.items())
    for other in others:
        first.merge(other)
    return Histogram._of(first)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - in place of __init__
