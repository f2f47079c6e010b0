# SPDX-License-Identifier: MIT
"""How do many small pieces of work become few large ones, in an event loop?

::

    async with client.batcher(write_rows, BatchPolicy(max_size=100)) as write:
        task = write.submit(row)  # goes on
        await write(row)  # waits until it is written
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Generic, Self, TypeVar

from resonance.client._aio_line import AsyncLine, Runs
from resonance.client._aio_tasks import AsyncTask
from resonance.client._batcher import hand_out, one_for_each
from resonance.client._line import Clock
from resonance.client._task_base import within_deadline
from resonance.policies._batching import Departure, Gathering, NextValley, OwnPressure
from resonance.policies._records import BatchPolicy, TaskHint

__all__ = ["AsyncBatcher"]

Item = TypeVar("Item")
R = TypeVar("R")


class AsyncBatcher(Generic[Item, R]):
    """Gathers items, and calls a function with many of them; a context manager.

    Each batch runs in an asyncio task, and several may run at the same time. The function is
    called in the context in which the batcher was made: a batch has many callers.

    Parameters
    ----------
    fn : callable
        Takes a list of items, and returns an awaitable of one result for each, in the same
        order; a result that is an exception is raised to the one whose item it was.
    policy : BatchPolicy
        When a batch goes.
    clock : callable
        Seconds, monotonic.
    own_pressure, next_valley : callable
        How busy the node is, and when it is least; see `resonance.policies`.
    """

    def __init__(
        self,
        fn: Callable[[list[Item]], Awaitable[Sequence[R | Exception]]],
        policy: BatchPolicy,
        *,
        clock: Clock,
        own_pressure: OwnPressure,
        next_valley: NextValley,
    ) -> None:
        self._fn = fn
        self._clock = clock
        self._context = copy_context()
        self._batch = Gathering[AsyncTask[R]](policy, own_pressure, next_valley)
        self._line = AsyncLine(self._batch, self._send, clock, "batcher")
        self._runs = Runs()

    def submit(self, item: Item, *, hint: TaskHint | None = None) -> AsyncTask[R]:
        """Put an item into the open batch.

        Parameters
        ----------
        item : object
        hint : TaskHint, optional
            Bounds how long it may wait, by ``max_batch_latency`` and by its soft deadline; by
            default only the policy does, and the deadline of the present context. What must
            run now goes alone.

        Returns
        -------
        AsyncTask
            Ends with the result of this item.

        Raises
        ------
        ClientClosedError
            The batcher is closed.
        RuntimeError
            No event loop runs here, or others wait in another that still does.
        """
        task = AsyncTask[R](item, hint, self._clock(), leave=self._line.discard)
        self._line.add(task, within_deadline(hint))
        return task

    async def __call__(self, item: Item, *, hint: TaskHint | None = None) -> R:
        """Put an item into the open batch, and wait for its result.

        Parameters
        ----------
        item, hint
            As for `submit`.

        Raises
        ------
        Exception
            What the function raised, or returned for this item.
        """
        return await self.submit(item, hint=hint)

    def flush(self) -> None:
        """Send the open batch; does not wait for it."""
        self._line.flush()

    async def close(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - ends no task
        """Send the open batch, take nothing more, and wait until all is done.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most; what runs then goes on.

        Returns
        -------
        bool
            All is done.
        """
        self._line.close()
        return await self._runs.wait(timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _send(self, departure: Departure[AsyncTask[R]]) -> None:
        members = departure.members
        for task in members:
            task.reasons = (departure.reason,)
        self._runs.start(self._run(members), members, self._context.copy())

    async def _run(self, members: Sequence[AsyncTask[R]]) -> None:
        tasks = [task for task in members if task.begin()]
        if not tasks:
            return
        began_at = self._clock()
        try:
            returned = await self._fn([task.work for task in tasks])
            results = one_for_each(self._fn, returned, len(tasks))
        except (asyncio.CancelledError, GeneratorExit):  # the loop ends, and so do the members
            raise
        except BaseException as error:
            for task in tasks:
                task.fail(error, self._clock())
                del task  # which the traceback would keep alive, and be kept alive by
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            hand_out(tasks, results, self._clock())
        self._batch.ran(self._clock() - began_at)
        del members, tasks  # as above
