# SPDX-License-Identifier: MIT
"""What is done for sources that are in step, but too jittered to be placed?

Beyond a jitter of T/2pi not even the first harmonic of their work can be placed; in simulation
(sigma a fifth of the period) the loop was 9 to 20 % worse than random phases, and those were
better than nothing. So such a group is left alone, and each of its sources gets one random
phase the next time it registers.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np

from resonance_core.control.estimate import Bools, Estimate
from resonance_core.control.records import Floats

__all__ = ["Wildness", "judge_jitter"]

Wildness = Literal["tame", "wild", "wild and in step"]

EVIDENCE: Final = 1e-6
"""*Chosen*: releases of one group are not independent, so it is asked for more."""
LIMIT: Final = math.exp(-1.0)
"""Squared resultant at a jitter of T/2pi."""
_TURN: Final = 2.0 * math.pi


def judge_jitter(
    times_seconds: Floats,
    periods_seconds: Floats,
    origin_seconds: float,
    estimate: Estimate,
    may_be_held: Bools,
) -> Wildness:
    """Say whether the sources of a group are too jittered to be placed, and yet in step.

    The jitter is that of all sources together: of sixteen cycles of one source, some look
    sharp by chance.

    Parameters
    ----------
    times_seconds : (n, m) float64
        Newest releases of each.
    periods_seconds : (n,) float64
    origin_seconds : float
    estimate : Estimate
    may_be_held : (n,) bool

    Returns
    -------
    {"tame", "wild", "wild and in step"}
    """
    seen = may_be_held & estimate.is_full
    if not seen.any() or float(estimate.sharpness[seen].mean()) > LIMIT:
        return "tame"
    shifted = np.mod(times_seconds[seen] - origin_seconds, periods_seconds[seen, None])
    turns = np.exp(1j * shifted * (_TURN / periods_seconds[seen, None]))
    z = turns.size * float(np.abs(turns.mean())) ** 2
    return "wild and in step" if math.exp(-z) < EVIDENCE else "wild"
