# SPDX-License-Identifier: MIT
"""What is set beside each other: ways to choose a replica, to copy, and to isolate.

An arm is a policy of the clients, what the kernel tells them, and a profile of the daemon that is
in force meanwhile. All arms of a scene differ from its baseline in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from resonance.bench.reference.pressure import Signal
from resonance.bench.reference.rig import Clients
from resonance.policies import (
    NO_HINT,
    BudgetPolicy,
    ChoicePolicy,
    HedgePolicy,
    Policy,
    TaskHint,
    load,
)
from resonance.policies.choice import Picker
from resonance.policies.choice.candidates import ExpectedWait, Flipped, Headroom, PressureTimes

__all__ = ["AGAIN", "ARMS", "BASELINE", "Arm"]

BASELINE: Final = "random"
AGAIN: Final = "random again"
_REPEATABLE: Final = TaskHint(idempotent=True)


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to do it.

    Parameters
    ----------
    policy : Policy
        Of every client.
    make : callable, optional
        Makes a picker that no policy may name, of one client: a candidate.
    signal : {"own", "around"}, optional
        What the kernel tells the clients.
    hint : TaskHint
        Of each call.
    profile : str
        TOML of what the daemon applies to the two services of one node; empty for nothing.
    """

    policy: Policy
    make: Callable[[Random], Picker] | None = None
    signal: Signal | None = None
    hint: TaskHint = NO_HINT
    profile: str = ""

    def clients(self, number: int, seed: object) -> Clients:
        """Make clients of this arm.

        Parameters
        ----------
        number : int
        seed : object
            Of their chance.

        Returns
        -------
        Clients
        """
        return Clients(
            number, self.policy, seed, make=self.make, signal=self.signal, hint=self.hint
        )


_ANYBODY: Final = Policy(choice=ChoicePolicy(algorithm="random", ejection=None))
_SHIPPED: Final = Policy(choice=ChoicePolicy())
"""What a client has that was told nothing; ejection is part of it."""
_HEDGED: Final = _ANYBODY | HedgePolicy(
    quantile=0.95, min_tail_ratio=0.0, saturation_guard=False, kernel_advance=False
)
_GUARDED: Final = load("balanced")
"""As it is shipped."""
_EAGER: Final = _GUARDED.replace(
    hedge=HedgePolicy(quantile=0.9, min_tail_ratio=0.0), budget=BudgetPolicy(ratio=0.08)
)
"""A tenth of the calls are worth a copy, eight in a hundred are paid for, and no rule keeps it from
copying where the slowest are hardly slower than the rest."""

_IDLE: Final = "[batch]\ncpu_idle = 1\n"
_WEIGHT: Final = "[latency_critical]\ncpu_weight = 1000\n"
_SOFT_SET: Final = '[batch]\ncpuset = "{second}"\n'
_HARD_SET: Final = '[latency_critical]\ncpuset = "{first}"\n[batch]\ncpuset = "{second}"\n'
_REALTIME: Final = "[latency_critical]\nrealtime = 1\n"
_BALANCED: Final = _WEIGHT + _IDLE
_BALANCED_REALTIME: Final = "[latency_critical]\ncpu_weight = 1000\nrealtime = 1\n" + _IDLE


def _scan(chance: Random) -> Picker:
    return PressureTimes(chance, is_full_scan=True)


def _expected(chance: Random) -> Picker:
    return ExpectedWait(chance, ChoicePolicy().ewma_seconds)


ARMS: Final[dict[str, Arm]] = {
    BASELINE: Arm(_ANYBODY),
    AGAIN: Arm(_ANYBODY),
    "round-robin": Arm(Policy(choice=ChoicePolicy(algorithm="round_robin"))),
    "p2c": Arm(_SHIPPED),
    "peak-ewma": Arm(Policy(choice=ChoicePolicy(algorithm="peak_ewma"))),
    "full scan": Arm(Policy(choice=ChoicePolicy(algorithm="least_inflight"))),
    "pressure, two drawn": Arm(_SHIPPED, PressureTimes, "own"),
    "pressure, full scan": Arm(_SHIPPED, _scan, "own"),
    "bounded chance, two drawn": Arm(_SHIPPED, Flipped, "around"),
    "head-room, two drawn": Arm(_SHIPPED, Headroom, "around"),
    "expected wait, two drawn": Arm(_SHIPPED, _expected, "around"),
    "hedge": Arm(_HEDGED, hint=_REPEATABLE),
    "p2c, guarded hedge": Arm(_GUARDED, signal="own", hint=_REPEATABLE),
    "p2c, eager hedge": Arm(_EAGER, signal="own", hint=_REPEATABLE),
    "idle": Arm(_ANYBODY, profile=_IDLE),
    "weight": Arm(_ANYBODY, profile=_WEIGHT),
    "weight and idle": Arm(_ANYBODY, profile=_BALANCED),
    "soft set": Arm(_ANYBODY, profile=_SOFT_SET),
    "hard set": Arm(_ANYBODY, profile=_HARD_SET),
    "real time": Arm(_ANYBODY, profile=_REALTIME),
    "all but real time": Arm(_GUARDED, signal="own", hint=_REPEATABLE, profile=_BALANCED),
    "all": Arm(_GUARDED, signal="own", hint=_REPEATABLE, profile=_BALANCED_REALTIME),
}
"""The control of a candidate is what scans as widely without asking the kernel: of those that draw
two it is ``p2c``, or ``peak-ewma`` of ``expected wait``; of the full scan it is ``full scan``."""
