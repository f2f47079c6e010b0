# SPDX-License-Identifier: MIT
"""Did the tail change? An answer that may be asked for at any time, as often as one likes.

A test at a fixed size is wrong when somebody looks after every chunk and stops at the first
finding. A confidence sequence holds at all times at once. The one here is the asymptotic
normal-mixture sequence: Robbins' boundary with an estimated variance.

References
----------
Robbins, Ann. Math. Statist. 41 (1970), 1397, https://doi.org/10.1214/aoms/1177696786;
Howard, Ramdas, McAuliffe, Sekhon, Ann. Statist. 49 (2021), 1055,
https://doi.org/10.1214/20-AOS1991; Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", arXiv:2103.06476.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["Arm", "arm", "boundary", "difference"]

TIGHTEST_AT: Final = 12.0
"""*Chosen*: pairs of chunks at which the boundary is narrowest; the first decisions fall there."""
CLUSTERING: Final = 25.0
"""*Chosen*: waits of one burst exceed a threshold together, so a share varies that much more
than that of independent waits. Only a prior: measured variances soon outweigh it."""
PRIOR_CHUNKS: Final = 2.0
"""*Chosen*: chunks that the prior variance counts for."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Shares of one side of a comparison.

    Attributes
    ----------
    chunks : int
    mean : float
        Share of waits above the threshold, 0 to 1.
    variance : float
        Of a chunk's share.
    """

    chunks: int
    mean: float
    variance: float


def arm(shares: Sequence[float], waits: Sequence[float]) -> Arm:
    """Sum up the shares of chunks.

    Parameters
    ----------
    shares : sequence of float
        Share of waits above the threshold in each chunk, 0 to 1; at least one.
    waits : sequence of float
        How many waits each chunk had.

    Returns
    -------
    Arm
        The variance is the sample's, shrunk towards that of clustered waits.
    """
    values = np.asarray(shares, dtype=np.float64)
    mean = float(values.mean())
    per_chunk = max(float(np.mean(np.asarray(waits, dtype=np.float64))), 1.0)
    # a share of nothing still could have been one wait's
    likely = min(max(mean, 1.0 / per_chunk), 0.5)
    prior = min(CLUSTERING / per_chunk, 1.0) * likely * (1.0 - likely)
    spread = float(((values - mean) ** 2).sum())
    variance = (spread + PRIOR_CHUNKS * prior) / (len(values) - 1 + PRIOR_CHUNKS)
    return Arm(len(values), mean, variance)


def boundary(pairs: float, alpha: float) -> float:
    """Return how many standard errors a mean may be off, at all times with 1 - alpha.

    Parameters
    ----------
    pairs : float
        Observations so far, above 0.
    alpha : float
        Probability of being off further at any time, two-sided, 0 < alpha < 1.

    Returns
    -------
    float
        ``sqrt((1 + r/n) ln((n + r)/(r alpha^2)))``, with the mixture's r such that it is
        smallest near `TIGHTEST_AT`.
    """
    goal = -2.0 * math.log(alpha)
    mixture = TIGHTEST_AT / (goal + math.log(goal + 1.0))
    return math.sqrt((1.0 + mixture / pairs) * math.log((pairs + mixture) / (mixture * alpha**2)))


def difference(treated: Arm, control: Arm, factor: float, alpha: float) -> tuple[float, float]:
    """Return bounds of ``treated - factor * control`` that hold at all times.

    Parameters
    ----------
    treated, control : Arm
    factor : float
        1 asks for a gain, 1.10 for a harm of a tenth.
    alpha : float

    Returns
    -------
    low, high : float
        In shares.
    """
    middle = treated.mean - factor * control.mean
    error = math.sqrt(
        treated.variance / treated.chunks + factor**2 * control.variance / control.chunks
    )
    pairs = 2.0 * treated.chunks * control.chunks / (treated.chunks + control.chunks)
    reach = boundary(pairs, alpha) * error
    return middle - reach, middle + reach
