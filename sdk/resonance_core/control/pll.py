# SPDX-License-Identifier: MIT
"""What are the true phase and period of a source that we may not move?

A mean over the last cycles lags behind a source whose period is not quite the declared one. A
phase-locked loop of the second type follows it without a lasting error and knows its drift, so
that the plan can be laid around where it is now. One's own timers need the first type only:
their frequency is known.

References
----------
Gardner, "Phaselock Techniques", 3rd ed., Wiley 2005, chapter 2; Stephens and Thomas,
"Controlled-root formulation for digital phase-locked loops", IEEE T-AES 31 (1995),
doi:10.1109/7.366295: loops with two gains per update. Lock range of a first-order loop: Adler,
Proc. IRE 34 (1946), doi:10.1109/JRPROC.1946.229930.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from resonance_core.errors import InvalidSampleError

__all__ = ["FIRST_TYPE", "SECOND_TYPE", "Gains", "Tracker", "second_type"]

_TURN: Final = 2.0 * math.pi
SETTLING_UPDATES: Final = 51
"""Until the step response of `SECOND_TYPE` stays within 2 %."""
LOCKED_RAD: Final = 0.5
"""*Chosen*: mean error above which a loop follows nothing."""


@dataclass(frozen=True, slots=True)
class Gains:
    """What a loop makes of an error per update.

    Attributes
    ----------
    proportional, integral : float
        Of the phase, of the frequency; an integral of 0 is the first type.
    """

    proportional: float
    integral: float

    @property
    def is_stable(self) -> bool:
        """Whether errors die out: Jury's conditions."""
        if self.integral == 0.0:
            return 0.0 < self.proportional < 2.0
        return (
            self.integral > 0.0
            and 0.0 < self.proportional < 2.0
            and 2.0 * self.proportional + self.integral < 4.0
        )


def second_type(bandwidth: float, damping: float = math.sqrt(0.5)) -> Gains:
    """Return the gains of a loop that follows a constant drift without error.

    Parameters
    ----------
    bandwidth : float
        Noise bandwidth times the update interval, above 0; the variance of the output is about
        twice this share of the input's.
    damping : float
        zeta, above 0.

    Returns
    -------
    Gains

    Raises
    ------
    InvalidSampleError
        If a parameter is not a positive number.

    Examples
    --------
    >>> gains = second_type(0.05)
    >>> round(gains.proportional, 6), round(gains.integral, 6)
    (0.12474, 0.008316)
    """
    for name, value in (("bandwidth", bandwidth), ("damping", damping)):
        if not math.isfinite(value) or value <= 0.0:
            raise InvalidSampleError(name, "must be a positive number")
    rate = bandwidth / (damping + 0.25 / damping)
    scale = 1.0 + 2.0 * damping * rate + rate**2
    return Gains(4.0 * damping * rate / scale, 4.0 * rate**2 / scale)


FIRST_TYPE: Final = Gains(0.2, 0.0)
"""For one's own timers."""
SECOND_TYPE: Final = second_type(0.05)
"""For external periods that drift."""


class Tracker:
    """Follows the releases of one source.

    Parameters
    ----------
    period_seconds, origin_seconds : float
        What phases are relative to.
    gains : Gains

    Attributes
    ----------
    phase_rad : float
        Of the newest release, without its jitter, 0 to 2 pi; NaN before the first.
    drift_rad : float
        Per period.
    updates : int
    """

    def __init__(
        self, period_seconds: float, origin_seconds: float, gains: Gains = SECOND_TYPE
    ) -> None:
        self._period = period_seconds
        self._origin = origin_seconds
        self._gains = gains
        self._last = math.nan
        self._error = LOCKED_RAD
        self.phase_rad = math.nan
        self.drift_rad = 0.0
        self.updates = 0

    @property
    def is_locked(self) -> bool:
        """Whether it has settled and its errors are small."""
        return self.updates >= SETTLING_UPDATES and self._error < LOCKED_RAD

    @property
    def period_seconds(self) -> float:
        """The true period."""
        return self._period * (1.0 + self.drift_rad / _TURN)

    def update(self, at_seconds: float) -> float:
        """Take the next release and return how far it was from where it was expected, in rad."""
        seen = ((at_seconds - self._origin) % self._period) * (_TURN / self._period)
        self.updates += 1
        if math.isnan(self.phase_rad):
            self.phase_rad, self._last = seen, at_seconds
            return 0.0
        cycles = max(1.0, round((at_seconds - self._last) / self._period))
        expected = self.phase_rad + cycles * self.drift_rad
        error = (seen - expected + math.pi) % _TURN - math.pi
        self.drift_rad += self._gains.integral * error
        self.phase_rad = (expected + self._gains.proportional * error) % _TURN
        self._error += 0.1 * (abs(error) - self._error)
        self._last = at_seconds
        return error
