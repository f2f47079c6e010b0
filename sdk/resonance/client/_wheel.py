# SPDX-License-Identifier: MIT
"""One timer for all calls that are under way: when is the next copy due, or a deadline over?

Calls are put into slots of a millisecond, and only the first of them has a timer. A call that
ends takes itself out, so that it pays for an entry in a dictionary, whatever the number of calls.
Who finds it there has it: its own thread, or the timer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from time import monotonic
from typing import Final

from resonance.policies import Call

__all__ = ["LoopWheel", "OnTime", "ThreadWheel"]

OnTime = Callable[[Call, float], object]
"""Does what is due for a call, given the time, and puts it again where more will be due."""

Slot = dict[Call, bool]

_SLOTS_PER_SECOND: Final = 1000.0
_FAR_MASK: Final = -64
"""What is due later than in a second shares a slot of 64 ms: fewer slots for long deadlines."""
_IDLE_SECONDS: Final = 1.0
_NEVER: Final = 1 << 62


class _Wheel:
    """Calls by the millisecond in which something is due for them."""

    def __init__(self, on_time: OnTime) -> None:
        self._on_time = on_time
        self._slots: dict[int, Slot] = {}
        self._order: list[int] = []
        """A heap of their numbers."""
        self._armed = _NEVER
        """The slot for which there is a timer."""

    def put(self, at: float, call: Call, now: float) -> Slot:
        """Have a call looked at when its time has come; for any number of threads.

        Parameters
        ----------
        at : float
            On the monotonic clock in seconds.
        call : Call
        now : float
            On the same clock.

        Returns
        -------
        dict of Call to bool
            The slot. Whoever pops the call from it, and finds it there, owns it.
        """
        number = int(at * _SLOTS_PER_SECOND) + 1
        if at - now > 1.0:
            number &= _FAR_MASK  # it comes a little early, and is put where it belongs then
        slots = self._slots
        slot = slots.get(number)
        if slot is None:
            slot = slots.setdefault(number, {})
            heappush(self._order, number)
        slot[call] = True
        if slots.get(number) is not slot and slot.pop(call, False):
            return self.put(now, call, now)  # it was just taken away: have it looked at at once
        if number < self._armed:
            self._arm(number)
        return slot

    def _arm(self, number: int) -> None:
        raise NotImplementedError

    def _complain(self, error: Exception) -> None:
        """Tell what went wrong with one call; the others are looked after all the same."""
        raise NotImplementedError

    def _look(self, reached: int = 0) -> None:
        """Do what is due; a slot whose time was waited for is, even if the clock stands still."""
        now = max(monotonic(), reached / _SLOTS_PER_SECOND)
        for call in self._take(max(int(now * _SLOTS_PER_SECOND), reached)):
            try:
                self._on_time(call, now)
            except Exception as error:  # noqa: BLE001 -- such as of a target's own comparison
                self._complain(error)

    def _take(self, last: int) -> list[Call]:
        """Return the calls in the slots up to one, which are ours then."""
        taken: list[Call] = []
        while self._order and self._order[0] <= last:
            taken += self._emptied(heappop(self._order))
        return taken

    def _emptied(self, number: int) -> list[Call]:
        """Take a slot away; return the calls in it, which are ours then."""
        slot = self._slots.pop(number, {})
        calls: list[Call] = []
        with suppress(KeyError):  # its own thread has just taken the last one
            while slot:
                calls.append(slot.popitem()[0])
        return calls

    def _next(self) -> int:
        """Return the slot to wake up for: the first with a call in it, or else the last.

        While calls come and go faster than they are due all slots are empty, and the next call
        goes behind the last.
        """
        while len(self._order) > 1:
            number = heappop(self._order)
            if not self._slots.get(number):
                came = self._emptied(number)
                if not came:
                    continue
                slot = self._slots.setdefault(number, {})  # they came just now
                slot.update(dict.fromkeys(came, True))
            heappush(self._order, number)
            break
        return self._order[0] if self._order else _NEVER


class LoopWheel(_Wheel):
    """A wheel in an event loop.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    on_time : callable
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_time: OnTime) -> None:
        super().__init__(on_time)
        self.loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def _arm(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = number
        delay = number / _SLOTS_PER_SECOND - monotonic()
        self._timer = self.loop.call_later(max(delay, 0.0), self._turn)

    def _turn(self) -> None:
        self._timer = None
        reached, self._armed = self._armed, 0  # what is put meanwhile is seen below
        self._look(reached)
        self._armed = _NEVER
        number = self._next()
        if number < _NEVER:
            self._arm(number)

    def close(self) -> None:
        """Let go of the timer, unless a call is under way that needs it."""
        if self._timer is not None and not any(self._slots.values()):
            self._timer.cancel()
            self._timer, self._armed = None, _NEVER

    def _complain(self, error: Exception) -> None:
        self.loop.call_exception_handler(
            {"message": "resonance: a timer of a call failed", "exception": error}
        )


class ThreadWheel(_Wheel):
    """A wheel with a thread of its own, which lives only while something is on it.

    Parameters
    ----------
    on_time : callable
        Called in the wheel's thread.
    """

    def __init__(self, on_time: OnTime) -> None:
        super().__init__(on_time)
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def _arm(self, number: int) -> None:
        with self._guard:
            if number >= self._armed:
                return
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="resonance-timer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system has none left: the next call tries again
                    return
                self._thread = thread
            self._armed = number
            self._wake.set()

    def _complain(self, error: Exception) -> None:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread))
        )

    def close(self) -> None:
        """Let the thread end as soon as no call is under way."""
        self._is_closed = True
        self._wake.set()

    def _run(self) -> None:
        idle_since, last, reached = monotonic(), _NEVER, 0
        while True:
            self._wake.clear()
            self._armed = _NEVER  # whoever comes after `_next` has looked, arms it anew
            self._look(reached)
            now = monotonic()
            with self._guard:
                number = self._next()
                if self._slots.get(number):
                    idle_since = now
                elif self._is_closed or (number == last and now - idle_since > _IDLE_SECONDS):
                    self._thread = None
                    return  # the last slot may be an hour away, and nobody in it any more
                elif number != last:
                    idle_since, last = now, number
                self._armed = number
                pause = self._armed / _SLOTS_PER_SECOND - monotonic()
            was_woken = pause > 0 and self._wake.wait(min(pause, _IDLE_SECONDS))
            reached = 0 if was_woken or pause > _IDLE_SECONDS else number
