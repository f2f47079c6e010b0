# SPDX-License-Identifier: MIT
"""Threads that run what its caller may have to leave.

They come when they are needed and go when they are not. They do not hold up the end of the
interpreter: a function that never returns takes its thread with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from resonance.errors import ClientClosedError, OverloadedError, ResonanceError
from resonance.policies import Reason

__all__ = ["MOST_WORKERS", "Workers"]

MOST_WORKERS: Final = 256
"""*Chosen*: each is a stack; who needs more at once wants asyncio."""
_IDLE_SECONDS: Final = 10.0


class Workers:
    """A pool that grows up to a bound, and shrinks to nothing.

    Parameters
    ----------
    most : int
        Threads at once.
    """

    def __init__(self, most: int = MOST_WORKERS) -> None:
        self._most = most
        self._is_closed = False
        self.begin_in_child()

    def begin_in_child(self) -> None:
        """Begin without threads in a forked child: the parent's did not come along."""
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._idle = 0
        self._threads = 0

    def __len__(self) -> int:
        return self._threads

    def submit(self, job: Callable[[], object]) -> bool:
        """Run a job in a thread soon; return whether there is one for it.

        Parameters
        ----------
        job : callable
            Handles its own exceptions.
        """
        with self._guard:
            if self._is_closed:
                return False
            if self._idle:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                thread = threading.Thread(target=self._work, name="resonance-worker", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system has no thread left, or the interpreter ends
                    self._threads -= 1
                    return False
                except KeyboardInterrupt:  # it has begun even so, and the job must have an end
                    self._jobs.put(job)
                    raise
            else:
                return False
            self._jobs.put(job)
        return True

    def refusal(self, service: str) -> ResonanceError:
        """Return why there is no thread for a job.

        Parameters
        ----------
        service : str
            Whose it was.

        Returns
        -------
        ClientClosedError or OverloadedError
            To be raised.
        """
        if self._is_closed:
            return ClientClosedError("the client is closed")
        return OverloadedError(service, Reason.NO_WORKER)

    def close(self) -> None:
        """Take no more jobs; threads end when theirs are done."""
        with self._guard:
            self._is_closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._guard:
                    if not self._idle:
                        continue  # a job is on its way to this thread
                    self._idle -= 1
                    self._threads -= 1
                return
            if job is None:
                return
            try:
                job()
            except BaseException as error:  # noqa: BLE001 -- told like a thread's; this one goes on
                told = (type(error), error, error.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(told))
                del told
            del job
            with self._guard:
                self._idle += 1
