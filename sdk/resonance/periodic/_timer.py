# SPDX-License-Identifier: MIT
"""What an application writes: a timer, and the loops over it."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterable, Iterable
from typing import Self

from resonance.periodic._async import AsyncTicks
from resonance.periodic._records import Importance, OnLate, Spec, Status, Tick
from resonance.periodic._source import Authority
from resonance.periodic._threads import Ticks

__all__ = ["Timer", "every"]


class Timer(Iterable[Tick], AsyncIterable[Tick]):
    """What `every` returns: for ``for`` in a thread, ``async for`` in a task.

    Each loop over it runs by itself, from the moment of its first tick. A context manager
    that ends all of them.

    Parameters
    ----------
    spec : Spec
        What the application declared.
    core : Authority, optional
        Who chooses the phase while there is no daemon.
    """

    def __init__(self, spec: Spec, core: Authority | None) -> None:
        self._spec = spec
        self._core = core
        self._loops: weakref.WeakSet[Ticks | AsyncTicks] = weakref.WeakSet()
        self._is_closed = False

    def __iter__(self) -> Ticks:
        """Return the ticks of a loop in a thread."""
        ticks = Ticks(self._spec, self._core)
        self._add(ticks)
        return ticks

    def __aiter__(self) -> AsyncTicks:
        """Return the ticks of a loop in a task."""
        ticks = AsyncTicks(self._spec, self._core)
        self._add(ticks)
        return ticks

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Who tells its loops where to be, and why; one of each loop that runs."""
        return tuple([ticks.status for ticks in tuple(self._loops)])

    def close(self) -> None:
        """End all loops, from any thread; a loop that begins later ends at once."""
        self._is_closed = True
        for ticks in tuple(self._loops):
            ticks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, ticks: Ticks | AsyncTicks) -> None:
        self._loops.add(ticks)
        if self._is_closed:
            ticks.close()


def every(
    period: float,
    *,
    name: str,
    phase_free: bool = False,
    slack: float = 0.0,
    importance: Importance = "normal",
    on_late: OnLate = "skip",
    origin: float | None = None,
    work: float | None = None,
    core: Authority | None = None,
) -> Timer:
    """Return a timer that ticks without drift, and lets the daemon choose its phase.

    Tick n comes at ``origin + n * period`` plus its hold, on CLOCK_MONOTONIC: a slow loop, a
    late wake-up or a change of the wall clock moves no later tick. Without a daemon the hold
    is 0 and nothing else is different.

    Parameters
    ----------
    period : float
        Seconds; at least 0.0001. Rounded to whole ns.
    name : str
        For people: in ``resonance explain`` and in tables.
    phase_free : bool
        Nobody minds at which point of its period this runs: the daemon may choose it, where
        its operator allows that. False leaves it where it is.
    slack : float
        How long each tick may be held that is not `phase_free`, seconds below the period. Held
        are at most 7 ms, and only where the operator asks for it.
    importance : {"low", "normal", "high", "critical"}
        ``critical`` is never moved, whatever else is said.
    on_late : {"skip", "catch_up"}
        When a loop was too slow, or the process was stopped: give the newest tick that is due
        and count the others as missed, or give each of them, one after another.
    origin : float, optional
        A time of `time.monotonic` at which a tick would be; the first tick is the first such
        point that is not past. By default the moment the loop asks for its first tick.
    work : float, optional
        CPU time of one turn of the loop, seconds, where the application knows it better. By
        default it is measured: the thread's CPU time from a tick until the next is asked for.
        In asyncio that counts what other tasks did meanwhile: an upper bound.
    core : resonance.Core, optional
        Who chooses the phase while there is no daemon.

    Returns
    -------
    Timer
        Loop over it with ``for`` or with ``async for``.

    Raises
    ------
    ValueError
        An argument cannot be, as a period of 0. Nothing raises because of the daemon.

    Examples
    --------
    >>> for tick in every(0.001, name="doc"):
    ...     if tick.number == 3:
    ...         break
    """
    spec = Spec(
        period_seconds=float(period),
        name=name,
        phase_free=phase_free,
        slack_seconds=float(slack),
        importance=importance,
        on_late=on_late,
        origin_seconds=origin,
        work_seconds=work,
    )
    return Timer(spec, core)
