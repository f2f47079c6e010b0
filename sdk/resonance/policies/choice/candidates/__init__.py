# SPDX-License-Identifier: MIT
"""In which form could pressure, as the kernel sees it, enter the choice of a replica?

Each of these is a `Picker`, so that a bench can set them beside those that are shipped; none is
an `Algorithm` that a policy may name. `tests/bench/sdk/balance_table.py` compares them.

::

    PressureTimes    multiplies what is in flight: herds with many clients, the control
    Flipped          turns two choices over, with a bounded probability
    Headroom         shares handed out seldom, with hysteresis
    ExpectedWait     latency over the share of a CPU that is left

The fourth form, leaving out who starves for long, is part of `Ejector`.
"""

from __future__ import annotations

from resonance.policies.choice.candidates._expected_wait import ExpectedWait
from resonance.policies.choice.candidates._flipped import Flipped
from resonance.policies.choice.candidates._headroom import Headroom, Shares
from resonance.policies.choice.candidates._naive import PressureTimes

__all__ = ["ExpectedWait", "Flipped", "Headroom", "PressureTimes", "Shares"]
