# SPDX-License-Identifier: MIT
"""Which timers should be spread, over how long, and what is that expected to bring?

Timers of one period form a group. If their starts as observed pile up clearly more work than
random delays would leave, each that has no long enough delay of its own gets one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resonance.cli.advise.spread import Burst, expected_pile_up
from resonance.cli.advise.systemd import Timer

__all__ = ["Group", "Suggestion", "suggest"]

_WORTH_RATIO = 0.75
"""As the phase controller: a change that leaves more than this is not worth making."""
_WHOLE_PERIOD_SECONDS = 3600.0
_LONG_PERIOD_SHARE = 0.5
"""*Chosen*: up to an hour nobody minds which minute; of a day, half is what the packages of
distributions give their own daily timers (apt-daily.timer, certbot.timer: 12 h)."""
_SAME_PERIOD_RATIO = 1e-3
_ACCURACY_SHARE = 0.25
"""*Chosen*: systemd moves a start within ``AccuracySec=`` to where other timers start, so it must
stay well below the mean distance that spreading gives them."""
_LEAST_ACCURACY_SECONDS = 1.0
"""Finer buys nothing for work of seconds, and costs wake-ups."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to set for one timer; None where it may stay as it is."""

    timer: Timer
    delay_seconds: float | None
    is_delay_fixed: bool | None
    accuracy_seconds: float | None

    @property
    def is_change(self) -> bool:
        """Whether anything is to be set."""
        settings = (self.delay_seconds, self.is_delay_fixed, self.accuracy_seconds)
        return any(setting is not None for setting in settings)


@dataclass(frozen=True, slots=True)
class Group:
    """Timers of one period.

    Attributes
    ----------
    period_seconds : float
    suggestions : tuple of Suggestion
        One per timer, whether or not there is anything to set.
    pile_up_seconds, expected_seconds : float
        Root mean square of the work ahead of its mean rate: as observed, and as expected with
        the suggestions. CPU seconds; the ratio is the gain.
    assumed_works : int
        Timers whose work is not known, and was taken to be like that of the others.
    """

    period_seconds: float
    suggestions: tuple[Suggestion, ...]
    pile_up_seconds: float
    expected_seconds: float
    assumed_works: int

    @property
    def ratio(self) -> float:
        """What is expected to be left of the pile-up."""
        return self.expected_seconds / self.pile_up_seconds if self.pile_up_seconds else 1.0

    @property
    def is_worth_it(self) -> bool:
        """Whether the gain is clear, and there is anything to set."""
        return self.ratio <= _WORTH_RATIO and any(each.is_change for each in self.suggestions)


def suggest(timers: Iterable[Timer], spread_seconds: float | None = None) -> list[Group]:
    """Return the groups of at least two timers, the largest gain in seconds first.

    Parameters
    ----------
    timers : iterable of Timer
        Those without a period or a start are left out.
    spread_seconds : float, optional
        Longest delay; by default the whole of a period up to an hour, half of a longer one.
    """
    known = [each for each in timers if each.period_seconds and each.start_unix_seconds]
    groups = [_group(members, spread_seconds) for members in _by_period(known)]
    return sorted(groups, key=lambda group: group.expected_seconds - group.pile_up_seconds)


def _by_period(timers: Iterable[Timer]) -> list[list[Timer]]:
    groups: list[list[Timer]] = []
    for timer in sorted(timers, key=lambda each: (each.period_seconds or 0.0, each.unit)):
        first = groups[-1][0].period_seconds if groups else None
        if first and (timer.period_seconds or 0.0) <= first * (1.0 + _SAME_PERIOD_RATIO):
            groups[-1].append(timer)
        else:
            groups.append([timer])
    return [group for group in groups if len(group) > 1]


def _group(timers: Sequence[Timer], spread_seconds: float | None) -> Group:
    period_seconds = timers[0].period_seconds or 0.0
    window_seconds = min(_window_seconds(period_seconds), spread_seconds or period_seconds)
    works, assumed = _works(timers)
    suggestions = [_suggestion(each, window_seconds, len(timers)) for each in timers]
    observed = [
        Burst((each.start_unix_seconds or 0.0) / period_seconds % 1.0, work)
        for each, work in zip(timers, works, strict=True)
    ]
    planned = [
        Burst(burst.turn, burst.work, (suggestion.delay_seconds or 0.0) / period_seconds)
        for burst, suggestion in zip(observed, suggestions, strict=True)
    ]
    return Group(
        period_seconds=period_seconds,
        suggestions=tuple(suggestions),
        pile_up_seconds=expected_pile_up(observed),
        expected_seconds=expected_pile_up(planned),
        assumed_works=assumed,
    )


def _window_seconds(period_seconds: float) -> float:
    if period_seconds <= _WHOLE_PERIOD_SECONDS:
        return period_seconds
    return period_seconds * _LONG_PERIOD_SHARE


def _works(timers: Sequence[Timer]) -> tuple[list[float], int]:
    known = [each.work_seconds for each in timers if each.work_seconds]
    assumed = statistics.median(known) if known else 1.0
    return [each.work_seconds or assumed for each in timers], len(timers) - len(known)


def _suggestion(timer: Timer, window_seconds: float, timers: int) -> Suggestion:
    """Spread a timer, unless it has such a delay and keeps it."""
    has_delay = timer.delay_seconds >= 0.5 * window_seconds
    keeps_delay = timer.is_delay_fixed is not False
    needed_seconds = max(_ACCURACY_SHARE * window_seconds / timers, _LEAST_ACCURACY_SECONDS)
    return Suggestion(
        timer=timer,
        delay_seconds=None if has_delay else window_seconds,
        is_delay_fixed=None
        if timer.is_delay_fixed is None or (has_delay and keeps_delay)
        else True,
        accuracy_seconds=None
        if timer.accuracy_seconds <= needed_seconds
        else _round(needed_seconds),
    )


def _round(accuracy_seconds: float) -> float:
    """Return the longest usual span below, so that nobody reads 14.0625 s."""
    usual = (1.0, 5.0, 10.0, 30.0, 60.0)
    return max(each for each in usual if each <= accuracy_seconds)
