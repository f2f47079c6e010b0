# SPDX-License-Identifier: MIT
"""How much of a queue does each candidate explain, and may the best be named?

A name is an accusation, so three things are asked of it: the score must be beyond what chance
gives the best of so many candidates, it must stand clear of the runner-up, and there must be
enough frames to tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats
from resonance_core.spectral.significance import median
from resonance_core.spectral.spectra import CrossSpectra

__all__ = ["Score", "scored"]

Complexes = npt.NDArray[np.complex128]
Bools = npt.NDArray[np.bool_]

LEAST_FRAMES: Final = 4.0
"""Independent ones, below which coherence is mostly bias; *chosen*, as `LARGEST_P`."""
FACTOR: Final = 5.0
AHEAD: Final = 0.1
"""To be named: so many times the runner-up, or so far ahead of it. *Chosen* with 32 cgroups,
one culprit and four periodic decoys; see the tests."""
LARGEST_P: Final = 0.01
_NEXT_BIN: Final = (4.0 / 9.0, 1.0 / 36.0)
"""Correlation of the powers one and two bins apart under a Hann window (Harris 1978)."""


@dataclass(frozen=True, slots=True)
class Score:
    """How much of the others' queue follows one channel.

    Attributes
    ----------
    channel : int
    score : float
        Coherence weighted by the spectrum of the queue, less its bias; 0 to 1.
    runner_up : float
        The best score of any other channel.
    p : float
        Probability that chance gives any channel such a score; 1 where not known.
    period_seconds : float
        Of the strongest common line; NaN without one.
    lag_seconds : float
        How long after its events the queue follows, 0 to a period; NaN without a line.
    is_named : bool
        It is the best, by far, and not by chance.
    """

    channel: int
    score: float
    runner_up: float
    p: float
    period_seconds: float
    lag_seconds: float
    is_named: bool


def scored(spectra: CrossSpectra, frequencies_hz: Floats, band: Bools) -> list[Score]:
    """Score every channel, the highest first.

    Parameters
    ----------
    spectra : CrossSpectra
        Of the candidates (x) and of the queue without each of them (y).
    frequencies_hz : (bins,) float64
    band : (bins,) bool
        Frequencies that count; neither the first nor the last.

    Returns
    -------
    list of Score

    Notes
    -----
    With X, Y the powers of a candidate and of the queue of the others, each less its median
    over the frequencies (the noise between the lines) and not below 0, M the independent
    frames and C the coherence::

        score = sum_f X Y (M C - 1) / (M - 1)  /  sqrt(sum_f X^2  sum_f Y^2)

    That is the coherence weighted by the queue's spectrum, and as much by the candidate's.
    The first weight makes him small who explains half of the queue's lines (a neighbour with
    half the period of the culprit, timed by the same clock); the second him half of whose
    lines the queue ignores (with twice the period). 1 means that the queue is his echo.

    The best is *named* if his score is more than `FACTOR` times that of the runner-up or more
    than `AHEAD` of it, over at least `LEAST_FRAMES`, and if chance gives any of the channels
    such a score with a probability below `LARGEST_P`. Without coherence C has the distribution
    Beta(1, M - 1); the weighted sum is taken as gamma distributed with the right mean and
    variance, and its tail from Wilson's and Hilferty's cube root.

    References
    ----------
    Carter, Proc. IEEE 75 (1987), doi:10.1109/PROC.1987.13723; Wilson, Hilferty, PNAS 17
    (1931), doi:10.1073/pnas.17.12.684.
    """
    x, y = (each.astype(np.float64) for each in (spectra.x_power, spectra.y_power))
    cross = spectra.cross.astype(np.complex128)
    frames = spectra.independent_frames()
    weights = _weights(x, y, band)
    coherence = np.abs(cross) ** 2
    counted = weights > 0.0
    np.divide(coherence, x * y, out=coherence, where=counted)
    coherence[~counted] = 0.0
    raw, total = (weights * coherence).sum(axis=1), weights.sum(axis=1)
    enough = np.maximum(frames, LEAST_FRAMES)
    scores = np.clip((enough * raw - total) / (enough - 1.0), 0.0, 1.0)
    scores[frames < LEAST_FRAMES] = 0.0
    chance = np.where(scores > 0.0, _chance(raw, weights, enough), 1.0)
    periods, lags = _lines(cross, weights, frequencies_hz)
    return _sorted(scores, np.minimum(1.0, chance * len(scores)), periods, lags)


def _sorted(scores: Floats, chance: Floats, periods: Floats, lags: Floats) -> list[Score]:
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    best = float(scores[order[0]])
    second = float(scores[order[1]]) if len(order) > 1 else 0.0
    is_clear = best > FACTOR * second or best > second + AHEAD
    return [
        Score(
            channel=channel,
            score=float(scores[channel]),
            runner_up=best if place else second,
            p=float(chance[channel]),
            period_seconds=float(periods[channel]),
            lag_seconds=float(lags[channel]),
            is_named=not place and is_clear and bool(chance[channel] < LARGEST_P),
        )
        for place, channel in enumerate(order)
    ]


def _lines(common: Complexes, weights: Floats, frequencies_hz: Floats) -> tuple[Floats, Floats]:
    """Return period and lag at the strongest common line of each channel, NaN without one.

    A line d bins beside its bin has under a Hann window the amplitudes a and a (1 + d) / (2 - d)
    there and in the next one (Grandke 1983, doi:10.1109/TIM.1983.4315077); a cross-power is the
    product of two such.
    """
    rows, sizes = np.arange(len(common)), np.abs(common)
    peaks = (sizes * weights).argmax(axis=1)
    at_peak = sizes[rows, peaks]
    known = at_peak * weights[rows, peaks] > 0.0
    step = float(frequencies_hz[1] - frequencies_hz[0])
    below, above = sizes[rows, peaks - 1], sizes[rows, peaks + 1]
    ratio = np.sqrt(np.maximum(below, above) / np.where(known, at_peak, 1.0))
    beside = np.clip((2.0 * ratio - 1.0) / (1.0 + ratio), 0.0, 1.0)
    frequency = frequencies_hz[peaks] + step * np.where(above >= below, beside, -beside)
    turns = -np.angle(common[rows, peaks]) / (2.0 * np.pi) % 1.0
    period = 1.0 / np.where(known, frequency, np.nan)
    return period, turns * period


def _weights(x: Floats, y: Floats, band: Bools) -> Floats:
    """Return X Y / sqrt(sum X^2 sum Y^2) of the powers above their floors; zeros for silence."""
    x, y = (
        np.where(band, np.maximum(each - median(each[:, band])[:, None], 0.0), 0.0)
        for each in (x, y)
    )
    scale = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))[:, None]
    product = x * y
    np.divide(product, scale, out=product, where=scale > 0.0)
    return product


def _chance(raw: Floats, weights: Floats, frames: Floats) -> Floats:
    """Return the probability that a channel without coherence has such a weighted sum."""
    spread = (weights**2).sum(axis=1)
    for apart, correlation in enumerate(_NEXT_BIN, start=1):
        spread += 2.0 * correlation * (weights[:, apart:] * weights[:, :-apart]).sum(axis=1)
    mean = weights.sum(axis=1) / frames
    variance = spread * (frames - 1.0) / (frames**2 * (frames + 1.0))
    known = (mean > 0.0) & (variance > 0.0)
    ninth = np.divide(variance, 9.0 * mean**2, out=np.ones_like(mean), where=known)
    root = np.cbrt(np.divide(raw, mean, out=np.zeros_like(mean), where=known))
    score = (root - 1.0 + ninth) / np.sqrt(ninth)
    tail = np.array([0.5 * math.erfc(each / math.sqrt(2.0)) for each in score.tolist()])
    return np.where(known, tail, 1.0)
