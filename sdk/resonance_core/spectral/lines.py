# SPDX-License-Identifier: MIT
"""Which rhythms are the kernel's own?

Its tick wakes things at fixed frequencies, and bins that are longer than half a tick fold
those back into the band. A line there says nothing about the workload.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from resonance_core.errors import InvalidSampleError

__all__ = ["TICK_HZ", "is_known", "known_lines"]

TICK_HZ: Final = (100, 250, 300, 1000)
"""The choices of ``CONFIG_HZ`` (kernel/Kconfig.hz)."""
LEAST_GAIN: Final = 0.05
"""*Chosen*: a bin lets sinc(f * bin) of an oscillation pass; below a twentieth, 0.25 % of the
power, no line stands out of the noise of a node that does anything."""
MOST_HARMONICS: Final = 1_000_000
"""*Chosen*: a tick that has more of them below the end of the band is no tick."""


def known_lines(bin_seconds: float, tick_hz: Sequence[float] = TICK_HZ) -> tuple[float, ...]:
    """Return where the tick and its harmonics show up, ascending, in Hz.

    Parameters
    ----------
    bin_seconds : float
        Width of the bins.
    tick_hz : sequence of float
        The node's own where it is known; every further one hides a frequency where a
        source might be.

    Returns
    -------
    tuple of float
        Above 0 and at most Nyquist, aliases included.

    Raises
    ------
    InvalidSampleError
        A number is not positive, or a tick has more than `MOST_HARMONICS` in the band.

    >>> known_lines(0.005, [250])
    (50.0, 100.0)
    """
    if not (math.isfinite(bin_seconds) and bin_seconds > 0.0):
        raise InvalidSampleError("bin_seconds", "must be a positive number")
    found: set[float] = set()
    for tick in tick_hz:
        if not (math.isfinite(tick) and tick > 0.0):
            raise InvalidSampleError("tick_hz", "must be positive numbers")
        if LEAST_GAIN * tick * bin_seconds * MOST_HARMONICS < 1.0:
            raise InvalidSampleError("bin_seconds, tick_hz", "are too far apart")
        harmonics = tick * np.arange(1, math.ceil(1.0 / (LEAST_GAIN * tick * bin_seconds)) + 1)
        cycles = harmonics * bin_seconds
        aliased = np.abs(cycles - np.round(cycles)) / bin_seconds
        passing = np.abs(np.sinc(cycles)) >= LEAST_GAIN
        found.update(round(float(each), 9) for each in aliased[passing] if each > 1e-9)
    return tuple(sorted(found))


def is_known(frequency_hz: float, lines_hz: Iterable[float], resolution_hz: float) -> bool:
    """Return whether a frequency cannot be told from one of the lines.

    Parameters
    ----------
    frequency_hz : float
    lines_hz : iterable of float
        From `known_lines`.
    resolution_hz : float
        Distance at which two lines are two.
    """
    return any(abs(frequency_hz - line) < resolution_hz for line in lines_hz)
