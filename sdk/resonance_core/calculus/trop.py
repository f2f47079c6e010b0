# SPDX-License-Identifier: MIT
"""Who waits for whom, and how long is the queue? The algebra of maximum and plus.

"The latest of several" is a sum here and "one after the other" a product: (A (x) B)_ij is the
longest way from i to j over one edge of A and one of B. `-inf` stands for "no edge". The cycle
mean is the time a lap of mutual dependence takes; its critical cycle names who is waiting for
whom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats, finite, positive
from resonance_core.errors import InvalidSampleError, PositiveCycleError, UnstableQueueError

__all__ = [
    "CycleMean",
    "circular_lindley",
    "cycle_mean",
    "multiply",
    "star",
]


def _matrix(name: str, values: npt.ArrayLike) -> Floats:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise InvalidSampleError(name, "must be a matrix with at least one entry")
    if np.isnan(matrix).any() or np.isposinf(matrix).any():
        raise InvalidSampleError(name, "must hold finite numbers, or -inf for no edge")
    return matrix


def _square(name: str, values: npt.ArrayLike) -> Floats:
    matrix = _matrix(name, values)
    if matrix.shape[0] != matrix.shape[1]:
        raise InvalidSampleError(name, f"must be square, not {matrix.shape}")
    return matrix


def multiply(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return the max-plus product, max_k a_ik + b_kj.

    Parameters
    ----------
    a : (n, m) array_like
    b : (m, k) array_like
        Finite, or -inf for "no edge".

    Returns
    -------
    (n, k) float64

    Raises
    ------
    InvalidSampleError
        NaN or +inf, or shapes that do not fit.
    """
    left, right = _matrix("a", a), _matrix("b", b)
    if left.shape[1] != right.shape[0]:
        raise InvalidSampleError("a, b", f"do not fit: {left.shape} and {right.shape}")
    product = np.empty((left.shape[0], right.shape[1]))
    for i, row in enumerate(left):  # by rows, so that no cube of numbers is held
        np.max(row[:, None] + right, axis=0, out=product[i])
    return product


def star(a: npt.ArrayLike) -> Floats:
    """Return I (+) A (+) A^2 (+) ..., the longest way between any two nodes.

    Parameters
    ----------
    a : (n, n) array_like
        Finite, or -inf for "no edge".

    Returns
    -------
    (n, n) float64

    Raises
    ------
    InvalidSampleError
        Not square, NaN or +inf.
    PositiveCycleError
        Some way can be made longer without end. A cycle counts as positive only if its mean is
        beyond the rounding of n additions of the largest entry.

    References
    ----------
    .. [1] Baccelli, Cohen, Olsder and Quadrat, "Synchronization and Linearity", Wiley 1992,
       theorem 3.17.
    """
    matrix = _square("a", a)
    mean, cycle = _critical(matrix)
    edges = np.abs(matrix[np.isfinite(matrix)])
    if mean > matrix.shape[0] * np.finfo(np.float64).eps * edges.max(initial=0.0):
        raise PositiveCycleError(cycle, mean)
    return _closure(matrix)


def _closure(matrix: Floats) -> Floats:
    """Return the star of a matrix whose positive cycles, if any, are rounding."""
    ways = matrix.copy()
    np.fill_diagonal(ways, 0.0)  # no cycle is longer than staying
    for k in range(matrix.shape[0]):
        np.maximum(ways, ways[:, k, None] + ways[None, k, :], out=ways)
        ways[k, k] = 0.0
    return ways


@dataclass(frozen=True, slots=True)
class CycleMean:
    """The slowest cycle of a graph.

    Attributes
    ----------
    mean : float
        Largest mean weight of an edge over all cycles; -inf where there is no cycle.
    cycle : tuple of int
        The nodes of one cycle that has it, the smallest first; empty where there is none.
    eigenvector : (n,) float64
        v with A (x) v = mean (x) v, 0 at the first node of the cycle and -inf at nodes without
        a way to it. Where there is no cycle, all -inf.
    """

    mean: float
    cycle: tuple[int, ...]
    eigenvector: Floats = field(repr=False)


