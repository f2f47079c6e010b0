# SPDX-License-Identifier: MIT
"""What would a random delay of each timer do to the work that piles up?

The measure is the workload discrepancy D of the phase controller: how far the work that has
been released is ahead of its mean rate. With B2 and B4 the periodic Bernoulli polynomials and
turns x of the common period,

    <D^2> = 1/2 sum_ij w_i w_j B2(x_i - x_j)

since B2(x) = sum_m cos(2 pi m x) / (pi m)^2. A delay that is uniform over a share a of the
period turns B2 into its mean over the delays of both, which B4 / 12, whose second derivative
is B2, gives in closed form. No sample is drawn and no sum truncated; and nothing of this needs
numpy, so that the advice can be had where only the SDK is installed.

References
----------
Bernoulli polynomials and their Fourier series: DLMF 24.8.1, https://dlmf.nist.gov/24.8
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Burst", "expected_pile_up"]


@dataclass(frozen=True, slots=True)
class Burst:
    """What one timer does in each period.

    Attributes
    ----------
    turn : float
        When it starts, in turns of the period.
    work : float
        In any unit, the same for all; at least 0.
    spread : float
        Share of the period over which its random delay is uniform, at least 0.
    """

    turn: float
    work: float
    spread: float = 0.0


def expected_pile_up(bursts: Sequence[Burst]) -> float:
    """Return the root of the expected <D^2>, in the unit of the work.

    Delays are independent and each keeps its value, as with ``FixedRandomDelay=``.

    >>> aligned = [Burst(0.0, 1.0)] * 4
    >>> everywhere = [Burst(0.0, 1.0, spread=1.0)] * 4
    >>> round(expected_pile_up(everywhere) / expected_pile_up(aligned), 9)  # 1 / sqrt(4)
    0.5
    """
    own = sum(each.work**2 for each in bursts) / 12.0
    pairs = sum(
        one.work * other.work * _pair(one.turn - other.turn, one.spread, other.spread)
        for at, one in enumerate(bursts)
        for other in bursts[:at]
    )
    return math.sqrt(max(own + pairs, 0.0))


def _pair(turns: float, one: float, other: float) -> float:
    """Return the mean of B2(turns + u - v), u uniform over 0 to `one` and v over 0 to `other`."""
    if one < _POINT and other < _POINT:
        return _b2(turns)
    if one < _POINT:
        return (_b3(turns) - _b3(turns - other)) / (3.0 * other)
    if other < _POINT:
        return (_b3(turns + one) - _b3(turns)) / (3.0 * one)
    ends = _b4(turns + one) - _b4(turns) - _b4(turns + one - other) + _b4(turns - other)
    return ends / (12.0 * one * other)


_POINT = 1e-4
"""Below so small a share the differences of B4 lose their digits, and the delay its meaning."""


def _b2(x: float) -> float:
    x %= 1.0
    return x * x - x + 1.0 / 6.0


def _b3(x: float) -> float:
    x %= 1.0
    return x**3 - 1.5 * x * x + 0.5 * x


def _b4(x: float) -> float:
    x %= 1.0
    return x**4 - 2.0 * x**3 + x * x - 1.0 / 30.0
