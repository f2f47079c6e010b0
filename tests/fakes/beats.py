# SPDX-License-Identifier: MIT
"""Series of bins with a known rhythm: bursts on a background, and a culprit among decoys.

All are drawn from the generator that is passed in, so a seed decides them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BIN_SECONDS = 0.005

Floats = npt.NDArray[np.float64]


def bursts(
    generator: np.random.Generator,
    period_seconds: float,
    *,
    bins: int = 4096,
    width: int = 3,
    events: float = 4.0,
    background: float = 1.0,
    jitter_seconds: float = 0.0,
) -> Floats:
    """Events per bin of 5 ms: a burst once per period from a random phase on, and noise.

    Parameters
    ----------
    width : int
        Bins a burst lasts.
    events, background : float
        Mean events per bin, in a burst and besides.
    """
    counts = generator.poisson(background, bins).astype(np.float64)
    first = generator.uniform(0.0, period_seconds)
    times = np.arange(first, bins * BIN_SECONDS, period_seconds)
    times += generator.normal(0.0, jitter_seconds, len(times)) if jitter_seconds else 0.0
    starts = np.floor(times / BIN_SECONDS).astype(np.int64)
    for step in range(width):
        places = starts + step
        places = places[(places >= 0) & (places < bins)]
        np.add.at(counts, places, generator.poisson(events, len(places)))
    return counts


def red_noise(generator: np.random.Generator, memory: float, bins: int = 4096) -> Floats:
    """Noise in which each value keeps `memory` of the last one; a random walk at 1."""
    series = np.zeros(bins)
    level = 0.0
    for place, step in enumerate(generator.normal(size=bins)):
        level = memory * level + step
        series[place] = level
    return series


@dataclass(frozen=True)
class Neighbourhood:
    """Counts per cgroup, the queue without each of them, and who made it."""

    counts: Floats
    queues: Floats
    culprit: int


def neighbourhood(
    generator: np.random.Generator,
    *,
    seconds: float,
    noise: float,
    lag_seconds: float = 0.0,
    cgroups: int = 32,
    periods_seconds: tuple[float, ...] = (),
    events: float = 6.0,
    is_guilty: bool = True,
) -> Neighbourhood:
    """Cgroups with wake-ups at random, five of them with bursts too, and a queue of one of those.

    A burst lasts two bins of `events` more each on average, where every cgroup has a
    background of about one (log-normal, 0.5). The queue is the culprit's pattern after the lag,
    and noise of `noise` times its standard deviation.

    Parameters
    ----------
    noise : float
        In standard deviations of the signal.
    periods_seconds : tuple of float
        Of the culprit and of the decoys; five random ones from 60 to 300 ms by default.
    is_guilty : bool
        If not, the queue is noise alone.
    """
    bins = round(seconds / BIN_SECONDS)
    rates = generator.lognormal(0.0, 0.5, cgroups)
    counts = generator.poisson(rates[:, None], (cgroups, bins)).astype(np.float64)
    periods = periods_seconds or tuple(generator.uniform(0.06, 0.3, 5).tolist())
    periodic = generator.permutation(cgroups)[: len(periods)].tolist()
    times = np.arange(bins) * BIN_SECONDS
    patterns = []
    for cgroup, period in zip(periodic, periods, strict=True):
        phase = generator.uniform(0.0, period)
        pattern = ((times - phase) % period < 2 * BIN_SECONDS).astype(np.float64)
        counts[cgroup] += generator.poisson(events * pattern)
        patterns.append(pattern)
    signal = np.roll(patterns[0], round(lag_seconds / BIN_SECONDS))
    queue = generator.normal(0.0, noise * float(signal.std()), bins)
    if is_guilty:
        queue = queue + signal
    return Neighbourhood(counts, np.tile(queue, (cgroups, 1)), periodic[0])
