# SPDX-License-Identifier: MIT
"""How many calls may be in flight, to judge by how long they take?

When calls queue, they take longer than they need to. Both rules let the limit grow while there
is no sign of a queue, and make it smaller when there is one.
"""

from __future__ import annotations

from math import ceil, log10
from random import Random
from typing import Final, Protocol

from resonance.policies._records import LimitPolicy

__all__ = ["Gradient2", "Limit", "Vegas", "make_limit"]

_LONG_SAMPLES: Final = 600
_WARM_UP_SAMPLES: Final = 10
_TOLERANCE: Final = 1.5
_LEAST_GRADIENT: Final = 0.5
_SMOOTHING: Final = 0.2
_QUEUE_ALLOWED: Final = 4.0
_RECOVERY_RATIO: Final = 2.0
_RECOVERY_DECAY: Final = 0.95
"""All as in Netflix's Gradient2."""

_ALPHA: Final = 3.0
_BETA: Final = 6.0
_PROBE_FACTOR: Final = 30.0
"""As in Netflix's Vegas."""


class Limit(Protocol):
    """A number of calls in flight that is learned.

    Attributes
    ----------
    limit : int
        Calls that may be in flight now.
    """

    limit: int

    def observe(self, elapsed_seconds: float, inflight: int, is_drop: bool, now: float) -> None:
        """Learn from an attempt that has ended.

        Parameters
        ----------
        elapsed_seconds : float
            How long it took; 0 or less tells nothing.
        inflight : int
            Calls in flight while it was.
        is_drop : bool
            It was refused, or not answered in time. How long that took is not learned from: a
            refusal is quick.
        now : float
            When it ended, in seconds on any clock that does not go back.
        """
        ...


def make_limit(policy: LimitPolicy, random: Random | None = None) -> Limit:
    """Make the limit that a policy describes.

    Parameters
    ----------
    policy : LimitPolicy
        Which algorithm, and its bounds.
    random : random.Random, optional
        When ``vegas`` measures its shortest time anew, so that clients do not do it together.

    Returns
    -------
    Limit
    """
    if policy.algorithm == "gradient2":
        return Gradient2(policy)
    return Vegas(policy, random or Random())  # noqa: S311 - spreads probes, guards no secret


class _Bounded:
    """What both share: bounds, and one reduction for all the drops of one overload."""

    __slots__ = ("_dropped_at", "_estimate", "_largest", "_smallest", "limit")

    def __init__(self, policy: LimitPolicy) -> None:
        self._smallest = float(policy.smallest)
        self._largest = float(policy.largest)
        self._estimate = float(policy.initial)
        self._dropped_at: float | None = None
        self.limit = policy.initial

    def _move(self, estimate: float) -> None:
        self._estimate = max(self._smallest, min(self._largest, estimate))
        self.limit = int(self._estimate)

    def _is_news(self, elapsed_seconds: float, now: float) -> bool:
        """Tell whether a dropped attempt began after the last reduction.

        *Chosen*, as TCP reduces its window once per round trip: a hundred calls that time out
        together are one overload, not a hundred.
        """
        if self._dropped_at is not None and now - elapsed_seconds < self._dropped_at:
            return False
        self._dropped_at = now
        return True


class Gradient2(_Bounded):
    """A limit from latency now by its long average: growing queues make the ratio fall below 1.

    Parameters
    ----------
    policy : LimitPolicy
        The bounds.

    References
    ----------
    Netflix, *concurrency-limits*, ``Gradient2Limit``. *Chosen*: a drop counts as the smallest
    gradient and allows no queue, which takes a tenth off.
    """

    __slots__ = ("_long_seconds", "_samples")

    def __init__(self, policy: LimitPolicy) -> None:
        super().__init__(policy)
        self._long_seconds = 0.0
        self._samples = 0

    def observe(self, elapsed_seconds: float, inflight: int, is_drop: bool, now: float) -> None:
        """See `Limit`."""
        if is_drop:
            if self._is_news(elapsed_seconds, now):
                self._move_by(_LEAST_GRADIENT, 0.0)
            return
        if not elapsed_seconds > 0.0:
            return
        self._learn(elapsed_seconds)
        ratio = self._long_seconds / elapsed_seconds
        if ratio > _RECOVERY_RATIO:
            # After an overload the average is far above what calls take again.
            self._long_seconds *= _RECOVERY_DECAY
        if inflight < self._estimate / 2.0:
            return  # nothing is learned about a limit that is not felt
        self._move_by(max(_LEAST_GRADIENT, min(1.0, _TOLERANCE * ratio)), _QUEUE_ALLOWED)

    def _move_by(self, gradient: float, queue: float) -> None:
        target = self._estimate * gradient + queue
        self._move((1.0 - _SMOOTHING) * self._estimate + _SMOOTHING * target)

    def _learn(self, elapsed_seconds: float) -> None:
        self._samples += 1
        if self._samples <= _WARM_UP_SAMPLES:
            weight = 1.0 / self._samples
        else:
            weight = 2.0 / (_LONG_SAMPLES + 1)
        self._long_seconds += (elapsed_seconds - self._long_seconds) * weight


class Vegas(_Bounded):
    """A limit from the queue that latency above its minimum stands for.

    Parameters
    ----------
    policy : LimitPolicy
        The bounds.
    random : random.Random
        When the minimum is measured anew.

    References
    ----------
    L. Brakmo and L. Peterson, "TCP Vegas", IEEE JSAC, 1995; Netflix, *concurrency-limits*,
    ``VegasLimit``, which uses at least 1 for the logarithm, so that small limits move too.
    """

    __slots__ = ("_probe_jitter", "_random", "_samples", "_shortest_seconds")

    def __init__(self, policy: LimitPolicy, random: Random) -> None:
        super().__init__(policy)
        self._random = random
        self._shortest_seconds = 0.0
        self._samples = 0
        self._probe_jitter = random.uniform(0.5, 1.0)

    def observe(self, elapsed_seconds: float, inflight: int, is_drop: bool, now: float) -> None:
        """See `Limit`."""
        step = max(1.0, log10(self._estimate))
        if is_drop:
            if self._is_news(elapsed_seconds, now):
                self._move(self._estimate - step)
            return
        if not elapsed_seconds > 0.0:
            return
        self._samples += 1
        if self._samples >= self._probe_jitter * _PROBE_FACTOR * self._estimate:
            self._probe_jitter = self._random.uniform(0.5, 1.0)
            self._samples = 0
            self._shortest_seconds = elapsed_seconds
        elif not self._shortest_seconds or elapsed_seconds < self._shortest_seconds:
            self._shortest_seconds = elapsed_seconds
        elif inflight >= self._estimate / 2.0:
            self._move(self._estimate + self._change(elapsed_seconds, step))

    def _change(self, elapsed_seconds: float, step: float) -> float:
        queue = ceil(self._estimate * (1.0 - self._shortest_seconds / elapsed_seconds))
        if queue <= step:
            return _BETA * step
        if queue < _ALPHA * step:
            return step
        return -step if queue > _BETA * step else 0.0
