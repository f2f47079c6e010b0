# SPDX-License-Identifier: MIT
"""What does one running timer do, and who tells it where to be?

The half of a loop that is the same for threads and for asyncio: everything but the waiting.
One thread runs a source; another, the attendant's, reads what it did and sets its hold. They
share single attributes and a deque, each of which the interpreter changes in one piece.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import abstractmethod
from collections import deque
from typing import Final, NamedTuple, Protocol

from resonance.periodic._records import Spec, Status, Tick
from resonance.periodic._schedule import Hold, Release, Schedule, longest_step_ns

__all__ = ["Authority", "Done", "Gate", "Source", "Way"]

_MOST_DONE: Final = 1024
"""Releases kept for a report; older ones go. Chosen: a hundred seconds of a period of 0.1 s."""
_GRANT_NS: Final = 2_000_000_000
"""A grant counts as given at registration for so long, or one period; chosen: twice the time
in which a daemon answers that has just started."""


class Done(NamedTuple):
    """One release that was given, and its burst.

    Attributes
    ----------
    natural_ns : int
        When it would have been without a hold, CLOCK_MONOTONIC.
    work_seconds : float
        CPU time of the burst; NaN where not known.
    completion_seconds : float
        From the release under the hold of the cycle before to the end of the burst.
    """

    natural_ns: int
    work_seconds: float
    completion_seconds: float


class Gate(Protocol):
    """What a loop waits at."""

    @abstractmethod
    def open(self) -> None:
        """End the wait, from any thread; it is looked at anew when the next release is due."""


class Authority(Protocol):
    """Who looks after sources and places them."""

    @abstractmethod
    def attend(self, source: Source) -> None:
        """Look after a source, until `depart`."""

    @abstractmethod
    def depart(self, source: Source) -> None:
        """Let it go; may be called by the garbage collector, at any point of any thread."""


class Way(Authority, Protocol):
    """The way to a daemon, which may not be there."""

    @abstractmethod
    def look(self, now_ns: int) -> None:
        """Look whether it has come; cheap, and called at each tick."""

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why it is not there."""


