# SPDX-License-Identifier: MIT
"""How long are the waits: a histogram that is cheap to keep and to subtract.

Not done here: waits below 1 µs are one bucket, above 1000 s another.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.records import Floats
from resonance_core.errors import InvalidSampleError

__all__ = ["BUCKETS", "EDGES_SECONDS", "at_and_above", "histogram", "place_of", "quantile"]

EDGES_SECONDS: Final[Floats] = np.geomspace(1e-6, 1e3, 9 * 48 + 1)
"""Inclusive upper edges; *chosen*: 48 per decade, so a bucket is 4.9 % wide."""
BUCKETS: Final = len(EDGES_SECONDS) + 1


def histogram(seconds: Floats, counts: Floats | None = None) -> Floats:
    """Count waits by bucket.

    Parameters
    ----------
    seconds : (n,) float64
        Not below 0.
    counts : (n,) float64, optional
        How many waits each stands for; 1 by default.

    Returns
    -------
    (BUCKETS,) float64
        The last bucket holds what is above the last edge.

    Raises
    ------
    InvalidSampleError
        If a wait or a count is negative or not finite.
    """
    if not np.isfinite(seconds).all() or (seconds < 0.0).any():
        raise InvalidSampleError("seconds", "waits must be finite and not negative")
    if counts is not None:
        if counts.shape != seconds.shape:
            raise InvalidSampleError("counts", "must be as many as the waits")
        if not np.isfinite(counts).all() or (counts < 0.0).any():
            raise InvalidSampleError("counts", "must be finite and not negative")
    places = np.searchsorted(EDGES_SECONDS, seconds, side="left")
    return np.bincount(places, weights=counts, minlength=BUCKETS).astype(np.float64)


def quantile(counts: Floats, ratio: float) -> float:
    """Return the upper edge of the bucket that a quantile falls into.

    Parameters
    ----------
    counts : (BUCKETS,) float64
        Of `histogram`, or a sum of such.
    ratio : float
        0 to 1; 0.99 for p99.

    Returns
    -------
    float
        Seconds; NaN without waits, inf above the last edge.
    """
    place = place_of(at_and_above(counts), ratio)
    if place < 0:
        return math.nan
    return float(EDGES_SECONDS[place]) if place < len(EDGES_SECONDS) else math.inf


def at_and_above(counts: Floats) -> Floats:
    """Return how many waits are in each bucket or above.

    Parameters
    ----------
    counts : (BUCKETS,) float64
        Of `histogram`, or a sum of such.

    Returns
    -------
    (BUCKETS,) float64
        Descending; the first is all of them.
    """
    return np.cumsum(counts[::-1])[::-1].copy()


def place_of(above: Floats, ratio: float) -> int:
    """Return the bucket that a quantile falls into; -1 without waits.

    Parameters
    ----------
    above : (BUCKETS,) float64
        Of `at_and_above`, or a sum of such.
    ratio : float
        0 to 1.

    Returns
    -------
    int
        0 to BUCKETS - 1, or -1.
    """
    total = float(above[0])
    if total <= 0.0:
        return -1
    # the last bucket that still has more than the rest at or above it
    rest = (1.0 - ratio) * total * (1.0 + 1e-12)
    return max(int(np.count_nonzero(above > rest)) - 1, 0)
