# SPDX-License-Identifier: MIT
"""Which ways to choose a replica are set beside each other, and in which scenes?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from resonance.policies import ChoicePolicy, Policy
from resonance.policies.choice import Picker
from resonance.policies.choice.candidates import ExpectedWait, Flipped, Headroom, PressureTimes

from .pressure import Signal
from .rig import Clients
from .slots import Load

__all__ = ["AGAIN", "ARMS", "BASELINE", "DEFAULT", "SCENES", "WORST_BAR", "Arm", "Scene"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to choose.

    Attributes
    ----------
    choice : ChoicePolicy
    make : callable, optional
        Makes a picker that no policy may name, of one client.
    signal : {"own", "cpu"}, optional
        What the kernel tells the clients.
    """

    choice: ChoicePolicy
    make: Callable[[Random], Picker] | None = None
    signal: Signal | None = None

    @property
    def is_candidate(self) -> bool:
        """Whether it is not shipped, and here to be judged."""
        return self.make is not None

    def clients(self, number: int, seed: object) -> Clients:
        """Make the clients that choose this way; they send no copies and no retries."""
        policy = Policy(choice=self.choice)
        return Clients(number, policy, seed, make=self.make, signal=self.signal)


@dataclass(frozen=True, slots=True)
class Scene:
    """A load, the arms that meet it, and what is asked of the shipped default.

    Attributes
    ----------
    default_bar : float
        p99 of the default by that of the baseline, at most.
    candidate_bar : float
        The same of a candidate.
    """

    load: Load
    arms: tuple[str, ...]
    default_bar: float
    candidate_bar: float


BASELINE: Final = "random"
AGAIN: Final = "random again"
DEFAULT: Final = "p2c"
"""As a client has it that was told nothing, without a daemon; ejection is part of it."""

_NOBODY_OUT: Final = ChoicePolicy(algorithm="random", ejection=None)

ARMS: Final[dict[str, Arm]] = {
    BASELINE: Arm(_NOBODY_OUT),
    AGAIN: Arm(_NOBODY_OUT),
    DEFAULT: Arm(ChoicePolicy()),
    "p2c, daemon": Arm(ChoicePolicy(), signal="own"),
    "p2c, none ejected": Arm(ChoicePolicy(ejection=None)),
    "least_inflight": Arm(ChoicePolicy(algorithm="least_inflight")),
    "peak_ewma": Arm(ChoicePolicy(algorithm="peak_ewma")),
    "round_robin": Arm(ChoicePolicy(algorithm="round_robin")),
    "prequal": Arm(ChoicePolicy(algorithm="prequal")),
    "PressureTimes, own": Arm(ChoicePolicy(), PressureTimes, "own"),
    "Flipped, cpu": Arm(ChoicePolicy(), Flipped, "cpu"),
    "Headroom, cpu": Arm(ChoicePolicy(), Headroom, "cpu"),
    "ExpectedWait, cpu": Arm(
        ChoicePolicy(), lambda chance: ExpectedWait(chance, ChoicePolicy().ewma_seconds), "cpu"
    ),
}

_ALWAYS: Final = (BASELINE, AGAIN, DEFAULT, "p2c, daemon", "peak_ewma")
_SHIPPED: Final = (*_ALWAYS, "least_inflight", "round_robin", "prequal")
_CANDIDATES: Final = tuple(name for name, arm in ARMS.items() if arm.is_candidate)
_RATE_PER_SECOND: Final = 450.0
_BATCH_LOAD: Final = 0.3
_MOONSHOT_BAR: Final = 0.85
WORST_BAR: Final = 1.03


def _load(clients: int, *, is_starved: bool = False) -> Load:
    return Load(
        clients,
        _RATE_PER_SECOND,
        _BATCH_LOAD,
        seconds=2.8,
        warm_up_seconds=0.8 if is_starved else 0.4,
        is_starved=is_starved,
    )


SCENES: Final[dict[str, Scene]] = {
    "one client": Scene(_load(1), _SHIPPED, 0.80, WORST_BAR),
    "twenty clients": Scene(_load(20), (*_SHIPPED, *_CANDIDATES), 1.00, _MOONSHOT_BAR),
    "one client, starved": Scene(_load(1, is_starved=True), _ALWAYS, 0.80, WORST_BAR),
    "twenty clients, starved": Scene(
        _load(20, is_starved=True),
        (*_ALWAYS, "p2c, none ejected", "prequal", *_CANDIDATES),
        1.00,
        _MOONSHOT_BAR,
    ),
}
