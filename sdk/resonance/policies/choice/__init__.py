# SPDX-License-Identifier: MIT
"""Which replica gets a call?

::

    make           the picker of a policy
    Picker         what all of them have in common
      TwoChoices, LeastInflight    by the attempts of ours in flight
      PeakEwma                     by latency and attempts in flight
      InTurn, Uniform              by nothing
      Rendezvous                   by the key of the call
      Prequal                      by what replicas say of themselves when asked
    Ejector        who is left out for a while, whatever the picker

Pressure as the kernel sees it does not enter any of these: `choice.candidates` has the forms in
which it could, and what each is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from resonance.policies._records import ChoicePolicy
from resonance.policies.choice._ejector import Ejector
from resonance.policies.choice._inflight import LeastInflight, TwoChoices
from resonance.policies.choice._peak_ewma import PeakEwma
from resonance.policies.choice._picker import Forgetful, Picker
from resonance.policies.choice._prequal import Prequal
from resonance.policies.choice._rendezvous import Rendezvous
from resonance.policies.choice._turns import InTurn, Uniform

__all__ = [
    "Ejector",
    "Forgetful",
    "InTurn",
    "LeastInflight",
    "PeakEwma",
    "Picker",
    "Prequal",
    "Rendezvous",
    "TwoChoices",
    "Uniform",
    "make",
]

_BY_CHANCE: Final[dict[str, Callable[[Random], Picker]]] = {
    "least_inflight": LeastInflight,
    "p2c": TwoChoices,
    "prequal": Prequal,
    "random": Uniform,
    "round_robin": InTurn,
}


def make(policy: ChoicePolicy, random: Random) -> Picker:
    """Make the picker that a policy asks for.

    Parameters
    ----------
    policy : ChoicePolicy
        Its ejection is not looked at: `Ejector` stands before a picker.
    random : random.Random
        Chance of this client's own; clients that share a seed choose alike, and herd.

    Returns
    -------
    Picker
    """
    if policy.algorithm == "peak_ewma":
        return PeakEwma(random, policy.ewma_seconds)
    if policy.algorithm == "rendezvous":
        return Rendezvous()
    return _BY_CHANCE[policy.algorithm](random)
