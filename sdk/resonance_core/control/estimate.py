# SPDX-License-Identifier: MIT
"""Where in its period does each source release, how sharply, and does it stay there?

Only natural releases come in, so a command never changes an estimate: the loop cannot
oscillate by the delay of its own feedback.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.control.records import Floats

__all__ = ["DRIFT_PERIODS", "EVIDENCE", "Bools", "Estimate", "estimate"]

Bools = npt.NDArray[np.bool_]

EVIDENCE: Final = 1e-3
"""Rayleigh probability below which a period is believed; *chosen* with the simulation."""
DRIFT_PERIODS: Final = 0.25 / 120.0
"""Drift per cycle that is tolerated, in periods; *chosen*: a quarter turn in 120 cycles."""
_TURN: Final = 2.0 * math.pi


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some sources do, each array with one value per source.

    Attributes
    ----------
    phase_rad : (n,) float64
        Circular mean in its own period, 0 to 2 pi; NaN before the ring is full.
    jitter_rad : (n,) float64
        Standard deviation of its releases around that; inf where there is no mean.
    drift_rad : (n,) float64
        By how much the second half of the ring is later than the first.
    drift_limit_rad : (n,) float64
        What is tolerated: a slow drift and three standard errors.
    sharpness : (n,) float64
        Squared resultant without its bias, at most 1; about 0 where there is no period.
    rayleigh_p : (n,) float64
        Probability that releases without a period look so periodic; 1 before the ring is full.
    work_seconds : (n,) float64
        Mean work of a burst; NaN where not known.
    is_full, is_sharp, is_steady : (n,) bool
        The ring is full; its period is real and its jitter below T/2pi; it does not drift.
    """

    phase_rad: Floats
    jitter_rad: Floats
    drift_rad: Floats = field(repr=False)
    drift_limit_rad: Floats = field(repr=False)
    sharpness: Floats = field(repr=False)
    rayleigh_p: Floats
    work_seconds: Floats
    is_full: Bools
    is_sharp: Bools
    is_steady: Bools


def estimate(
    times_seconds: Floats,
    works_seconds: Floats,
    periods_seconds: Floats,
    origin_seconds: float,
) -> Estimate:
    """Estimate the phases of sources from their newest releases.

    Parameters
    ----------
    times_seconds, works_seconds : (n, m) float64
        Of the newest m cycles, oldest first; NaN where there are fewer.
    periods_seconds : (n,) float64
        Of each; what the releases are folded by.
    origin_seconds : float
        Where phase 0 is.

    Returns
    -------
    Estimate

    References
    ----------
    Mardia and Jupp, "Directional Statistics", Wiley 2000: the circular mean (2.2), the standard
    deviation of a wrapped normal (3.5.7), the Rayleigh test (6.3.6). The resultant is freed from
    its bias: (m R^2 - 1)/(m - 1).
    """
    cycles = times_seconds.shape[1]
    is_full = ~np.isnan(times_seconds[:, 0])
    shifted = np.mod(times_seconds - origin_seconds, periods_seconds[:, None])
    phases = np.where(is_full[:, None], shifted * (_TURN / periods_seconds[:, None]), 0.0)
    turns = np.exp(1j * phases)
    mean = turns.mean(axis=1)
    squared = np.abs(mean) ** 2
    unbiased = (cycles * squared - 1.0) / (cycles - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        jitter = np.sqrt(-np.log(np.clip(unbiased, 0.0, 1.0)))
    drift, limit = _drift(phases, turns)
    chance = np.where(is_full, _rayleigh(cycles * squared, cycles), 1.0)
    return Estimate(
        phase_rad=np.where(is_full, np.mod(np.angle(mean), _TURN), math.nan),
        jitter_rad=np.where(is_full, jitter, math.inf),
        drift_rad=drift,
        drift_limit_rad=limit,
        sharpness=unbiased,
        rayleigh_p=chance,
        work_seconds=_mean_work(works_seconds),
        is_full=is_full,
        is_sharp=is_full & (chance < EVIDENCE) & (jitter < 1.0),
        is_steady=is_full & (np.abs(drift) <= limit),
    )


def _drift(phases: Floats, turns: npt.NDArray[np.complex128]) -> tuple[Floats, Floats]:
    half = phases.shape[1] // 2
    early, late = turns[:, :half].mean(axis=1), turns[:, -half:].mean(axis=1)
    steps = np.mod(np.diff(phases, axis=1) + math.pi, _TURN) - math.pi
    # steps between neighbours see the jitter and hardly the drift; each has twice its variance
    variance = np.einsum("ij,ij->i", steps, steps) / (2.0 * steps.shape[1])
    error = np.sqrt(2.0 * variance / half)
    tolerated = half * _TURN * DRIFT_PERIODS
    return np.angle(late * np.conj(early)), tolerated + 3.0 * error


def _rayleigh(z: Floats, n: int) -> Floats:
    """Return the probability of n R^2 under no period; not cut at the series' own errors."""
    series = 1.0 + (2.0 * z - z**2) / (4.0 * n)
    series -= (24.0 * z - 132.0 * z**2 + 76.0 * z**3 - 9.0 * z**4) / (288.0 * n**2)
    chance: Floats = np.clip(np.exp(-z) * series, 0.0, 1.0)
    return chance


def _mean_work(works_seconds: Floats) -> Floats:
    known = ~np.isnan(works_seconds)
    count = known.sum(axis=1)
    total = np.where(known, works_seconds, 0.0).sum(axis=1)
    unknown: Floats = np.full(len(total), math.nan)
    mean: Floats = np.divide(total, count, out=unknown, where=count > 0)
    return mean
