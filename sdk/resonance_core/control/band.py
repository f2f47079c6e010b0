# SPDX-License-Identifier: MIT
"""How strongly is a phase error corrected per cycle?

The coupling K removes the share K of an error per cycle, so it lies in (0, 2), and its noise
costs K/(2 - K) times the variance of a phase estimate. When sources first take their places it
is the largest allowed; while they are followed, a proportional-integral rule on the order
parameter chooses it: alignment raises K, its absence lets it fall to the least.

The order parameter arms (rising above the band) and clears (falling below it). It decides
nothing: two clusters on opposite sides have none of it and queue all the same.
"""

from __future__ import annotations

import math
from typing import Final

from resonance_core.control.parameters import Parameters

__all__ = ["ENOUGH_SOURCES", "Band"]

ENOUGH_SOURCES: Final = 11.0
"""Effective sources below which chance alone often leaves the band: random phases exceed R =
0.65 with probability exp(-0.4225 n), 1 % at 11."""
PROPORTIONAL: Final = 1.0
INTEGRAL: Final = 0.25
"""Gains per chunk; *chosen*: full alignment raises K from its least to its largest in two."""


class Band:
    """Schmitt trigger and coupling of one group.

    Parameters
    ----------
    parameters : Parameters

    Attributes
    ----------
    is_armed : bool
    coupling : float
        Between `k_min` and `k_max`.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._low, self._high = parameters.r_band
        self._least, self._most = parameters.k_min, parameters.k_max
        self._integral = 0.0
        self.is_armed = False
        self.coupling = self._least

    def reset(self) -> None:
        """Begin anew."""
        self._integral = 0.0
        self.is_armed = False
        self.coupling = self._least

    def update(self, order_parameter: float, effective_sources: float) -> None:
        """Take the order parameter of a chunk.

        Parameters
        ----------
        order_parameter : float
            De-biased R, -1 to 1; NaN where not known.
        effective_sources : float
            W^2 / sum w^2; with fewer than `ENOUGH_SOURCES` nothing is armed.
        """
        if math.isnan(order_parameter) or effective_sources < ENOUGH_SOURCES:
            self.is_armed = False
        elif order_parameter > self._high:
            self.is_armed = True
        elif order_parameter < self._low:
            self.is_armed = False
        if math.isnan(order_parameter):
            return
        error = order_parameter - self._low
        wanted = self._least + PROPORTIONAL * error + self._integral + INTEGRAL * error
        self.coupling = min(max(wanted, self._least), self._most)
        # no wind-up: the integral stands still where it would push further against a limit
        if wanted == self.coupling or (wanted > self.coupling) == (error < 0.0):
            self._integral += INTEGRAL * error
