# SPDX-License-Identifier: MIT
"""Who decides when a burst begins, and what does he know?

::

    none       the sources themselves
    jitter     a hold drawn anew for each burst, within the controller's budget
    random     a phase drawn once for each source; knows the true phases
    pacing     no hold; a burst's jobs are let out evenly over the budget (a token bucket)
    kuramoto   repulsive coupling of the first harmonic, in the controller's steps; true phases
    oracle     the weighted splay, granted at the start; knows the true phases and works
    splay      the shipped controller                                    (module `shipped`)

Whoever knows the true phases is flattered, as nobody knows them outside a simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from resonance_core.calculus.placement import (
    place_harmonic,
    rotate_to_least_delay,
    weighted_splay,
)
from resonance_core.control.parameters import Parameters
from resonance_core.control.records import Floats
from resonance_core.simulation.workload import Bursts, Ints, Workload

__all__ = [
    "Arm",
    "Granted",
    "Jitter",
    "Kuramoto",
    "Pacing",
    "Releases",
    "Window",
    "budget_seconds",
    "oracle",
    "random_phases",
    "untouched",
]


@dataclass(frozen=True, slots=True)
class Releases:
    """What an arm does with the bursts of one window.

    Attributes
    ----------
    release_seconds : (n,) float64
        When each begins; never before its natural release.
    intended_seconds : (n,) float64
        From when its latency counts: its natural release, or the schedule it has been moved
        to for good. A step of a slew counts once, in the cycle in which it happens.
    pace_seconds : (n,) float64
        Over how long its jobs are let out.
    """

    release_seconds: Floats
    intended_seconds: Floats
    pace_seconds: Floats


@dataclass(frozen=True, slots=True)
class Window:
    """What became known in one window.

    Attributes
    ----------
    now_seconds : float
        Its end.
    wait_seconds, waited_until_seconds : (k,) float64
        Of the requests that became known in it: how long each waited, and when that was over.
    busy_ratio : float
        Share of the servers' time that was worked in it, 0 to 1.
    burst, end_seconds : (b,) int64 and float64
        Bursts whose last job ended in it, and when.
    """

    now_seconds: float
    wait_seconds: Floats
    waited_until_seconds: Floats
    busy_ratio: float
    burst: Ints
    end_seconds: Floats


class Arm(Protocol):
    """Decides about bursts window by window."""

    @property
    def window_seconds(self) -> float:
        """How long it goes without looking; infinite if it never looks."""
        ...

    def release(self, bursts: Bursts) -> Releases:
        """Decide about the bursts of the next window.

        Parameters
        ----------
        bursts : Bursts
            Those whose natural releases lie in it, ascending.

        Returns
        -------
        Releases
            As many values as bursts.
        """
        ...

    def observe(self, window: Window) -> None:
        """See what came of the last window.

        Parameters
        ----------
        window : Window
        """
        ...

    def restart(self, generation: int, now_seconds: float) -> None:
        """Hear that all sources restart now.

        Parameters
        ----------
        generation : int
            Number of the new start; 0 was the first.
        now_seconds : float
        """
        ...


def budget_seconds(period_seconds: Floats) -> Floats:
    """Return the longest hold per cycle that the controller may use.

    Parameters
    ----------
    period_seconds : (n,) float64
        Above 0.

    Returns
    -------
    (n,) float64
        Seconds: min(7 ms, 7 % of the period), the defaults of `Parameters`.
    """
    limits = Parameters()
    return np.minimum(limits.max_slew_seconds, limits.max_slew_ratio * period_seconds)


@dataclass(frozen=True, slots=True)
class _Blind:
    """An arm that looks at nothing."""

    workload: Workload

    @property
    def window_seconds(self) -> float:
        return math.inf

    def observe(self, window: Window) -> None:
        """Look away."""

    def restart(self, generation: int, now_seconds: float) -> None:
        """Look away."""


@dataclass(frozen=True, slots=True)
class Granted(_Blind):
    """Each source has one offset, granted when it starts.

    Parameters
    ----------
    workload : Workload
    offset_seconds : (generations, sources) float64
        Hold of each source in force from each start on, zero or more.

    Attributes
    ----------
    offset_seconds : (generations, sources) float64
    """

    offset_seconds: Floats

    def release(self, bursts: Bursts) -> Releases:
        """See `Arm`."""
        moved = bursts.natural_seconds + self.offset_seconds[bursts.generation, bursts.source]
        return Releases(moved, moved, np.zeros(len(moved)))


@dataclass(frozen=True, slots=True)
class Jitter(_Blind):
    """Each burst is held for a time drawn uniformly from 0 to the budget.

    Parameters
    ----------
    workload : Workload
    generator : numpy.random.Generator, optional
        That the holds come from; one of seed 0 by default.
    """

    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def release(self, bursts: Bursts) -> Releases:
        """See `Arm`."""
        budget = budget_seconds(self.workload.period_seconds)[bursts.source]
        natural = bursts.natural_seconds
        return Releases(
            natural + self.generator.uniform(0.0, budget), natural, np.zeros(len(natural))
        )


@dataclass(frozen=True, slots=True)
class Pacing(_Blind):
    """The jobs of a burst are let out evenly over the budget.

    Parameters
    ----------
    workload : Workload
    """

    def release(self, bursts: Bursts) -> Releases:
        """See `Arm`."""
        natural = bursts.natural_seconds
        return Releases(
            natural, natural, budget_seconds(self.workload.period_seconds)[bursts.source]
        )


def untouched(workload: Workload) -> Granted:
    """Return the arm ``none``: no offset.

    Parameters
    ----------
    workload : Workload

    Returns
    -------
    Granted
    """
    return Granted(workload, np.zeros_like(workload.origin_seconds))


def random_phases(workload: Workload, generator: np.random.Generator) -> Granted:
    """Return the arm ``random``: uniform in each source's period.

    Parameters
    ----------
    workload : Workload
        Its phases are known and taken off.
    generator : numpy.random.Generator
        That the phases come from.

    Returns
    -------
    Granted
    """
    period = workload.period_seconds
    wanted = generator.uniform(0.0, period, workload.origin_seconds.shape)
    return Granted(workload, (wanted - workload.origin_seconds) % period)


def oracle(workload: Workload) -> Granted:
    """Return the arm ``oracle``: the least discrepancy, with the least delay.

    The weighted splay where all have one period, else the descent of `place_harmonic`.

    Parameters
    ----------
    workload : Workload
        Its phases and works are known. The periods divide the longest.

    Returns
    -------
    Granted
    """
    period = workload.period_seconds
    base = float(period.max())
    offsets = [
        _splayed(row, period, workload.work_seconds, base) for row in workload.origin_seconds
    ]
    return Granted(workload, np.array(offsets))


def _splayed(origin: Floats, period: Floats, work: Floats, base: float) -> Floats:
    phases = 2.0 * np.pi * (origin % base) / base
    if np.ptp(period) == 0.0:
        order = np.argsort(phases, kind="stable")
        wanted = weighted_splay(work, order)
        wanted = rotate_to_least_delay(wanted, phases, work)
        return (wanted - phases) % (2.0 * np.pi) * base / (2.0 * np.pi)
    multiples = np.rint(base / period).astype(np.int64)
    wanted = place_harmonic(phases, work, multiples)
    return ((wanted - phases) * base / (2.0 * np.pi)) % period


class Kuramoto:
    """Repulsive coupling with the true phases, delay only.

    Once per cycle each source of a common period is told 2 K (1/W) sum_j w_j
    sin(theta_i - theta_j), the first Fourier mode of the coupling whose minimum is the splay,
    with K = 1, in the controller's steps; who is to come earlier stays where he is.

    Parameters
    ----------
    workload : Workload
        Its phases and works are known.

    References
    ----------
    .. [1] Kuramoto, "Chemical Oscillations, Waves, and Turbulence", Springer 1984, section 5.4,
       doi:10.1007/978-3-642-69689-3: the coupling, here with the other sign.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._budget = budget_seconds(workload.period_seconds)
        self._hold = np.zeros(len(workload.names))
        self._lattice = workload.origin_seconds[0].copy()

    @property
    def window_seconds(self) -> float:
        """One cycle of the shortest period."""
        return float(self._workload.period_seconds.min())

    def release(self, bursts: Bursts) -> Releases:
        """See `Arm`."""
        before = self._hold.copy()
        self._lattice[bursts.source] = bursts.lattice_seconds
        self._hold[bursts.source] += self._steps()[bursts.source]
        intended = bursts.natural_seconds + before[bursts.source]
        release = bursts.natural_seconds + self._hold[bursts.source]
        return Releases(release, intended, np.zeros(len(release)))

    def observe(self, window: Window) -> None:
        """Look away: it knows the true phases."""

    def restart(self, generation: int, now_seconds: float) -> None:
        """Begin again without holds."""
        del now_seconds
        self._hold[:] = 0.0
        self._lattice = self._workload.origin_seconds[generation].copy()

    def _steps(self) -> Floats:
        steps = np.zeros_like(self._hold)
        periods = self._workload.period_seconds
        for period in np.unique(periods):
            group = periods == period
            work = self._workload.work_seconds[group]
            phase = 2.0 * np.pi * (self._lattice[group] + self._hold[group]) / period
            field_ = np.sum(work * np.exp(1j * phase)) / work.sum()
            push = np.imag(np.exp(1j * phase) * np.conj(field_))
            steps[group] = 2.0 * push * period / (2.0 * np.pi)
        return np.clip(steps, 0.0, self._budget)
