# SPDX-License-Identifier: MIT
"""How does a caller without arrays of its own feed the controller? From plain sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resonance_core.control.records import Floats, Releases

__all__ = ["binned", "floats", "releases"]


def floats(values: Sequence[float]) -> Floats:
    """Return the values as an array, (n,) float64."""
    return np.asarray(values, dtype=np.float64)


def releases(
    key: int,
    at_seconds: Sequence[float],
    work_seconds: Sequence[float],
    completion_seconds: Sequence[float],
) -> Releases:
    """Return what one source did.

    Parameters
    ----------
    key : int
        With which it registered.
    at_seconds : sequence of float
        Natural releases, ascending.
    work_seconds : sequence of float
        CPU time of each burst; NaN where not known.
    completion_seconds : sequence of float
        As `Releases` has it; NaN where not known. All three are of equal length.

    Returns
    -------
    Releases
    """
    return Releases(
        key=key,
        at_seconds=floats(at_seconds),
        work_seconds=floats(work_seconds),
        completion_seconds=floats(completion_seconds),
    )


def binned(
    at_seconds: Sequence[float],
    values: Sequence[float],
    start_seconds: float,
    bin_seconds: float,
    bins: int,
) -> tuple[Floats, Floats]:
    """Return how many values fall into each bin, and their sums.

    Parameters
    ----------
    at_seconds : (n,) sequence of float
        What lies before the first bin counts into it, and what lies behind the last likewise.
    values : (n,) sequence of float
    start_seconds, bin_seconds : float
    bins : int
        At least 1.

    Returns
    -------
    counts, sums : (bins,) float64
    """
    at = np.floor((floats(at_seconds) - start_seconds) / bin_seconds).astype(np.intp)
    into = np.clip(at, 0, bins - 1)
    counts = np.bincount(into, minlength=bins).astype(np.float64)
    sums = np.bincount(into, weights=floats(values), minlength=bins).astype(np.float64)
    return counts, sums
