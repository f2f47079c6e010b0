# SPDX-License-Identifier: MIT
"""What a timer is told to be, and what it tells its loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = ["Importance", "OnLate", "Spec", "Status", "Tick"]

Importance = Literal["low", "normal", "high", "critical"]
"""How much it matters that a timer is not moved; ``critical`` never is."""

OnLate = Literal["skip", "catch_up"]
"""What becomes of ticks that a slow loop has missed: left out, or given one after another."""

_SHORTEST_SECONDS: Final = 1e-4
_LONGEST_SECONDS: Final = 1e9
_LONGEST_NAME: Final = 128


@dataclass(frozen=True, slots=True)
class Tick:
    """One turn of a timer.

    Attributes
    ----------
    number : int
        Which point of origin + number * period it is; a number left out was missed.
    scheduled_seconds : float
        When it was to be, its hold included; of `time.monotonic`.
    late_seconds : float
        How long after that it was given; 0 or more.
    missed : int
        Ticks left out before this one; always 0 for ``on_late="catch_up"``.
    offset_seconds : float
        The hold: how long after its own point it was scheduled, so that it does not meet
        others. 0 without a daemon.
    """

    number: int
    scheduled_seconds: float
    late_seconds: float
    missed: int
    offset_seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """Who tells a timer where to be, and why it is where it is.

    Attributes
    ----------
    attended_by : {"nobody", "daemon", "core"}
    mode : str
        Of who attends it: observe, shadow, adaptive, active; empty for nobody.
    offset_seconds : float
        Hold in force.
    target_seconds : float
        Where it goes in small steps.
    reason : str
        Why: of its last placement or refusal, or why there is no daemon.
    """

    attended_by: Literal["nobody", "daemon", "core"]
    mode: str
    offset_seconds: float
    target_seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What the application declares of a timer; `resonance.every` says what it means."""

    period_seconds: float
    name: str
    phase_free: bool
    slack_seconds: float
    importance: Importance
    on_late: OnLate
    origin_seconds: float | None
    work_seconds: float | None

    def __post_init__(self) -> None:
        if not _SHORTEST_SECONDS <= self.period_seconds <= _LONGEST_SECONDS:  # NaN is neither
            raise ValueError(
                f"period must be {_SHORTEST_SECONDS:g} to {_LONGEST_SECONDS:g} seconds, "
                f"not {self.period_seconds!r}"
            )
        if not (0 < len(self.name) <= _LONGEST_NAME and self.name.isprintable()):
            raise ValueError(f"name must be 1 to {_LONGEST_NAME} printable letters")
        if not 0.0 <= self.slack_seconds < self.period_seconds:
            raise ValueError(
                f"slack must be 0 or more and below the period, not {self.slack_seconds!r}"
            )
        _check_choice("importance", self.importance, get_args(Importance))
        _check_choice("on_late", self.on_late, get_args(OnLate))
        if self.origin_seconds is not None and not 0.0 <= self.origin_seconds <= _LONGEST_SECONDS:
            raise ValueError("origin must be a time of time.monotonic()")
        if self.work_seconds is not None and not (
            math.isfinite(self.work_seconds) and self.work_seconds >= 0.0
        ):
            raise ValueError(f"work must be 0 or more seconds, not {self.work_seconds!r}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
