# SPDX-License-Identifier: MIT
"""Where on the circle do bursts queue least, and what is the cheapest way there?

With one period the answer is closed: give each burst an arc in proportion to its work and put
it in the middle. With periods T, T/2, T/3 and so on, and with sources that nobody may move,
coordinate descent on the same discrepancy. A source can only be delayed, never advanced, so of
all equal answers the one with the least total delay is taken.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats, finite, matching, weighing
from resonance_core.calculus.descent import Grid
from resonance_core.calculus.phasor import discrepancy, wrap
from resonance_core.errors import InvalidSampleError, NoPlacementError

__all__ = [
    "least_discrepancy",
    "place_harmonic",
    "random_discrepancy",
    "rotate_to_least_delay",
    "unfold",
    "weighted_splay",
]

_TURN: Final = 2.0 * math.pi
Multiples = npt.NDArray[np.int64]


def weighted_splay(weights: npt.ArrayLike, order: npt.ArrayLike | None = None) -> Floats:
    """Return the phases with the least discrepancy for a cyclic order.

    Parameters
    ----------
    weights : (n,) array_like
        Work of each source, zero or more.
    order : (n,) array_like of int, optional
        The sources as they follow each other; 0, 1, 2 and so on by default. The discrepancy is
        the same for every order, the way there is not.

    Returns
    -------
    (n,) float64
        Phase of each source in radians: 2 pi (S_before + w/2) / W. A common constant may be
        added at will.

    Raises
    ------
    InvalidSampleError
        A weight is negative or not finite, or `order` is no order of the sources.
    NoPlacementError
        No source has work.

    References
    ----------
    .. [1] Degesys, Rose, Patel and Nagpal, "DESYNC: self-organizing desynchronization and TDMA
       on wireless sensor networks", IPSN 2007, doi:10.1145/1236360.1236363: the splay of equal
       weights. That of unequal ones is the stationary point of a convex quadratic.
    """
    weighed = finite("weights", weights)
    weighed = weighing("weights", weighed, weighed.size)
    total = float(weighed.sum())
    if total <= 0.0:
        raise NoPlacementError
    indices = np.arange(weighed.size) if order is None else np.asarray(order)
    if not np.array_equal(np.sort(indices), np.arange(weighed.size)):
        raise InvalidSampleError("order", "must name each source once")
    arcs = weighed[indices] / total
    phases = np.empty(weighed.size)
    phases[indices] = _TURN * (np.cumsum(arcs) - 0.5 * arcs)
    return phases


def least_discrepancy(weights: npt.ArrayLike) -> float:
    """Return <D^2> of `weighted_splay`, sum w^3 / (12 W).

    No placement of one period has less. Derived: within a cyclic order <D^2> is a convex quadratic
    form of the distances, and its minimum does not depend on the order.

    Parameters
    ----------
    weights : (n,) array_like
        Work of each burst, zero or more.

    Returns
    -------
    float
        Work squared; 0 without any weight.

    Raises
    ------
    InvalidSampleError
        A weight is negative or not finite.
    """
    weighed = finite("weights", weights)
    weighed = weighing("weights", weighed, weighed.size)
    total = float(weighed.sum())
    return float((weighed**3).sum() / (12.0 * total)) if total > 0.0 else 0.0


def random_discrepancy(weights: npt.ArrayLike) -> float:
    """Return the expectation of <D^2> for random phases, sum w^2 / 12.

    Independent and uniform. Derived: the variance of one sawtooth of height w is w^2 / 12.

    Parameters
    ----------
    weights : (n,) array_like
        Work of each burst, zero or more.

    Returns
    -------
    float
        Work squared.

    Raises
    ------
    InvalidSampleError
        A weight is negative or not finite.
    """
    weighed = finite("weights", weights)
    weighed = weighing("weights", weighed, weighed.size)
    return float(weighed @ weighed / 12.0)


def _counted(multiples: npt.ArrayLike | None, size: int) -> Multiples:
    if multiples is None:
        return np.ones(size, dtype=np.int64)
    given = matching("multiples", multiples, size)
    if (given < 1.0).any() or (given != np.floor(given)).any():
        raise InvalidSampleError("multiples", "must be whole numbers from 1")
    return given.astype(np.int64)


def rotate_to_least_delay(
    targets_rad: npt.ArrayLike,
    phases_rad: npt.ArrayLike,
    weights: npt.ArrayLike,
    multiples: npt.ArrayLike | None = None,
) -> Floats:
    """Turn all targets by the constant for which the sources are delayed least.

    Minimises sum w ((target + c - phase) mod 2 pi/p) over c exactly: between the points where
    one source has arrived the sum only grows, so c is one of those points.

    Parameters
    ----------
    targets_rad : (n,) array_like
        Of a plan; at least one.
    phases_rad : (n,) array_like
        Where the sources are.
    weights : (n,) array_like
        What a delay of each costs, zero or more.
    multiples : (n,) array_like of int, optional
        Releases p of each source in the common period; 1 by default.

    Returns
    -------
    (n,) float64
        Each source's phase plus its delay, in radians, 0 to 2 pi.

    Raises
    ------
    InvalidSampleError
        Empty, not finite, or of different lengths.
    """
    targets = finite("targets_rad", targets_rad)
    if not targets.size:
        raise InvalidSampleError("targets_rad", "must not be empty")
    phases = matching("phases_rad", phases_rad, targets.size)
    costs = weighing("weights", weights, targets.size)
    counts = _counted(multiples, targets.size)
    laps = _TURN / counts
    arrivals = np.mod(phases - targets, laps)
    # At its arrival a source's delay drops from a whole lap to nothing.
    points = np.repeat(arrivals, counts) + np.repeat(laps, counts) * _steps(counts)
    drops = np.repeat(costs * laps, counts)
    order = np.argsort(points, kind="stable")
    changes = costs.sum() * points[order] - np.cumsum(drops[order])
    constant = points[order[np.argmin(changes)]]
    return wrap(phases + np.mod(constant - arrivals, laps))


def _steps(counts: Multiples) -> Multiples:
    """Return 0, 1, .. p - 1 for each p, one after the other."""
    ends = np.cumsum(counts)
    steps: Multiples = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - counts, counts)
    return steps


def unfold(
    phases_rad: npt.ArrayLike, weights: npt.ArrayLike, multiples: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Return every burst within the common period, for the functions of one period.

    Parameters
    ----------
    phases_rad : (n,) array_like
        Of one release of each source in the common period.
    weights : (n,) array_like
        Work of one burst.
    multiples : (n,) array_like of int
        Releases p of each source in the common period.

    Returns
    -------
    phases : (sum of multiples,) float64
    weights : (sum of multiples,) float64

    Raises
    ------
    InvalidSampleError
        Not finite, of different lengths, or a multiple is not a whole number from 1.
    """
    phases = finite("phases_rad", phases_rad)
    weighed = weighing("weights", weights, phases.size)
    counts = _counted(multiples, phases.size)
    at = np.repeat(phases, counts) + _TURN * _steps(counts) / np.repeat(counts, counts)
    return wrap(at), np.repeat(weighed, counts)


