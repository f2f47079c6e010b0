# SPDX-License-Identifier: MIT
"""Which share of the sources is moved while nothing is proven?"""

from __future__ import annotations

import math

import numpy as np

from resonance_core.control.estimate import Bools
from resonance_core.control.records import Floats

__all__ = ["Canary"]


class Canary:
    """A share of the sources that doubles with every proven gain.

    Parameters
    ----------
    share : float
        To begin with.

    Attributes
    ----------
    share : float
        Of the eligible sources, above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    @property
    def is_everybody(self) -> bool:
        """Whether there is nobody left to include."""
        return self.share >= 1.0

    def widen(self) -> None:
        """Include twice as many."""
        self.share = min(1.0, 2.0 * self.share)

    def chosen(self, lots: Floats, is_eligible: Bools) -> Bools:
        """Return which of the eligible sources are moved.

        Parameters
        ----------
        lots : (n,) float64
            Drawn once for each source; the lowest go first, so whoever is in stays in.
        is_eligible : (n,) bool

        Returns
        -------
        (n,) bool
            At least one, where there is one.
        """
        chosen = np.zeros(len(lots), dtype=np.bool_)
        candidates = np.flatnonzero(is_eligible)
        count = math.ceil(self.share * len(candidates) - 1e-9)
        chosen[candidates[np.argsort(lots[candidates], kind="stable")[:count]]] = True
        return chosen
