# SPDX-License-Identifier: MIT
"""How long did attempts take in the last seconds, those included that nobody waited for?

An attempt that was overtaken or cancelled took at least as long as it ran. Left out, it makes
a service look faster the more of its slow attempts are cut short; so it is kept as what it is,
an observation cut off at the right, and the distribution is the product-limit estimate.

The buckets are those of the number format: the upper half of a 32-bit float is its exponent
and 7 bits of its fraction, so packing a list of latencies sorts them into buckets that are
1/128 of an octave's beginning apart, without a step of the interpreter for each.

References
----------
Kaplan, Meier, "Nonparametric Estimation from Incomplete Observations", Journal of the
American Statistical Association 53, 1958. https://doi.org/10.1080/01621459.1958.10501452
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_left
from collections import Counter
from math import inf
from typing import Final

__all__ = ["Window"]

_HALF_SECONDS: Final = 5.0
"""Seconds after which the older half is dropped. *Chosen*: long enough for a thousand attempts
at 200 a second, short enough to follow a neighbour that comes and goes."""
_MOST_CURVE_SECONDS: Final = 0.5
_MOST_NEW_RATIO: Final = 1 / 16
"""The curve is drawn anew once it is this old, or this share of it is new. *Chosen*: drawing it
costs as much as taking in two thousand attempts, and needs to be done but a few times a second."""
_MANY_SAMPLES: Final = 1_000
"""From here on p99.9 is told by at least one attempt."""
_TOLERANCE: Final = 1e-9
"""``1 - 0.9`` is less than a tenth in floating point; no window holds so many attempts that
this matters."""
_UPPER_HALF: Final = slice(1, None, 2) if sys.byteorder == "little" else slice(0, None, 2)
_INFINITE_CODE: Final = 0x7F80
_NEGATIVE_CODE: Final = 0x8000


class Window:
    """Latencies of the last one to two halves of a window.

    Not thread-safe but for `pending`, whose ``append`` may be called at any time.

    Parameters
    ----------
    half_seconds : float
        The window is between one and two of these long; above 0.

    Attributes
    ----------
    pending : list of float
        Seconds that attempts took from beginning to reply: what ``append`` puts here is taken
        in by the next `refresh`. What is negative, because a clock went back, counts as zero.
    count : int
        Attempts in the window, those cut short included, as of the last `refresh`.

    Raises
    ------
    ValueError
        `half_seconds` is not above 0.
    """

    __slots__ = (
        "_codes",
        "_curve_at",
        "_curve_count",
        "_half_began_at",
        "_half_seconds",
        "_new",
        "_new_cut",
        "_old",
        "_old_cut",
        "_pending_cut",
        "_quantiles",
        "_shares",
        "count",
        "pending",
    )

    def __init__(self, half_seconds: float = _HALF_SECONDS) -> None:
        if not half_seconds > 0.0:
            raise ValueError(f"half_seconds must be above 0, not {half_seconds}")
        self._half_seconds = half_seconds
        self._half_began_at = inf
        self._curve_at = -inf
        self._curve_count = 0
        self.count = 0
        self.pending: list[float] = []
        self._pending_cut: list[float] = []
        self._new: Counter[int] = Counter()
        self._old: Counter[int] = Counter()
        self._new_cut: Counter[int] = Counter()
        self._old_cut: Counter[int] = Counter()
        self._codes: list[int] = []
        self._shares: list[float] = []
        self._quantiles: dict[float, float] = {}

    def censored(self, elapsed_seconds: float) -> None:
        """Note an attempt that was overtaken or cancelled: it would have taken longer.

        Parameters
        ----------
        elapsed_seconds : float
            How long it was under way.
        """
        self._pending_cut.append(elapsed_seconds)

    def refresh(self, now: float) -> None:
        """Take in what is pending, as of now, and forget what is too old.

        The quantiles follow when their curve is 0.5 s old or a sixteenth of it is new.

        Parameters
        ----------
        now : float
            On the clock of all earlier calls; one that stands still or goes back is harmless.
        """
        self._rotate(now)
        added = _fold(self.pending, self._new) + _fold(self._pending_cut, self._new_cut)
        self.count += added
        is_stale = now - self._curve_at >= _MOST_CURVE_SECONDS
        if is_stale or self.count - self._curve_count > self._curve_count * _MOST_NEW_RATIO:
            self._curve_at = now
            self._curve_count = self.count
            self._draw()

    def quantile(self, q: float) -> float | None:
        """Return the time within which a share of all attempts is done.

        Parameters
        ----------
        q : float
            The share, 0 to 1.

        Returns
        -------
        float or None
            Seconds: the upper edge of its bucket, at most 0.8 % above the exact answer. Where
            too many attempts were cut short to know, the longest of all stands for it [1]_.
            ``None`` without samples.

        Raises
        ------
        ValueError
            `q` is not between 0 and 1.

        References
        ----------
        .. [1] Efron, "The Two Sample Problem with Censored Data", Proceedings of the Fifth
           Berkeley Symposium 4, 1967, section 7.
        """
        known = self._quantiles.get(q)
        if known is not None:
            return known
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q must be between 0 and 1, not {q}")
        if not self._codes:
            return None
        code = self._codes[bisect_left(self._shares, q - _TOLERANCE, hi=len(self._shares) - 1)]
        self._quantiles[q] = edge = _upper_edge(code)
        return edge

    def fraction_above(self, seconds: float) -> float:
        """Return the share of attempts that take longer.

        Parameters
        ----------
        seconds : float
            Those in the same bucket count as longer, so that no more than ``1 - q`` take
            longer than ``quantile(q)``.

        Returns
        -------
        float
            0 to 1; 0 without samples.
        """
        if not self._codes:
            return 0.0
        below = bisect_left(self._codes, _coded([max(0.0, seconds)])[0])
        return 1.0 - self._shares[below - 1] if below else 1.0

    def tail_ratio(self) -> float | None:
        """Return how much longer the slowest take than most: p99.9 to p95.

        Of p99 to p90 below 1,000 attempts, where p99.9 is a matter of luck.

        Returns
        -------
        float or None
            1 or more; ``None`` without samples.
        """
        far, near = (0.999, 0.95) if self.count >= _MANY_SAMPLES else (0.99, 0.90)
        slowest, most = self.quantile(far), self.quantile(near)
        return slowest / most if slowest is not None and most is not None else None

    def _rotate(self, now: float) -> None:
        halves = (now - self._half_began_at) / self._half_seconds
        if halves < 1.0:
            if self._half_began_at == inf:
                self._half_began_at = now
            return
        is_recent = halves < 2.0
        self._old = self._new if is_recent else Counter()
        self._old_cut = self._new_cut if is_recent else Counter()
        self._new, self._new_cut = Counter(), Counter()
        self._half_began_at = self._half_began_at + self._half_seconds if is_recent else now
        self.count = self._old.total() + self._old_cut.total()
        self._curve_at = -inf

    def _draw(self) -> None:
        """Compute the share of attempts done by the end of each bucket.

        The product over all buckets telescopes wherever nobody was cut short, so that counts
        are divided once and the usual case is exact.
        """
        done = _joined(self._old, self._new)
        cut = _joined(self._old_cut, self._new_cut)
        total = under_way = done.total() + cut.total()
        stretch = 1.0
        codes = sorted(done.keys() | cut.keys())
        shares: list[float] = []
        for code in codes:
            under_way -= done.get(code, 0)  # for a key that is not there, [] is ten times slower
            shares.append(1.0 - stretch * under_way / total)
            if lost := cut.get(code, 0):
                # Those cut short here would have gone on like the others that go on.
                stretch *= under_way / (under_way - lost) if under_way > lost else 0.0
                under_way -= lost
        if shares:
            shares[-1] = 1.0
        self._codes = codes
        self._shares = shares
        self._quantiles = {}


def _fold(pending: list[float], counts: Counter[int]) -> int:
    """Move what is pending into counts; what is appended meanwhile stays for the next time."""
    size = len(pending)
    if size:
        values = pending[:size]
        del pending[:size]
        counts.update(_coded(values))
    return size


def _coded(values: list[float]) -> memoryview[int]:
    """Return the number of each value's bucket."""
    return memoryview(struct.pack(f"{len(values)}f", *values)).cast("H")[_UPPER_HALF]


def _upper_edge(code: int) -> float:
    """Return where the next bucket begins."""
    if code >= _INFINITE_CODE:
        return inf
    (edge,) = struct.unpack("f", struct.pack("I", (code + 1) << 16))
    return float(edge)


def _joined(old: Counter[int], new: Counter[int]) -> Counter[int]:
    """Return both, with what is below zero at zero."""
    both = old.copy()
    both.update(new)
    if both and max(both) >= _NEGATIVE_CODE:
        for code in [code for code in both if code >= _NEGATIVE_CODE]:
            both[0] += both.pop(code)
    return both
