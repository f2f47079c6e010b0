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
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from resonance_core.control.records import Floats

__all__ = ["Arm", "arm", "boundary", "difference"]

TIGHTEST_AT: Final = 12.0
"""*Chosen*: pairs of chunks at which the boundary is narrowest; the first decisions fall there."""
CLUSTERING: Final = 25.0
"""*Chosen*: waits of one burst exceed a threshold together, so a share varies that much more
than that of independent waits. Only a prior: measured variances soon outweigh it."""
PRIOR_CHUNKS: Final = 2.0
"""*Chosen*: chunks that the prior variance counts for."""
MOST_ALIKE: Final = 0.9
LEAST_FOR_LIKENESS: Final = 4
"""*Chosen*: with fewer chunks the correlation says nothing, with more of it no sequence helps."""


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
    likeness : float
        Correlation of neighbouring chunks, 0 to `MOST_ALIKE`.
    """

    chunks: int
    mean: float
    variance: float
    likeness: float

    def wary(self) -> Arm:
        """Return the same with the variance that chunks have which are alike.

        What follows one another tells less than as many strangers. For a gain, which ends the
        watch; a harm is to be seen soon, and one that is none costs a gain and no tail.
        """
        factor = (1.0 + self.likeness) / (1.0 - self.likeness)
        return replace(self, variance=self.variance * factor)


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
    off = values - mean
    variance = (float(off @ off) + PRIOR_CHUNKS * prior) / (len(values) - 1 + PRIOR_CHUNKS)
    return Arm(len(values), mean, variance, _likeness(off))


def _likeness(off: Floats) -> float:
    """Return the correlation of neighbouring chunks, 0 to `MOST_ALIKE`.

    References
    ----------
    Marriott, Pope, "Bias in the estimation of autocorrelations", Biometrika 41 (1954), 390:
    the estimate is too low by (1 + 3 rho)/n.
    """
    square, chunks = float(off @ off), len(off)
    if chunks < LEAST_FOR_LIKENESS or square <= 0.0:
        return 0.0
    seen = float(off[1:] @ off[:-1]) / square
    return min(max(seen + (1.0 + 3.0 * seen) / chunks, 0.0), MOST_ALIKE)


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
