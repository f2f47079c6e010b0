# SPDX-License-Identifier: MIT
"""Where tasks wait in a program with threads: for their time, and then for a worker.

A `Line` puts a clock to a pure queue: one timer, in a thread that lives only while something
waits. `Jobs` are what has to run now: a worker takes them as it comes free, and where there is
none, a thread of ours does, so that nothing is refused or lost.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from typing import Final, Generic, Protocol, TypeVar

from resonance.errors import ClientClosedError
from resonance.policies._batching import Departure, Queue
from resonance.policies._records import TaskHint

__all__ = ["Clock", "Forked", "Jobs", "Line", "Pool", "forks", "restart_in_child"]

M = TypeVar("M", bound=Hashable)

Clock = Callable[[], float]
"""Seconds, monotonic."""

_LINGER_SECONDS: Final = 0.1
"""*Chosen*: how long a timer's thread may outlive the batch it waited for, so that in a stream
of batches that fill up before their time there is not a new one, nor a wake-up, for each."""


class Pool(Protocol):
    """Threads of somebody else."""

    def submit(self, job: Callable[[], object], /) -> bool:
        """Run a job in a thread soon; return whether there is one for it. Never waits."""
        ...


class Forked(Protocol):
    """What a forked child begins anew."""

    def begin_in_child(self) -> None:
        """Forget what threads of the parent were to do; they did not come along."""
        ...


class Jobs:
    """What is to run now, in the order in which it came.

    Parameters
    ----------
    pool : Pool
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._begin()
        restart_in_child(self)

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._jobs: deque[Callable[[], object]] = deque()
        self._takers = 0

    begin_in_child = _begin

    def put(self, job: Callable[[], object]) -> None:
        """Run a job as soon as there is a worker for it.

        Without a free worker those that have one of our jobs come to it next; if there are
        none of those either, a thread begins, or else it runs here.

        Parameters
        ----------
        job : callable
            Handles its own exceptions.
        """
        with self._guard:
            self._jobs.append(job)
            self._takers += 1
        if self._pool.submit(self._take):
            return
        with self._guard:
            self._takers -= 1
            if self._takers:
                return
            self._takers = 1
        try:
            threading.Thread(target=self._take, name="resonance-tasks", daemon=True).start()
        except RuntimeError:  # the system has no thread left, or the interpreter ends
            self._take()

    def _take(self) -> None:
        while True:
            with self._guard:
                if not self._jobs:
                    self._takers -= 1
                    return
                job = self._jobs.popleft()
            job()
            del job


class Line(Generic[M]):
    """A queue with a clock.

    Parameters
    ----------
    queue : Queue
        What waits; used under this line's lock only.
    send : callable
        Takes each departure, in the thread that caused it or in the timer's. Raises nothing.
    clock : callable
    name : str
        What it is called once it is closed, and in the list of threads.
    """

    def __init__(
        self, queue: Queue[M], send: Callable[[Departure[M]], object], clock: Clock, name: str
    ) -> None:
        self._queue = queue
        self._send = send
        self._clock = clock
        self._name = name
        self._is_closed = False
        self._begin()
        restart_in_child(self)

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._wakes = threading.Condition(self._guard)
        self._is_kept = False
        self._wakes_at = -inf
        """When the timer's thread wakes by itself; minus infinity while it is awake."""

    def begin_in_child(self) -> None:
        """Begin empty in a forked child: what waits is the parent's to do."""
        self._begin()
        self._queue.flush()

    def add(self, member: M, hint: TaskHint | None) -> None:
        """Let a member wait, or send it at once.

        Parameters
        ----------
        member : hashable
        hint : TaskHint, optional

        Raises
        ------
        ClientClosedError
            It was closed.
        """
        needs_thread = False
        with self._guard:
            if self._is_closed:
                raise ClientClosedError(f"the {self._name} is closed")
            now = self._clock()
            departures = self._queue.add(member, hint, now)
            if self._is_kept:
                due_at = self._queue.due_at
                if due_at < self._wakes_at or (due_at == inf and self._sleeps_long(now)):
                    self._wakes.notify()
            elif self._queue.due_at < inf:
                needs_thread = self._is_kept = True
        for each in departures:
            self._send(each)
        if needs_thread:
            self._start()

    def discard(self, member: M) -> bool:
        """Take a member out; return whether it still waited.

        Parameters
        ----------
        member : hashable
        """
        with self._guard:
            was_there = self._queue.discard(member)
            self._let_go()
        return was_there

    def flush(self) -> None:
        """Send all that waits; does not wait for it."""
        with self._guard:
            departures = self._queue.flush()
            self._let_go()
        for each in departures:
            self._send(each)

    def close(self) -> None:
        """Send all that waits, and take nothing more."""
        self._is_closed = True
        self.flush()

    def _sleeps_long(self, now: float) -> bool:
        return self._wakes_at - now > _LINGER_SECONDS

    def _let_go(self) -> None:
        """Let the timer's thread end if there is nothing left to wait for."""
        if self._is_kept and not len(self._queue):
            self._wakes.notify()

    def _start(self) -> None:
        thread = threading.Thread(target=self._keep, name=f"resonance-{self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to wait with: then nothing waits
            with self._guard:
                self._is_kept = False
            self.flush()

    def _keep(self) -> None:
        reached_at = -inf
        while True:
            with self._guard:
                # Where the clock stands still, the time that was waited for has come even so.
                now = max(self._clock(), reached_at)
                departures = self._queue.due(now)
                if not departures:
                    if not len(self._queue):
                        self._is_kept = False
                        return
                    reached_at = max(reached_at, self._sleep(now))
            for each in departures:
                self._send(each)

    def _sleep(self, now: float) -> float:
        """Wait for the next time, and return it; minus infinity when woken before."""
        due_at = self._wakes_at = self._queue.due_at
        seconds = min(max(due_at - now, 0.0), threading.TIMEOUT_MAX)
        was_woken = self._wakes.wait(seconds)
        self._wakes_at = -inf
        return -inf if was_woken else due_at


_forks = 0
_restarted: weakref.WeakSet[Forked] = weakref.WeakSet()


def restart_in_child(each: Forked) -> None:
    """Tell an object when it finds itself in a forked child, as long as it lives.

    Parameters
    ----------
    each : Forked
    """
    _restarted.add(each)


def forks() -> int:
    """Return how often this process was forked from another, since this module was loaded."""
    return _forks


def _begin_in_child() -> None:
    global _forks  # noqa: PLW0603 - a number of the process
    _forks += 1
    for each in _restarted:
        each.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
