# SPDX-License-Identifier: MIT
"""What went wrong with an attempt, in the words a policy understands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from resonance.errors import PolicyError

__all__ = ["Classify", "Failure"]


class Failure(msgspec.Struct, frozen=True):
    """An attempt that failed.

    Parameters
    ----------
    kind : {"retriable", "fatal", "unsent"}
        Another attempt may succeed; none will; or this one provably never reached the server,
        so that even what is not idempotent may be sent again.
    pushback : float, optional
        Seconds after which the server wants to be asked again; kept to exactly.
    stop : bool
        The server does not want to be asked again.

    Raises
    ------
    PolicyError
        The pushback is negative, or no number.
    """

    kind: Literal["retriable", "fatal", "unsent"] = "retriable"
    pushback: float | None = None
    stop: bool = False

    def __post_init__(self) -> None:
        if self.pushback is not None and not self.pushback >= 0.0:
            raise PolicyError(
                "Failure.pushback", f"must be seconds, 0 or more, not {self.pushback!r}"
            )


Classify = Callable[[object], Failure | None]
"""Tells a failure from a success, given what was returned or what was raised."""
