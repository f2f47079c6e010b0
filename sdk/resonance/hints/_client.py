# SPDX-License-Identifier: MIT
"""Hints for programs with threads.

`Hints.pressure` reads memory and never waits. The other methods ask the daemon over its
socket, wait at most `timeout` seconds, and not at all while the daemon is known to be away.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from resonance.hints._base import HintsBase, latency_of
from resonance.hints._link import FailedCallError, Link
from resonance.hints._records import Kind, Latency, Resolution, State

if TYPE_CHECKING:
    from resonance.hints._wire import Daemon

__all__ = ["Hints", "Subscription", "connect"]

_R = TypeVar("_R")


class Hints(HintsBase):
    """What the daemon knows, for any number of threads; a context manager.

    Nothing here raises because of the daemon: what cannot be had is ``None``.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        super().__init__(socket)
        self._daemon: Daemon | None = None
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        _instances.add(self)

    def state(
        self,
        cgroups: Iterable[str] = (),
        *,
        include_histograms: bool = False,
        timeout: float = 0.1,
    ) -> State | None:
        """Ask the daemon for its state now.

        Parameters
        ----------
        cgroups : iterable of str
            Shell patterns on the path; none for all cgroups.
        include_histograms : bool
            Also the histograms since each slot's owner took it.
        timeout : float
            Seconds to wait at most.
        """
        patterns = tuple(cgroups)
        return self._ask(
            lambda daemon: daemon.state(
                patterns, include_histograms=include_histograms, timeout_seconds=timeout
            )
        )

    def percentiles(
        self, cgroup: str | None = None, kind: Kind = "runqueue", *, timeout: float = 0.1
    ) -> Latency | None:
        """Return how long tasks or sockets of a cgroup waited over the last seconds.

        Answers come from one state for 0.1 s, so this may be asked at each request.

        Parameters
        ----------
        cgroup : str, optional
            Path below the root of the hierarchy, or ``other``; by default the cgroup of
            this process.
        kind : {"runqueue", "srtt", "connect", "receive"}
        timeout : float
            Seconds to wait at most.
        """
        state = self._recent_state() or self._remember(self.state(timeout=timeout))
        return latency_of(state, cgroup, kind)

    def resolve(self, subject: str | int, *, timeout: float = 0.1) -> Resolution:
        """Ask which cgroup serves an endpoint or holds a process.

        Parameters
        ----------
        subject : str or int
            ``"127.0.0.1:8080"``, ``"[::1]:8080"``, ``":8080"``, or a process id as the
            daemon sees it.
        timeout : float
            Seconds to wait at most.
        """
        resolution = self._ask(lambda daemon: daemon.resolve(subject, timeout))
        return resolution or Resolution(is_known=False, reason=self._link.reason)

    def subscribe(
        self,
        callback: Callable[[State | None], object],
        cgroups: Iterable[str] = (),
        *,
        interval_seconds: float = 0.1,
    ) -> Subscription:
        """Call back with the state now, with each change, and once a second at least.

        Parameters
        ----------
        callback : callable
            Called in a thread of its own, with ``None`` when the daemon has gone. While it
            runs, newer states take the place of older ones. An exception ends the
            subscription and goes to `threading.excepthook`.
        cgroups : iterable of str
            Shell patterns on the path; none for all cgroups.
        interval_seconds : float
            Shortest time between two calls.
        """
        subscription = Subscription(
            self.socket, self._link, callback, tuple(cgroups), interval_seconds
        )
        self._subscriptions.add(subscription)
        return subscription

    def close(self) -> None:
        """End the subscriptions and give everything back; afterwards all is unknown."""
        self._page.close()
        self._link.close()
        for subscription in tuple(self._subscriptions):
            subscription.close()
        self._daemon = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, call: Callable[[Daemon], _R]) -> _R | None:
        """Return the answer to a call, or ``None``.

        A way that failed is let go, not closed: another thread may be in a call on it, and
        gRPC closes it when the last one is done.
        """
        if not self._link.is_open:
            return None
        try:
            if self._daemon is None:
                self._daemon = _reach(self.socket)
            answer = call(self._daemon)
        except FailedCallError as error:
            self._link.failed(error)
            self._daemon = None
            return None
        self._link.succeeded()
        return answer

    def begin_in_child(self) -> None:
        """Begin again in a forked child, which must not speak on the parent's connection."""
        self._daemon = None
        self._subscriptions.clear()


class Subscription:
    """A thread that follows the daemon's state, as `Hints.subscribe` began it."""

    def __init__(
        self,
        path: Path,
        link: Link,
        callback: Callable[[State | None], object],
        cgroups: tuple[str, ...],
        interval_seconds: float,
    ) -> None:
        self._path = path
        self._link = link
        self._callback = callback
        self._cgroups = cgroups
        self._interval_seconds = interval_seconds
        self._closed = threading.Event()
        self._daemon: Daemon | None = None
        self._thread = threading.Thread(target=self._run, name="resonance-hints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call back no more; a call that runs may finish."""
        self._closed.set()
        if self._daemon is not None:
            self._daemon.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        is_known = True
        while not self._closed.is_set():
            try:
                self._daemon = _reach(self._path)
                for state in self._daemon.watch(self._cgroups, self._interval_seconds):
                    self._link.succeeded()
                    is_known = True
                    self._call_back(state)
            except FailedCallError as error:
                delay_seconds = self._link.failed(error)
                if is_known:
                    self._call_back(None)
                is_known = False
                self._closed.wait(delay_seconds)
            finally:
                if self._daemon is not None:
                    self._daemon.close()

    def _call_back(self, state: State | None) -> None:
        """Hand a state out, unless it waited too long behind a slow callback."""
        if not self._closed.is_set() and (state is None or state.is_fresh):
            self._callback(state)


def connect(socket: str | os.PathLike[str] | None = None) -> Hints:
    """Return hints for threads; the daemon need not be there.

    Parameters
    ----------
    socket : path, optional
        The daemon's socket; by default ``$RESONANCE_HINTS_SOCKET``, else
        ``/run/resonance/hints.sock``. The shared page is looked for beside it.

    Examples
    --------
    >>> with connect("/nowhere/hints.sock") as hints:
    ...     hints.pressure() is None
    True
    """
    return Hints(socket)


def _reach(path: Path) -> Daemon:
    from resonance.hints._wire import Daemon

    return Daemon(path)


_instances: weakref.WeakSet[Hints] = weakref.WeakSet()


def _begin_in_child() -> None:
    for hints in _instances:
        hints.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