class Source:
    """A timer that runs.

    Parameters
    ----------
    spec : Spec
    gate : Gate
        Opened when the source is to look again.
    way : Way
        To the daemon; asked from time to time whether it is there.
    core : Authority, optional
        Who places it while there is no daemon.

    Attributes
    ----------
    mode, reason : str
        As the daemon or the core last said.
    refusal : str
        Why they do not want it; empty where they do.
    daemon_until_ns, core_until_ns : int
        Until when their words hold; who is not heard any more is not obeyed any more.
    """

    def __init__(self, spec: Spec, gate: Gate, way: Way, core: Authority | None) -> None:
        self.spec = spec
        self.mode = ""
        self.reason = ""
        self.refusal = ""
        self.daemon_until_ns = 0
        self.core_until_ns = 0
        self.is_closed = False
        self._gate = gate
        self._core = core
        self._way = way
        self._is_attended = False
        self._schedule = _schedule(spec)
        self._has_begun = False
        self._asked_ns = 0
        self._burst: tuple[Release, int, int] | None = None
        self._done: deque[Done] = deque(maxlen=_MOST_DONE)

    # -- for the loop

    def turn(self, now_ns: int, cpu_ns: int, thread: int) -> int:
        """End the burst that ran, if any, and tell how long to wait.

        Parameters
        ----------
        now_ns : int
            CLOCK_MONOTONIC.
        cpu_ns : int
            CPU time of this thread.
        thread : int
            Which thread that is: a burst that moves between threads has no known work.

        Returns
        -------
        int
            Nanoseconds to the next release; 0 or less if one is due.
        """
        burst, self._burst = self._burst, None
        if burst is not None:
            self._note(burst, now_ns, cpu_ns, thread)
        if not self._is_attended:
            self._begin(now_ns)
        self._way.look(now_ns)
        self._judge(now_ns)
        return self.wait_ns(now_ns)

    def wait_ns(self, now_ns: int) -> int:
        """Return how long to wait for the next release, ns; 0 or less is now."""
        return self._schedule.due_ns() - now_ns

    def release(self, now_ns: int, thread: int) -> Tick | None:
        """Return the tick that is due, and its burst begins; ``None`` before it is due."""
        self._judge(now_ns)  # it may have been told something while it waited
        release = self._schedule.release(now_ns)
        if release is None:
            return None
        self._burst = release, time.thread_time_ns(), thread
        return Tick(
            release.number,
            release.due_ns / 1e9,
            (now_ns - release.due_ns) / 1e9,
            release.missed,
            (release.due_ns - release.natural_ns) / 1e9,
        )

    def pause(self) -> None:
        """Depart until the next turn, as when the wait was interrupted."""
        self._is_attended = False
        self._way.depart(self)
        if self._core is not None:
            self._core.depart(self)
        self._burst = None

    def close(self) -> None:
        """End the loop, from any thread."""
        self.is_closed = True
        self.pause()
        self._gate.open()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child, whose timers are not those of its parent."""
        self._is_attended = False
        self.daemon_until_ns = self.core_until_ns = 0

    # -- for who attends it

    @property
    def period_seconds(self) -> float:
        """As scheduled: whole ns."""
        return self._schedule.period_ns / 1e9

    @property
    def origin_ns(self) -> int:
        """One of its natural releases, CLOCK_MONOTONIC."""
        return self._schedule.origin_ns

    @property
    def offset_ns(self) -> int:
        """Hold in force."""
        return self._schedule.offset_ns

    def status(self, now_ns: int) -> Status:
        """Say who attends it now, and where it is."""
        has_core = now_ns <= self.core_until_ns
        has_daemon = now_ns <= self.daemon_until_ns
        reason = self.reason
        if not (has_daemon or has_core):
            reason = self.refusal or self._way.reason
        return Status(
            "daemon" if has_daemon else "core" if has_core else "nobody",
            self.mode if has_daemon or has_core else "",
            self._schedule.offset_ns / 1e9,
            self._schedule.hold.target_ns / 1e9,
            reason,
        )

    def take(self) -> list[Done]:
        """Return what it did since this was last asked."""
        taken: list[Done] = []
        with contextlib.suppress(IndexError):  # the end; who else takes may have come first
            while True:
                taken.append(self._done.popleft())
        return taken

    def asked(self, now_ns: int) -> None:
        """Take note that it was registered now: a grant may follow."""
        self._asked_ns = now_ns
        self.refusal = ""

    def stay(self, offset_ns: int) -> None:
        """Be where somebody was told that it is."""
        self._schedule.hold = Hold(offset_ns, longest_step_ns(self._schedule.period_ns))

    def place(self, kind: str, offset_seconds: float, step_seconds: float, reason: str) -> None:
        """Obey a command; one that makes no sense is left, and `reason` says so.

        Parameters
        ----------
        kind : {"grant", "slew", "home"}
        offset_seconds, step_seconds : float
        reason : str
        """
        if kind == "home":
            hold = Hold(0, longest_step_ns(self._schedule.period_ns), is_at_once=True)
        elif 0.0 <= offset_seconds < self.period_seconds and 0.0 < step_seconds < math.inf:
            target_ns, step_ns = round(offset_seconds * 1e9), round(step_seconds * 1e9)
            hold = Hold(target_ns, step_ns, is_at_once=kind == "grant" and self._may_be_granted())
        else:
            self.reason = f"a command that cannot be: {offset_seconds:g} by {step_seconds:g}"
            return
        self.reason = reason
        self._schedule.hold = hold
        if hold.is_at_once:
            self._gate.open()  # it may be due earlier than it waits for

    def _judge(self, now_ns: int) -> None:
        """Obey only who was heard of late."""
        self._schedule.is_trusted = now_ns <= max(self.daemon_until_ns, self.core_until_ns)

    def _may_be_granted(self) -> bool:
        since_ns = time.monotonic_ns() - self._asked_ns
        return since_ns <= max(_GRANT_NS, self._schedule.period_ns)

    def _begin(self, now_ns: int) -> None:
        if not self._has_begun and self.spec.origin_seconds is None:
            self._schedule.origin_ns = now_ns
        self._has_begun = True
        self._schedule.start(now_ns)
        self._done.clear()
        self._is_attended = True
        self._way.attend(self)
        if self._core is not None:
            self._core.attend(self)

    def _note(self, burst: tuple[Release, int, int], now_ns: int, cpu_ns: int, thread: int) -> None:
        release, began_cpu_ns, began_thread = burst
        work_seconds = self.spec.work_seconds
        if work_seconds is None:
            is_same = thread == began_thread
            work_seconds = (cpu_ns - began_cpu_ns) / 1e9 if is_same else math.nan
        completion_seconds = (now_ns - release.expected_ns) / 1e9
        self._done.append(Done(release.natural_ns, work_seconds, completion_seconds))


def _schedule(spec: Spec) -> Schedule:
    period_ns = round(spec.period_seconds * 1e9)
    origin_ns = round((spec.origin_seconds or 0.0) * 1e9)
    return Schedule(period_ns, origin_ns, spec.on_late, _limit_ns(spec, period_ns))


def _limit_ns(spec: Spec, period_ns: int) -> int:
    """Return the longest hold that the application has allowed."""
    if spec.importance == "critical":
        return 0
    if spec.phase_free:
        return period_ns - 1
    return min(round(spec.slack_seconds * 1e9), longest_step_ns(period_ns))
