# SPDX-License-Identifier: MIT
"""From where a plan wants the sources to what is ordered now.

A phase error e is reduced by the share K per cycle, and by one step at most; inside a dead
band a source has arrived. It is never sent round: an overshoot inside the band is an arrival.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from resonance_core.control.holds import SETTLED_SECONDS, Holds
from resonance_core.control.parameters import Parameters
from resonance_core.control.picture import Picture
from resonance_core.control.records import Floats
from resonance_core.control.roster import Rows

__all__ = ["dead_bands", "has_arrived", "longest_acquisition", "residue", "steer"]

FINEST_SECONDS: Final = 0.0005
"""*Chosen*: below it the jitter of timers is larger than the gain."""
_MEAN_ABSOLUTE: Final = math.sqrt(2.0 / math.pi)
_TURN: Final = 2.0 * math.pi


def dead_bands(picture: Picture, cycles: int) -> Floats:
    """Return how near to its place is near enough for each member.

    Parameters
    ----------
    picture : Picture
        Of a group; it has the members and their jitter.
    cycles : int
        Of which a phase is the mean, at least 1.

    Returns
    -------
    (members,) float64
        Seconds. The largest of `FINEST_SECONDS`, 15 % of its own arc of the splay, and two
        standard errors of its phase, 2 sigma / sqrt(cycles); a fifth of its period at most. The
        shares are *chosen*.
    """
    members = picture.members
    period = members.periods_seconds
    arc = 0.15 * period * members.work_seconds / max(float(members.work_seconds.sum()), 1e-300)
    jitter = picture.estimate.jitter_rad[picture.is_known] * period / _TURN
    error = 2.0 * jitter / math.sqrt(cycles)
    bands: Floats = np.minimum(np.maximum(np.maximum(arc, error), FINEST_SECONDS), 0.2 * period)
    return bands


def residue(picture: Picture, parameters: Parameters) -> float:
    """Return the discrepancy that is left where everybody has arrived.

    A burst that is off its place by x adds w^2 x/T to <D^2>: the work is missing, or too much,
    for that long. Half a dead band and the error of a phase estimate, of mean sigma sqrt(2/pi) /
    sqrt(cycles), remain with every source.

    Parameters
    ----------
    picture : Picture
        Of a group.
    parameters : Parameters
        `estimate_cycles` and `cores` count.

    Returns
    -------
    float
        Seconds per core, root mean square, zero or more; 0 without members.
    """
    members = picture.members
    if not len(members.work_seconds):
        return 0.0
    period = members.periods_seconds
    jitter = picture.estimate.jitter_rad[picture.is_known] * period / _TURN
    error = _MEAN_ABSOLUTE * jitter / math.sqrt(parameters.estimate_cycles)
    off = 0.5 * dead_bands(picture, parameters.estimate_cycles) + error
    return math.sqrt(float(members.work_seconds**2 @ (off / period))) / parameters.cores


def steer(holds: Holds, rows: Rows, bands: Floats, coupling: float, elapsed: float) -> Rows:
    """Order the next part of the way, and return whose orders changed.

    Parameters
    ----------
    holds : Holds
        Changed in place.
    rows : (n,) intp
        Sources that the plan names.
    bands : (n,) float64
        Dead band of each, seconds.
    coupling : float
        K, above 0, share of an error that is removed per cycle; from 1 on the target itself is
        ordered, which the actuator approaches step by step.
    elapsed : float
        Seconds since the last call; less than a cycle counts as one.

    Returns
    -------
    (k,) intp
        Those of `rows` with another order than before.

    Notes
    -----
    An error is multiplied by 1 - K per cycle; after n cycles (1 - K)^n of it is left.
    """
    now, target = holds.now_seconds[rows], holds.target_seconds[rows]
    moving = np.abs(target - now) > bands
    if coupling >= 1.0:
        wanted = target
    else:
        cycles = np.maximum(elapsed / holds.periods_seconds[rows], 1.0)
        wanted = now + (target - now) * (1.0 - (1.0 - coupling) ** cycles)
    chosen = rows[moving]
    before = holds.ordered_seconds[chosen]
    after = holds.order(chosen, wanted[moving])
    return chosen[np.abs(after - before) > SETTLED_SECONDS]


def has_arrived(holds: Holds, rows: Rows, bands: Floats) -> bool:
    """Say whether all sources are where the plan wants them.

    In their dead bands, or as near as their buckets allow.

    Parameters
    ----------
    holds : Holds
    rows : (n,) intp
        Sources that the plan names.
    bands : (n,) float64
        Dead band of each, seconds.

    Returns
    -------
    bool
    """
    if not len(rows):
        return True
    gap = np.abs(holds.target_seconds[rows] - holds.now_seconds[rows])
    spent = holds.tokens_seconds[rows] < bands
    waits = spent & (holds.target_seconds[rows] > holds.ordered_seconds[rows])
    there = gap <= bands
    stopped = waits & (np.abs(holds.ordered_seconds[rows] - holds.now_seconds[rows]) <= bands)
    return bool((there | stopped).all())


def longest_acquisition(holds: Holds, rows: Rows, bands: Floats, coupling: float) -> float:
    """Return in how many seconds sources can be there at the latest.

    A whole period T in steps u, ceil(T/u) cycles, and with a coupling K below 1 the exponential
    approach to the dead band d, ln(T/d) / -ln(1 - K) cycles more.

    Parameters
    ----------
    holds : Holds
    rows : (n,) intp
        Sources that the plan names; may be none.
    bands : (n,) float64
        Dead band of each, seconds, above 0.
    coupling : float
        K, above 0.

    Returns
    -------
    float
        Seconds, of the slowest; 0 without sources.
    """
    if not len(rows):
        return 0.0
    periods = holds.periods_seconds[rows]
    cycles = np.ceil(periods / holds.step_seconds[rows])
    if coupling < 1.0:
        cycles = cycles + np.log(periods / bands) / -math.log1p(-coupling)
    return float((cycles * periods).max())
