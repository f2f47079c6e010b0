# SPDX-License-Identifier: MIT
"""When did a service work again after an outage, and what did the calls cost it?

Goodput of a window is the number of calls that got their result in it, by whichever attempt,
over the number of calls that were begun in it. The rate of calls does not depend on what becomes
of them, so while all is well this is 1, but for the calls that cross an edge of the window.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Told", "amplification", "goodput", "recovery_seconds"]

GOOD: Final = 0.95
_STEP_SECONDS: Final = 0.1
_WINDOW_SECONDS: Final = 2.0
"""*Chosen*: at 75 calls a second, those that cross its edges are then some 2 % of its calls."""
_LASTING_SECONDS: Final = 3.0
"""*Chosen*: so long goodput must stay; what is overloaded flickers."""


class Told(NamedTuple):
    """What became of one call.

    Attributes
    ----------
    begun_at, ended_at : float
        On the monotonic clock in seconds.
    is_good : bool
        It got its result.
    attempts : tuple of float
        When each was begun.
    """

    begun_at: float
    ended_at: float
    is_good: bool
    attempts: tuple[float, ...]


def goodput(calls: Sequence[Told], begin_at: float, end_at: float) -> float:
    """Return the goodput between two moments; 1 where no call was begun.

    Parameters
    ----------
    calls : sequence of Told
    begin_at, end_at : float
        On the monotonic clock in seconds.
    """
    begun = sum(begin_at <= call.begun_at < end_at for call in calls)
    good = sum(call.is_good and begin_at <= call.ended_at < end_at for call in calls)
    return good / begun if begun else 1.0


def recovery_seconds(calls: Sequence[Told], over_at: float, horizon_at: float) -> float:
    """Return the time from the end of an outage to the end of the first good window that lasts.

    A window of 2 s is good when its goodput is at least 0.95, and lasts when those that begin
    within the next 3 s are good, too. The least is therefore 2 s.

    Parameters
    ----------
    calls : sequence of Told
    over_at : float
        When the outage was over, on the monotonic clock.
    horizon_at : float
        Until when the calls were watched. A service that has not recovered by then counts as
        one that does at the horizon: the least that it can be.

    Returns
    -------
    float
        Seconds.
    """
    begun = sorted(call.begun_at for call in calls)
    ended = sorted(call.ended_at for call in calls if call.is_good)
    longest = horizon_at - over_at
    lasting = round(_LASTING_SECONDS / _STEP_SECONDS)
    good_in_a_row = 0
    for step in range(round((longest - _WINDOW_SECONDS) / _STEP_SECONDS) + 1):
        begin_at = over_at + step * _STEP_SECONDS
        good_in_a_row = good_in_a_row + 1 if _is_good(begun, ended, begin_at) else 0
        if good_in_a_row > lasting:
            return (step - lasting) * _STEP_SECONDS + _WINDOW_SECONDS
    return longest


def amplification(calls: Sequence[Told], begin_at: float, end_at: float) -> float:
    """Return how many attempts were begun for each call, between two moments.

    Parameters
    ----------
    calls : sequence of Told
    begin_at, end_at : float
        On the monotonic clock in seconds.
    """
    begun = sum(begin_at <= call.begun_at < end_at for call in calls)
    attempts = sum(begin_at <= at < end_at for call in calls for at in call.attempts)
    return attempts / begun if begun else 1.0


def _is_good(begun: Sequence[float], ended: Sequence[float], begin_at: float) -> bool:
    calls, results = (
        bisect_left(moments, begin_at + _WINDOW_SECONDS) - bisect_left(moments, begin_at)
        for moments in (begun, ended)
    )
    return results >= GOOD * calls
