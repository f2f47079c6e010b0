# SPDX-License-Identifier: MIT
"""What does the kernel of this host say to a client, and how far may the client go?

Both come from the daemon's shared page: the operator's ceiling for the mode, the pressure of
this process, and that of replicas which are on this host. Whose cgroup a replica is must be
asked over the daemon's socket; a thread does that, so that no call ever waits for it. Without
a daemon all of it is unknown, and costs next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Hashable, Iterable
from math import inf
from typing import TYPE_CHECKING, Final

from resonance.client._endpoints import local_endpoints, shares_network
from resonance.policies._records import Mode
from resonance.policies._replica import Replica

if TYPE_CHECKING:
    from resonance.hints import Hints

__all__ = ["Kernel"]

_LOOK_SECONDS: Final = 0.25
"""*Chosen*: a quarter of the second within which every client obeys."""
_VALID_SECONDS: Final = 0.050
"""*Chosen*: half of what a burst of batch work lasts; an older pressure speaks of another one."""
_READ_SECONDS: Final = 0.005
"""The page is written no more often by default."""
_ASK_SECONDS: Final = 5.0
_ELSEWHERE_SECONDS: Final = 60.0
"""*Chosen*: addresses come and go with interfaces, services with their restarts."""
_UNKNOWN_SECONDS: Final = 1.0
"""*Chosen*: a replica, or its slot, may be a moment younger than the question."""
_TIMEOUT_SECONDS: Final = 0.5
_MOST_PLACES: Final = 1_024
_MOST_ASKED: Final = 64
_FORGET_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 10.0
"""After that long without a question the thread ends; the next one begins another."""


class _Gauge:
    """The pressure of one cgroup, read from the page at most every `_READ_SECONDS`."""

    __slots__ = ("_pressure", "_read_at", "cgroup", "until")

    def __init__(self, cgroup: int | None) -> None:
        self.cgroup = cgroup
        self.until = -inf
        self._pressure: float | None = None
        self._read_at = -inf

    def read(self, hints: Hints, now: float) -> float | None:
        """Return it, unless it is older than `_VALID_SECONDS`; `until` says when it will be."""
        if now >= self._read_at:
            self._read_at = now + _READ_SECONDS
            found = hints.reading(self.cgroup)
            if found is not None and found.age_seconds <= _VALID_SECONDS:
                self._pressure = found.pressure
                self.until = now + _VALID_SECONDS - found.age_seconds
            else:
                self._pressure, self.until = None, -inf
        return self._pressure if now <= self.until else None


class _Place:
    """Where a target is: by its gauge, if it is on this host."""

    __slots__ = ("ask_at", "gauge", "seen_at", "target")

    def __init__(self, target: Hashable, now: float) -> None:
        self.target = target
        self.gauge: _Gauge | None = None
        self.ask_at = -inf
        self.seen_at = now


class Kernel:
    """What one client knows from the host it runs on; for any number of threads.

    Nothing here raises or waits because of the daemon, and a forked child begins anew.

    Parameters
    ----------
    hints : Hints, optional
        The way to the daemon, which is not closed here; by default one of its own to the
        daemon of this host.
    """

    def __init__(self, hints: Hints | None = None) -> None:
        self._hints = hints if hints is not None else _connect()
        self._is_ours = hints is None
        self._is_closed = False
        self._ceiling: Mode = "active"
        self._look_at = -inf
        self._own = _Gauge(None)
        self._places: dict[Hashable, _Place] = {}
        self._clear_at = -inf
        self._network: tuple[int, bool] | None = None
        self._begin()
        _instances.add(self)

    def _begin(self) -> None:
        self._turn = threading.Condition()
        self._asked: deque[_Place] = deque()
        self._thread: threading.Thread | None = None

    def mode_ceiling(self, now: float) -> Mode:
        """Return how far the operator of this host lets clients go.

        Looks at most every quarter of a second and is one comparison otherwise, so that it may
        be asked at each call. What was said last holds while there is no daemon.

        Parameters
        ----------
        now : float
            On the client's clock in seconds.

        Returns
        -------
        {"observe", "advise", "active"}
            ``active`` until something was said.
        """
        if now < self._look_at:
            return self._ceiling
        self._look_at = now + _LOOK_SECONDS
        if not self._is_closed:
            self._ceiling = self._hints.policy_ceiling() or self._ceiling
        return self._ceiling

    def own_pressure(self, now: float) -> float | None:
        """Return the share of time that tasks of this process's cgroup wait for a CPU.

        Parameters
        ----------
        now : float
            On the client's clock in seconds.

        Returns
        -------
        float or None
            0 to 1; ``None``: not known, or measured more than 50 ms ago.
        """
        return None if self._is_closed else self._own.read(self._hints, now)

    def refresh(self, replicas: Iterable[Replica], now: float) -> None:
        """Set the pressure of those replicas that are on this host.

        Others keep what their load reports said. A new target is known after the first answer
        of the daemon, some milliseconds later. The caller holds the lock of the service.

        Parameters
        ----------
        replicas : iterable of Replica
        now : float
            On the client's clock in seconds.
        """
        if self._is_closed:
            return
        for replica in replicas:
            place = self._places.get(replica.target) or self._take_in(replica.target, now)
            if place is None:
                continue
            place.seen_at = now
            if now >= place.ask_at:
                self._ask(place, now)
            gauge = place.gauge
            if gauge is not None:
                replica.pressure = gauge.read(self._hints, now)
                replica.pressure_until = gauge.until

    def close(self) -> None:
        """Ask no more; the ceiling stays what it was."""
        with self._turn:
            self._is_closed = True
            self._asked.clear()
            self._turn.notify_all()
        if self._is_ours:
            self._hints.close()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child, where the thread does not run."""
        self._begin()

    # ---- where targets are ---------------------------------------------------------------------

    def _take_in(self, target: Hashable, now: float) -> _Place | None:
        """Remember a target, unless too many are in use."""
        with self._turn:
            if len(self._places) >= _MOST_PLACES and now >= self._clear_at:
                self._clear_at = now + _ASK_SECONDS
                for place in tuple(self._places.values()):
                    if place.seen_at < now - _FORGET_SECONDS:
                        del self._places[place.target]
            if len(self._places) >= _MOST_PLACES:
                return None
            return self._places.setdefault(target, _Place(target, now))

    def _ask(self, place: _Place, now: float) -> None:
        """Let the thread find out; when it has too much to do, later."""
        place.ask_at = now + _ASK_SECONDS
        with self._turn:
            if self._is_closed or len(self._asked) >= _MOST_ASKED:
                return
            self._asked.append(place)
            if self._thread is not None and self._thread.is_alive():
                self._turn.notify()
                return
            thread = threading.Thread(target=self._answer, name="resonance-kernel", daemon=True)
            # No thread may be had, or none any more while the interpreter ends: the places stay
            # unknown, and the next question tries again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _answer(self) -> None:
        """Answer what is asked, in a thread, until nothing is for a while."""
        while (place := self._next()) is not None:
            self._locate(place)

    def _next(self) -> _Place | None:
        with self._turn:
            self._turn.wait_for(lambda: self._asked or self._is_closed, _IDLE_SECONDS)
            if self._asked:
                return self._asked.popleft()
            self._thread = None
            return None

    def _locate(self, place: _Place) -> None:
        endpoints = local_endpoints(place.target)
        if not endpoints:
            place.gauge = None
            place.ask_at += _ELSEWHERE_SECONDS - _ASK_SECONDS
            return
        found = self._cgroup(endpoints)
        if found is None:
            place.gauge = None
            place.ask_at += _UNKNOWN_SECONDS - _ASK_SECONDS
        elif place.gauge is None or place.gauge.cgroup != found:
            place.gauge = _Gauge(found)

    def _cgroup(self, endpoints: Iterable[str]) -> int | None:
        """Return the one cgroup that serves these endpoints, if it is measured by itself."""
        if not self._is_near():
            return None
        answers = [self._hints.resolve(each, timeout=_TIMEOUT_SECONDS) for each in endpoints]
        found = {answer.cgroup_id for answer in answers if answer.is_known and answer.slot}
        return found.pop() if len(found) == 1 else None

    def _is_near(self) -> bool:
        """Tell whether the daemon can be asked, and means the same by an address as we do.

        Nothing of gRPC is loaded before that is so.
        """
        try:
            inode = os.stat(self._hints.socket).st_ino
        except OSError:
            return False
        if self._network is None or self._network[0] != inode:
            self._network = inode, shares_network(self._hints.socket)
        return self._network[1]


def _connect() -> Hints:
    from resonance import hints  # not before a client is made

    return hints.connect()


_instances: weakref.WeakSet[Kernel] = weakref.WeakSet()


def _begin_in_child() -> None:
    for kernel in _instances:
        kernel.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
