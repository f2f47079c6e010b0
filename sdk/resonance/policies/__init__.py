# SPDX-License-Identifier: MIT
"""What to do for a call, and when: decisions without a clock, a thread or a socket.

The layers, top first::

    _service            what is done for the calls of one service; a driver tells what happens
    _hedging, _retrying is a copy, is another attempt worth sending
    _gate               may another call be sent at all
    _cluster, choice    which replica gets it
    _window             what attempts took in the last seconds
    _budget, _backoff, _brake, _throttle, _limits, _pushback, _batching    one rule each
    _profiles           policies from files
    _call               one call and its attempts
    _records            what a policy may be told
    _reasons            why, in one word and in one sentence

`resonance.Client` and `resonance.AsyncClient` drive it; whoever has a loop of his own can, too.
"""

from __future__ import annotations

from resonance.policies._call import Attempt, Call, Extra, Step
from resonance.policies._counts import Counts
from resonance.policies._failure import Classify, Failure
from resonance.policies._outcome import Outcome
from resonance.policies._profiles import load
from resonance.policies._reasons import SENTENCES, Reason
from resonance.policies._records import (
    NO_HINT,
    BatchPolicy,
    BudgetPolicy,
    ChoicePolicy,
    EjectionPolicy,
    HedgePolicy,
    LimitPolicy,
    Mode,
    Policy,
    RetryPolicy,
    TaskHint,
    ThrottlePolicy,
)
from resonance.policies._replica import Replica
from resonance.policies._service import Service

__all__ = [
    "NO_HINT",
    "SENTENCES",
    "Attempt",
    "BatchPolicy",
    "BudgetPolicy",
    "Call",
    "ChoicePolicy",
    "Classify",
    "Counts",
    "EjectionPolicy",
    "Extra",
    "Failure",
    "HedgePolicy",
    "LimitPolicy",
    "Mode",
    "Outcome",
    "Policy",
    "Reason",
    "Replica",
    "RetryPolicy",
    "Service",
    "Step",
    "TaskHint",
    "ThrottlePolicy",
    "load",
]
