# SPDX-License-Identifier: MIT
"""Where tasks wait in an event loop: for their time, and then for their end.

An `AsyncLine` puts a clock to a pure queue: one timer, in an asyncio task that lives only while
something waits. `Runs` are the asyncio tasks that run what has left. When the loop ends, it
cancels both, and so nothing that was submitted in it stays without an end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextvars import Context
from math import inf
from typing import Generic, Protocol, TypeVar

from resonance.client._line import Clock, restart_in_child
from resonance.errors import ClientClosedError
from resonance.policies._batching import Departure, Queue
from resonance.policies._records import TaskHint

__all__ = ["AsyncLine", "Member", "Runs"]


class Member(Hashable, Protocol):
    """What waits and runs: as much of a task as is needed here."""

    def abandon(self) -> None:
        """End it as cancelled, unless it has ended."""
        ...


M = TypeVar("M", bound=Member)


class Runs:
    """The asyncio tasks that run what was submitted."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[None], Sequence[Member]] = {}
        self._parents: list[object] = []
        restart_in_child(self)

    def begin_in_child(self) -> None:
        """Begin empty in a forked child: what runs is the parent's to end."""
        self._parents.append(self._running)  # freed here, it would be ended here
        self._running = {}

    def start(
        self,
        run: Coroutine[None, None, None],
        members: Sequence[Member],
        context: Context | None = None,
    ) -> None:
        """Run a coroutine as an asyncio task; members that have no end by then are cancelled.

        Parameters
        ----------
        run : coroutine
        members : sequence of Member
        context : contextvars.Context, optional
            By default a copy of the present one.
        """
        task = asyncio.get_running_loop().create_task(run, context=context)
        self._running[task] = members
        task.add_done_callback(self._ended)

    def hand_on(self) -> None:
        """Leave the members of the run that asks alone when it ends: another has them."""
        current = asyncio.current_task()
        if current in self._running:
            self._running[current] = ()

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - ends no task
        """Wait until all have ended; return whether they have.

        The task that asks is not waited for.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; what runs then goes on.
        """
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        running = [
            task for task in self._running if task is not current and task.get_loop() is loop
        ]
        if not running:
            return True
        _, still = await asyncio.wait(running, timeout=timeout)
        return not still

    def _ended(self, task: asyncio.Task[None]) -> None:
        for member in self._running.pop(task, ()):
            member.abandon()


class AsyncLine(Generic[M]):
    """A queue with a clock, in the event loop that runs when it is first used.

    Parameters
    ----------
    queue : Queue
        What waits.
    send : callable
        Takes each departure. Raises nothing.
    clock : callable
    name : str
        What it is called once it is closed.
    """

    def __init__(
        self, queue: Queue[M], send: Callable[[Departure[M]], object], clock: Clock, name: str
    ) -> None:
        self._queue = queue
        self._send = send
        self._clock = clock
        self._name = name
        self._is_closed = False
        self._parents: list[object] = []
        self._begin()
        restart_in_child(self)

    def _begin(self) -> None:
        self._keeper: asyncio.Task[None] | None = None
        self._woken: asyncio.Future[bool] | None = None
        self._wakes_at = inf

    def begin_in_child(self) -> None:
        """Begin empty in a forked child: what waits is the parent's to do."""
        self._parents += [self._keeper, self._woken]  # freed here, it would be ended here
        self._begin()
        self._queue.flush()

    def add(self, member: M, hint: TaskHint | None) -> None:
        """Let a member wait, or send it at once.

        Parameters
        ----------
        member : Member
        hint : TaskHint, optional

        Raises
        ------
        ClientClosedError
            It was closed.
        RuntimeError
            Others wait in another event loop that still runs.
        """
        if self._is_closed:
            raise ClientClosedError(f"the {self._name} is closed")
        self._be_in(asyncio.get_running_loop())
        for each in self._queue.add(member, hint, self._clock()):
            self._send(each)
        if self._keeper is not None:
            self._let_know()
        elif len(self._queue):
            keeper = asyncio.get_running_loop().create_task(self._keep(), context=Context())
            keeper.add_done_callback(self._kept)
            self._keeper = keeper

    def discard(self, member: M) -> bool:
        """Take a member out; return whether it still waited.

        Parameters
        ----------
        member : Member
        """
        was_there = self._queue.discard(member)
        self._let_know()
        return was_there

    def flush(self) -> None:
        """Send all that waits; does not wait for it."""
        if len(self._queue):
            self._be_in(asyncio.get_running_loop())
        for each in self._queue.flush():
            self._send(each)
        self._let_know()

    def close(self) -> None:
        """Send all that waits, and take nothing more."""
        self._is_closed = True
        self.flush()

    def _be_in(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._keeper is None or self._keeper.get_loop() is loop:
            return
        if not self._keeper.get_loop().is_closed():
            raise RuntimeError(f"the {self._name} is in use in another event loop")
        self._kept(self._keeper)  # closed without a word to its tasks

    def _let_know(self) -> None:
        """Wake the timer if it is to wake earlier, or to end."""
        woken, due_at = self._woken, self._queue.due_at
        if woken is not None and (due_at < self._wakes_at or due_at == inf):
            _end(woken, False)

    async def _keep(self) -> None:
        reached_at = -inf
        while True:
            # Where the clock stands still, the time that was waited for has come even so.
            now = max(self._clock(), reached_at)
            for each in self._queue.due(now):
                self._send(each)
            if not len(self._queue):
                self._keeper = None
                return
            reached_at = max(reached_at, await self._sleep(now))

    async def _sleep(self, now: float) -> float:
        """Wait for the next time, and return it; minus infinity when woken before."""
        loop = asyncio.get_running_loop()
        woken = self._woken = loop.create_future()
        due_at = self._wakes_at = self._queue.due_at
        timer = loop.call_later(max(due_at - now, 0.0), _end, woken, True)
        try:
            is_time = await woken
        finally:
            self._woken = None
            timer.cancel()
        return due_at if is_time else -inf

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        """Cancel all that waits, if the timer did not end by itself, but with its loop."""
        if self._keeper is not keeper:
            return
        self._begin()
        for departure in self._queue.flush():
            for member in departure.members:
                with contextlib.suppress(RuntimeError):  # nobody can be told: the loop is closed
                    member.abandon()


def _end(woken: asyncio.Future[bool], is_time: bool) -> None:
    if not woken.done():
        woken.set_result(is_time)