def place_harmonic(
    phases_rad: npt.ArrayLike,
    weights: npt.ArrayLike,
    multiples: npt.ArrayLike,
    *,
    bins: int = 512,
    sweeps: int = 2,
    fixed: npt.ArrayLike | None = None,
) -> Floats:
    """Place sources with periods T, T/2, T/3 and so on, around those that stay.

    Parameters
    ----------
    phases_rad : (n,) array_like
        Of one release of each source in the common period T.
    weights : (n,) array_like
        Work of one burst, zero or more.
    multiples : (n,) array_like of int
        Releases p of each source in T.
    bins : int
        Parts of T that are tried for each source; more where a multiple does not divide it.
    sweeps : int
        How often every source is placed anew.
    fixed : (n,) array_like of bool, optional
        Sources that keep their phase; none by default.

    Returns
    -------
    (n,) float64
        Phases in radians, of each source the release that is reached with the least delay.
        Never of more discrepancy than `phases_rad`.

    Raises
    ------
    InvalidSampleError
        Not finite, of different lengths, or a multiple is not a whole number from 1 to `bins`.
    NoPlacementError
        No source has work.

    Notes
    -----
    Where all sources have one period and may move, the answer is `weighted_splay` in the present
    order. Otherwise an empty circle is filled with the heaviest first, and each source then placed
    anew `sweeps` times. *Chosen* over a descent from the present phases, which ends up to a third
    higher from aligned ones; those are returned where they are as good.
    """
    phases = finite("phases_rad", phases_rad)
    weighed = weighing("weights", weights, phases.size)
    counts = _counted(multiples, phases.size)
    stays = np.zeros(phases.size, dtype=np.bool_) if fixed is None else np.asarray(fixed, np.bool_)
    if stays.shape != phases.shape:
        raise InvalidSampleError("fixed", f"must be {phases.size} values")
    if bins < 1 or sweeps < 1:
        raise InvalidSampleError("bins, sweeps", "must be at least 1")
    if (counts > bins).any():
        raise InvalidSampleError("multiples", f"must be at most {bins}, as many as the bins")
    if not weighed.any():
        raise NoPlacementError
    if not stays.any() and (counts == counts[0]).all():
        order = np.argsort(np.mod(phases, _TURN / counts[0]), kind="stable")
        return _reached(phases, weighted_splay(weighed, order) / counts[0], counts)
    grid = Grid(phases, weighed, counts, stays, bins)
    plan = np.where(stays, phases, grid.filled(sweeps))
    now, then = (discrepancy(*unfold(at, weighed, counts)) for at in (phases, plan))
    return _reached(phases, plan if then < now else phases, counts)


def _reached(phases: Floats, plan: Floats, counts: Multiples) -> Floats:
    """Return the bursts of a plan that follow the phases first."""
    return wrap(phases + np.mod(plan - phases, _TURN / counts))
