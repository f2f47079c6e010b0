# SPDX-License-Identifier: MIT
"""Which attempt of which call does this code run in?"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

from resonance.policies import Attempt

__all__ = ["CURRENT", "OVERRIDE", "current_attempt", "reset_current", "set_current"]

CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("resonance_attempt", default=None)
set_current, reset_current = CURRENT.set, CURRENT.reset
OVERRIDE: Final[ContextVar[dict[object, Any] | None]] = ContextVar(
    "resonance_policies", default=None
)
"""By client: a policy, or a part of one, for calls that name none."""


def current_attempt() -> Attempt | None:
    """Return the attempt this code runs in; ``None`` outside of a call.

    A function that can be interrupted says so by `Attempt.on_cancel`; and it can see where it
    was sent, and whether it is a copy.

    Examples
    --------
    >>> import resonance
    >>> def read() -> int:
    ...     return resonance.current_attempt().number
    >>> with resonance.Client() as client:
    ...     client.retry(read).result
    1
    """
    return CURRENT.get()
