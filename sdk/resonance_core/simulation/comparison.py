# SPDX-License-Identifier: MIT
"""How do the arms compare on one scenario, over several seeds?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from resonance_core.errors import InvalidSampleError
from resonance_core.simulation.arms import (
    Arm,
    Jitter,
    Kuramoto,
    Pacing,
    oracle,
    random_phases,
    untouched,
)
from resonance_core.simulation.judge import Outcome, Ratios, judge, ratios
from resonance_core.simulation.run import run
from resonance_core.simulation.scenario import Scenario
from resonance_core.simulation.shipped import NO_PREDICTION, Prediction, Shipped
from resonance_core.simulation.workload import Workload, draw_workload

__all__ = ["ARMS", "FLATTERED", "Comparison", "Play", "compare", "play"]

ARMS: Final = ("none", "jitter", "random", "pacing", "kuramoto", "oracle", "splay")
FLATTERED: Final = ("random", "kuramoto", "oracle")
"""Arms that know the true phases, which nobody does outside a simulation."""
_GRANTED: Final = ("random", "oracle")


@dataclass(frozen=True, slots=True)
class Play:
    """One run of one arm.

    Attributes
    ----------
    outcome : Outcome
    prediction : Prediction
        Of the shipped controller; NaN for the others.
    states : tuple of (float, str)
        When the shipped controller changed its state, and to which; empty for the others.
    trips : dict of str to int
        How often each of its guards acted.
    """

    outcome: Outcome
    prediction: Prediction = NO_PREDICTION
    states: tuple[tuple[float, str], ...] = ()
    trips: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs of one scenario.

    Attributes
    ----------
    scenario : Scenario
    plays : dict of str to tuple of Play
        By arm; one play per seed, in their order.
    """

    scenario: Scenario
    plays: dict[str, tuple[Play, ...]]

    def ratios(self, arm: str, against: str) -> Ratios:
        """Return one arm by another."""
        return ratios(
            [each.outcome for each in self.plays[arm]],
            [each.outcome for each in self.plays[against]],
        )


def compare(scenario: Scenario, arms: Sequence[str], seeds: Sequence[int]) -> Comparison:
    """Play every arm on the same work for each seed.

    Parameters
    ----------
    scenario : Scenario
    arms : sequence of str
        Of `ARMS`.
    seeds : sequence of int
        At least one; each draws its own work, the same for all arms.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidSampleError
        An arm is not known, or there is no seed.
    """
    if not seeds:
        raise InvalidSampleError("seeds", "at least one is needed")
    workloads = [draw_workload(scenario, seed) for seed in seeds]
    return Comparison(
        scenario,
        {
            arm: tuple(
                play(workload, arm, seed) for workload, seed in zip(workloads, seeds, strict=True)
            )
            for arm in arms
        },
    )


def play(workload: Workload, arm: str, seed: int) -> Play:
    """Run one arm on `workload`.

    Parameters
    ----------
    workload : Workload
    arm : str
        One of `ARMS`.
    seed : int
        Of what the arm draws.

    Returns
    -------
    Play

    Raises
    ------
    InvalidSampleError
        The arm is not known.
    """
    if arm == "splay":
        return _play_shipped(workload, seed)
    return Play(judge(run(workload, _blind(workload, arm, seed)), is_granted=arm in _GRANTED))


def _play_shipped(workload: Workload, seed: int) -> Play:
    shipped = Shipped(workload, seed)
    outcome = judge(run(workload, shipped))
    trips = dict(shipped.decision.trips) if shipped.decision else {}
    return Play(outcome, shipped.prediction, tuple(shipped.states), trips)


def _blind(workload: Workload, arm: str, seed: int) -> Arm:
    # A stream of its own, so that an arm's luck is not the work's.
    generator = np.random.default_rng([seed, 1])
    if arm == "none":
        return untouched(workload)
    if arm == "jitter":
        return Jitter(workload, generator)
    if arm == "random":
        return random_phases(workload, generator)
    if arm == "pacing":
        return Pacing(workload)
    if arm == "kuramoto":
        return Kuramoto(workload)
    if arm == "oracle":
        return oracle(workload)
    raise InvalidSampleError("arm", f"{arm!r} is none of {', '.join(ARMS)}")