def cycle_mean(a: npt.ArrayLike) -> CycleMean:
    """Find the cycle with the largest mean weight, which limits the throughput to 1 / mean.

    Parameters
    ----------
    a : (n, n) array_like
        Weight of the edge from i to j; -inf for none.

    Returns
    -------
    CycleMean

    Raises
    ------
    InvalidSampleError
        Not square, NaN or +inf.

    References
    ----------
    .. [1] Karp, "A characterization of the minimum cycle mean in a digraph", Discrete
       Mathematics 23 (1978), doi:10.1016/0012-365X(78)90011-0.
    .. [2] Chaturvedi and McConnell, "A note on finding minimum mean cycle", Information
       Processing Letters 127 (2017), doi:10.1016/j.ipl.2017.06.007: any cycle on the walk of n
       edges to the maximising node is critical.
    """
    matrix = _square("a", a)
    mean, cycle = _critical(matrix)
    if not cycle:
        nowhere: Floats = np.zeros(matrix.shape[0]) - math.inf
        return CycleMean(mean, cycle, nowhere)
    return CycleMean(mean, cycle, _closure(matrix - mean)[:, cycle[0]])


def _critical(matrix: Floats) -> tuple[float, tuple[int, ...]]:
    n = matrix.shape[0]
    longest = np.full((n + 1, n), -math.inf)
    longest[0] = 0.0  # a walk may start anywhere
    before = np.zeros((n + 1, n), dtype=np.int64)
    for k in range(1, n + 1):
        walks = longest[k - 1][:, None] + matrix
        before[k] = walks.argmax(axis=0)
        longest[k] = walks.max(axis=0)
    ends = np.flatnonzero(np.isfinite(longest[n]))
    if not ends.size:
        return -math.inf, ()
    lengths = np.arange(n, 0, -1, dtype=np.float64)
    # A node without a walk of k edges gives +inf, which is never the least.
    means: Floats = ((longest[n, ends] - longest[:n, ends]) / lengths[:, None]).min(axis=0)
    walk = [int(ends[means.argmax()])]
    for k in range(n, 0, -1):
        walk.append(int(before[k, walk[-1]]))
    cycle = _first_cycle(walk[::-1])
    edges = [matrix[i, j] for i, j in zip(cycle, (*cycle[1:], cycle[0]), strict=True)]
    return math.fsum(edges) / len(edges), cycle


def _first_cycle(walk: list[int]) -> tuple[int, ...]:
    """Return the first cycle of a walk that has one, from its smallest node."""
    seen: dict[int, int] = {}
    for at, node in enumerate(walk):
        if node in seen:
            cycle = walk[seen[node] : at]
            smallest = cycle.index(min(cycle))
            return (*cycle[smallest:], *cycle[:smallest])
        seen[node] = at
    raise AssertionError  # n edges visit n + 1 nodes, so one of n twice


def circular_lindley(work: npt.ArrayLike, service_per_bin: float) -> Floats:
    """Return the backlog of a queue whose arrivals repeat without end.

    Parameters
    ----------
    work : (bins,) array_like
        Work that arrives in each part of one period, zero or more.
    service_per_bin : float
        Work that is served in one part, above 0.

    Returns
    -------
    (bins,) float64
        Backlog at the end of each part, in the unit of the work: the periodic solution of
        q = max(0, q_before + work - service). Arrivals count before the service of their part.

    Raises
    ------
    InvalidSampleError
        Empty, negative or not finite.
    UnstableQueueError
        More work arrives in a period than is served in it.

    References
    ----------
    .. [1] Lindley, "The theory of queues with a single server", Mathematical Proceedings of the
       Cambridge Philosophical Society 48 (1952), doi:10.1017/S0305004100027638.
    """
    arrivals = finite("work", work)
    if not arrivals.size:
        raise InvalidSampleError("work", "must not be empty")
    if (arrivals < 0.0).any():
        raise InvalidSampleError("work", "must not be negative")
    service = positive("service_per_bin", service_per_bin)
    mean = float(arrivals.mean())
    if mean > service * (1.0 + arrivals.size * np.finfo(np.float64).eps):
        raise UnstableQueueError(mean, service)
    # Some part ends empty, so from an empty start the second lap is the periodic one.
    net = np.cumsum(np.tile(arrivals - service, 2))
    backlog: Floats = net - np.minimum(np.minimum.accumulate(net), 0.0)
    return backlog[arrivals.size :]
