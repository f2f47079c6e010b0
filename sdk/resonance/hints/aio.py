# SPDX-License-Identifier: MIT
"""Hints for asyncio: the names of `resonance.hints.Hints`, awaited where they wait.

One `AsyncHints` serves one event loop at a time: in another it begins a connection anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from resonance.hints._base import HintsBase, latency_of
from resonance.hints._link import FailedCallError
from resonance.hints._records import Kind, Latency, Resolution, State

if TYPE_CHECKING:
    from resonance.hints._wire import AsyncDaemon

__all__ = ["AsyncHints", "connect"]

_R = TypeVar("_R")


class AsyncHints(HintsBase):
    """What the daemon knows, for one event loop; an asynchronous context manager.

    Nothing here raises because of the daemon: what cannot be had is ``None``.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        super().__init__(socket)
        self._daemon: AsyncDaemon | None = None

    async def state(
        self,
        cgroups: Iterable[str] = (),
        *,
        include_histograms: bool = False,
        timeout: float = 0.1,  # noqa: ASYNC109 - it travels with the call
    ) -> State | None:
        """Ask the daemon for its state now; as `Hints.state`."""
        patterns = tuple(cgroups)
        return await self._ask(
            lambda daemon: daemon.state(
                patterns, include_histograms=include_histograms, timeout_seconds=timeout
            )
        )

    async def percentiles(
        self,
        cgroup: str | None = None,
        kind: Kind = "runqueue",
        *,
        timeout: float = 0.1,  # noqa: ASYNC109
    ) -> Latency | None:
        """Return how long a cgroup waited over the last seconds; as `Hints.percentiles`."""
        state = self._recent_state() or self._remember(await self.state(timeout=timeout))
        return latency_of(state, cgroup, kind)

    async def resolve(
        self,
        subject: str | int,
        *,
        timeout: float = 0.1,  # noqa: ASYNC109
    ) -> Resolution:
        """Ask which cgroup serves an endpoint or holds a process; as `Hints.resolve`."""
        resolution = await self._ask(lambda daemon: daemon.resolve(subject, timeout))
        return resolution or Resolution(is_known=False, reason=self._link.reason)

    async def subscribe(
        self, cgroups: Iterable[str] = (), *, interval_seconds: float = 0.1
    ) -> AsyncIterator[State | None]:
        """Yield the state now, each change, and once a second at least; never ends by itself.

        ``None`` means that the daemon has gone. While the loop's body runs, newer states
        take the place of older ones.

        Parameters
        ----------
        cgroups : iterable of str
            Shell patterns on the path; none for all cgroups.
        interval_seconds : float
            Shortest time between two states.
        """
        patterns, is_known = tuple(cgroups), True
        while True:
            daemon = None
            try:
                daemon = _reach(self.socket)
                async for state in daemon.watch(patterns, interval_seconds):
                    self._link.succeeded()
                    is_known = True
                    if state.is_fresh:
                        yield state
            except FailedCallError as error:
                delay_seconds = self._link.failed(error)
                if is_known:
                    yield None
                is_known = False
                await asyncio.sleep(delay_seconds)
            finally:
                if daemon is not None:
                    await daemon.close()

    async def close(self) -> None:
        """Give everything back; afterwards all is unknown."""
        self._page.close()
        self._link.close()
        daemon, self._daemon = self._daemon, None
        if daemon is not None and daemon.is_here:
            await daemon.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, call: Callable[[AsyncDaemon], Awaitable[_R]]) -> _R | None:
        if not self._link.is_open:
            return None
        try:
            if self._daemon is None or not self._daemon.is_here:
                self._daemon = _reach(self.socket)
            answer = await call(self._daemon)
        except FailedCallError as error:
            self._link.failed(error)
            self._daemon = None
            return None
        self._link.succeeded()
        return answer


def connect(socket: str | os.PathLike[str] | None = None) -> AsyncHints:
    """Return hints for asyncio; the daemon need not be there.

    Parameters
    ----------
    socket : path, optional
        As for `resonance.hints.connect`.
    """
    return AsyncHints(socket)


def _reach(path: Path) -> AsyncDaemon:
    from resonance.hints._wire import AsyncDaemon

    return AsyncDaemon(path)
