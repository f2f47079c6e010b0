# SPDX-License-Identifier: MIT
"""When is the next release, and with which hold?

Pure: the same calls give the same releases, and no clock is read. All times are ns of one
monotonic clock as integers, so that the billionth release is as exact as the first: release n
is due at ``origin + n * period + offset``, whatever happened before it.

The hold `offset_ns` is what phase control may move. It is never negative, so no release comes
before its own point; it is below the period, so releases keep their order; and from one release
to the next it changes by `step_ns` at most, unless it is set at once by who may.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from resonance.periodic._records import OnLate

__all__ = ["HOME", "Hold", "Release", "Schedule", "longest_step_ns"]

_LONGEST_STEP_NS: Final = 7_000_000
_LONGEST_STEP_PERCENT: Final = 7


def longest_step_ns(period_ns: int) -> int:
    """Return how far a hold may change per cycle: 7 ms, and 7 % of the period.

    *Chosen*, as are the controller's own limits; kept here too, whatever anybody commands.

    Parameters
    ----------
    period_ns : int
        Above 0.

    Returns
    -------
    int
        Nanoseconds, rounded down.
    """
    return min(_LONGEST_STEP_NS, period_ns * _LONGEST_STEP_PERCENT // 100)


@dataclass(frozen=True, slots=True)
class Hold:
    """Where a schedule is to be.

    Attributes
    ----------
    target_ns : int
        Hold after the natural release, 0 or more.
    step_ns : int
        Longest change per release.
    is_at_once : bool
        The first release obeys it without steps: to its own phase, or as granted at registration.
    """

    target_ns: int
    step_ns: int
    is_at_once: bool = False


HOME: Final = Hold(0, _LONGEST_STEP_NS)
"""Back to its own phase, in steps."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    Attributes
    ----------
    number : int
    natural_ns : int
        Without a hold.
    due_ns : int
        With the hold in force.
    expected_ns : int
        From when its latency counts: with the hold of the release before, where that was the
        shorter one, so that a longer hold is latency once. What is set at once is a new
        schedule, and no latency.
    missed : int
        Releases left out since the one before.
    """

    number: int
    natural_ns: int
    due_ns: int
    expected_ns: int
    missed: int


class Schedule:
    """The releases of one source.

    Parameters
    ----------
    period_ns : int
        Above 0.
    origin_ns : int
        Release 0 without a hold.
    on_late : {"skip", "catch_up"}
        Of several releases that are due, give the newest only, or all of them.
    limit_ns : int
        Longest hold, 0 to below the period: 0 for a source that is never moved.

    Attributes
    ----------
    hold : Hold
        May be replaced by another thread at any time; read once per answer.
    is_trusted : bool
        Whether the hold still counts; without trust the schedule goes home in steps.
    offset_ns : int
        Hold of the last release.
    """

    __slots__ = (
        "_limit_ns",
        "_number",
        "_obeyed",
        "_on_late",
        "_step_ns",
        "hold",
        "is_trusted",
        "offset_ns",
        "origin_ns",
        "period_ns",
    )

    def __init__(self, period_ns: int, origin_ns: int, on_late: OnLate, limit_ns: int) -> None:
        self.period_ns = period_ns
        self.origin_ns = origin_ns
        self.hold = HOME
        self.is_trusted = True
        self.offset_ns = 0
        self._obeyed = HOME
        self._on_late: OnLate = on_late
        self._limit_ns = limit_ns
        self._step_ns = longest_step_ns(period_ns)
        self._number = 0

    def start(self, now_ns: int) -> None:
        """Go on with the first release whose own point is not past, and not before the origin."""
        passed = -((self.origin_ns - now_ns) // self.period_ns)
        self._number = max(self._number, passed, 0)

    def due_ns(self) -> int:
        """Return when the next release is due, as things stand."""
        return self._natural_ns(self._number) + self._next_offset_ns(self._hold())

    def release(self, now_ns: int) -> Release | None:
        """Return the release that is due, and go on to the next; ``None`` before it is due."""
        hold = self._hold()
        number, offset_ns = self._number, self._next_offset_ns(hold)
        newest = (now_ns - offset_ns - self.origin_ns) // self.period_ns
        if newest < number:
            return None
        if self._on_late == "skip":
            number = newest
        missed, self._number = number - self._number, number + 1
        natural_ns = self._natural_ns(number)
        due_ns = natural_ns + offset_ns
        expected_ns = due_ns if self._is_new(hold) else natural_ns + min(self.offset_ns, offset_ns)
        self.offset_ns = offset_ns
        if self.is_trusted:
            self._obeyed = hold
        return Release(number, natural_ns, due_ns, expected_ns, missed)

    def _natural_ns(self, number: int) -> int:
        return self.origin_ns + number * self.period_ns

    def _hold(self) -> Hold:
        return self.hold if self.is_trusted else HOME

    def _is_new(self, hold: Hold) -> bool:
        return hold.is_at_once and hold is not self._obeyed

    def _next_offset_ns(self, hold: Hold) -> int:
        target_ns = min(hold.target_ns, self._limit_ns)
        if self._is_new(hold):
            return target_ns
        step_ns = min(hold.step_ns, self._step_ns)
        return self.offset_ns + max(-step_ns, min(step_ns, target_ns - self.offset_ns))
