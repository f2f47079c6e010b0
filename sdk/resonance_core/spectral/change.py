# SPDX-License-Identifier: MIT
"""Did the level of a series move?"""

from __future__ import annotations

import math

from resonance_core.errors import InvalidSampleError

__all__ = ["PageHinkley"]


class PageHinkley:
    """Adds up how far values lie from their mean so far, and speaks up when it is too far.

    Both directions are watched. After a change it starts afresh, so that the next one is
    found against the new level.

    Parameters
    ----------
    delta : float
        A shift of this size is tolerated, at least 0; in the unit of the values. Half the
        shift that matters is the usual choice.
    threshold : float
        Sum at which a change is reported, above 0. With values of standard deviation s around
        a steady level, false alarms come about once in ``exp(2 delta threshold / s^2)``
        values or less often.
    least : int
        Values before it may speak, at least 1: the mean must be one.

    Attributes
    ----------
    mean : float
        Of the values since the last change; NaN before the first.
    samples : int
        Values since the last change.
    changes : int
        Reported so far.

    Raises
    ------
    InvalidSampleError
        A parameter is out of range.

    References
    ----------
    Page, Biometrika 41 (1954), doi:10.1093/biomet/41.1-2.100; Hinkley, Biometrika 58 (1971),
    doi:10.1093/biomet/58.3.509. The false alarm exponent is Wald's for a drifting random walk.
    """

    def __init__(self, delta: float, threshold: float, least: int = 5) -> None:
        if not (math.isfinite(delta) and delta >= 0.0):
            raise InvalidSampleError("delta", "must be a number of at least 0")
        if not (math.isfinite(threshold) and threshold > 0.0):
            raise InvalidSampleError("threshold", "must be a positive number")
        if least < 1:
            raise InvalidSampleError("least", "must be at least 1")
        self._delta = delta
        self._threshold = threshold
        self._least = least
        self.changes = 0
        self.reset()

    def reset(self) -> None:
        """Forget the level, as after a change somebody else knows of."""
        self.mean = math.nan
        self.samples = 0
        self._up = self._down = 0.0

    def update(self, value: float) -> bool:
        """Take the next value and return whether the level has changed.

        Parameters
        ----------
        value : float
            Finite.

        Returns
        -------
        bool
            True once per change; then it begins anew.

        Raises
        ------
        InvalidSampleError
            The value is not finite; the state is as it was.
        """
        if not math.isfinite(value):
            raise InvalidSampleError("value", "must be finite")
        self.samples += 1
        step = value - (self.mean if self.samples > 1 else value)
        self.mean = value if self.samples == 1 else self.mean + step / self.samples
        self._up = max(0.0, self._up + step - self._delta)
        self._down = max(0.0, self._down - step - self._delta)
        if self.samples < self._least or max(self._up, self._down) <= self._threshold:
            return False
        self.reset()
        self.changes += 1
        return True
