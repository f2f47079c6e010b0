# SPDX-License-Identifier: MIT
"""What a call returns: its result, and what was done to get it."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from resonance.policies._reasons import Reason

__all__ = ["Outcome"]

T = TypeVar("T")


class Outcome(msgspec.Struct, Generic[T], frozen=True):
    """The end of a call.

    Attributes
    ----------
    result : object
        What the function returned.
    target : object
        The replica that answered; ``None`` where there was no choice to make.
    elapsed_seconds : float
        The whole call.
    reasons : tuple of Reason
        What was decided, in order; `resonance.policies.SENTENCES` has them in words.
    attempts : int
        How many were begun, copies and retries included.
    hedge_fired : bool
        A copy was sent.
    hedge_won : bool
        It was a copy that answered.
    hedge_delay : float or None
        Seconds after which the first copy was, or would have been, sent; ``None`` where no delay
        was known.
    """

    result: T
    target: object = None
    elapsed_seconds: float = 0.0
    reasons: tuple[Reason, ...] = ()
    attempts: int = 1
    hedge_fired: bool = False
    hedge_won: bool = False
    hedge_delay: float | None = None
