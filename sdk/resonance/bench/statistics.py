# SPDX-License-Identifier: MIT
"""How much less, and how sure is that? Paired ratios, their median, an interval and a sign test.

What is compared is what two arms had in the same repetition, so that what drifts meets both
alike; samples of different repetitions are never put together, because one bad slot would own
their tail.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from functools import cache
from typing import Final

import msgspec

__all__ = ["Estimate", "ratios", "sign_test", "summarize"]

_RESAMPLES: Final = 2_000
_CONFIDENCE: Final = 0.95
_SEED: Final = 20_011
"""*Chosen*: any; the same values have the same interval, whoever asks."""


class Estimate(msgspec.Struct, frozen=True):
    """A median, and where 95 % of the medians of resampled repetitions lie.

    Attributes
    ----------
    ratio : float
        The median.
    low, high : float
        The ends of the interval.
    """

    ratio: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Tell whether a value is outside of the interval.

        Parameters
        ----------
        value : float

        Returns
        -------
        bool
        """
        return not self.low <= value <= self.high


def summarize(values: Sequence[float]) -> Estimate:
    """Return the median and its percentile bootstrap interval.

    Parameters
    ----------
    values : sequence of float
        One of each repetition, at least one.

    Returns
    -------
    Estimate

    References
    ----------
    Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    ordered = sorted(values)
    medians = sorted(
        (ordered[lower] + ordered[upper]) / 2.0 for lower, upper in _middles(len(values))
    )
    tail = round(_RESAMPLES * (1.0 - _CONFIDENCE) / 2.0)
    return Estimate(statistics.median(values), medians[tail], medians[-1 - tail])


@cache
def _middles(size: int) -> list[tuple[int, int]]:
    """Return the ranks of the two in the middle of each resample of so many values.

    They are the same whatever the values are: what the report asks for hundreds of times.
    """
    draw = random.Random(_SEED)  # noqa: S311 - resampling keeps no secret
    resamples = (sorted(draw.choices(range(size), k=size)) for _ in range(_RESAMPLES))
    return [(ranks[(size - 1) // 2], ranks[size // 2]) for ranks in resamples]


def ratios(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return each value by the reference of its own repetition.

    Parameters
    ----------
    values, reference : sequence of float
        Of equal length; the reference above 0.

    Returns
    -------
    list of float
    """
    return [value / other for value, other in zip(values, reference, strict=True)]


def sign_test(paired: Sequence[float]) -> float:
    """Return how likely as lopsided a split of ratios above and below 1 is by chance.

    Parameters
    ----------
    paired : sequence of float
        Ratios; those of exactly 1 say nothing and are left out.

    Returns
    -------
    float
        The two-sided probability, 0 to 1; 1 where nothing is left.

    References
    ----------
    Conover, Practical Nonparametric Statistics, 3rd edition, section 3.4.
    """
    above = sum(ratio > 1.0 for ratio in paired)
    below = sum(ratio < 1.0 for ratio in paired)
    trials, fewer = above + below, min(above, below)
    tail = sum(math.comb(trials, number) for number in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << trials))
