# SPDX-License-Identifier: MIT
"""How long has the server itself waited for a CPU? The kernel's count, read cheaply.

The second field of ``/proc/thread-self/schedstat``: nanoseconds that this thread was runnable
and did not run. ``/proc/self/schedstat`` looks like the sum over a process but is its first
thread's alone, so it is not used.

References
----------
``Documentation/scheduler/sched-stats.rst`` of Linux 6.12, and ``proc_pid_schedstat`` in
``fs/proc/base.c``, which leaves out the other threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from pathlib import Path
from typing import Final

__all__ = ["PoolWait", "ThreadWait"]

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
_LONGEST: Final = 64
"""Bytes: three numbers of at most 20 digits fit."""


class ThreadWait:
    """The time for which one thread has waited for a CPU: the thread that first asks.

    Parameters
    ----------
    path : pathlib.Path
        Where the kernel tells a thread about itself.

    Attributes
    ----------
    is_known : bool
        The kernel tells. Decided at the first read.
    """

    def __init__(self, path: Path = _SCHEDSTAT) -> None:
        self.is_known = False
        self._path = path
        self._descriptor: int | None = None
        self._is_tried = False
        self._seconds = 0.0
        self._base_seconds = 0.0
        _meters.add(self)

    def seconds(self) -> float:
        """Return the seconds waited; never less than before, and 0 where it is not known.

        Costs about a microsecond.
        """
        if not self._is_tried:
            self._open()
        if self._descriptor is None:
            return self._seconds
        try:
            waited_ns = _second_field(os.pread(self._descriptor, _LONGEST, 0))
        except OSError:  # that thread has ended; this one serves now
            self._forget()
            self._open()
            return self._seconds
        self._seconds = self._base_seconds + waited_ns / 1e9
        return self._seconds

    def close(self) -> None:
        """Give the descriptor back; what was waited until now stays."""
        self._forget()
        self._is_tried = True

    def begin_in_child(self) -> None:
        """Begin again in a forked child: its own thread, not its parent's, is to be measured."""
        self._forget()

    def _open(self) -> None:
        self._is_tried = True
        with contextlib.suppress(OSError):  # no such kernel: not known
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._begin_reading(self._descriptor)

    def _begin_reading(self, descriptor: int) -> None:
        """Go on from what was waited until now, whatever the new thread's count says."""
        text = os.pread(descriptor, _LONGEST, 0)
        self.is_known = _is_counted(text)
        if self.is_known:
            self._base_seconds = self._seconds - _second_field(text) / 1e9
        else:
            self._forget()
            self._is_tried = True

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._is_tried = False
        self.is_known = False

    def __del__(self) -> None:
        self._forget()


class PoolWait:
    """The time for which a pool of threads has waited for a CPU, on average over its places.

    While requests wait, every place in service is taken, so the waits of all that are served,
    divided by the number of places, are how much longer those outside wait for that reason.

    Parameters
    ----------
    path : pathlib.Path
        Where the kernel tells a thread about itself.
    """

    def __init__(self, path: Path = _SCHEDSTAT) -> None:
        self._path = path
        self._threads = threading.local()
        self._seconds = 0.0

    @property
    def is_known(self) -> bool:
        """The kernel tells, in the thread that asks."""
        self.begin()
        return self._meter().is_known

    def begin(self) -> float:
        """Return what `end` is to be told by the same thread."""
        return self._meter().seconds()

    def end(self, begun: float, places: int) -> None:
        """Add what this thread has waited since `begin`; the caller serialises.

        Parameters
        ----------
        begun : float
            What `begin` returned.
        places : int
            Requests that may be in service at once.
        """
        self._seconds += (self._meter().seconds() - begun) / places

    def seconds(self) -> float:
        """Return the seconds waited; never less than before, and 0 where it is not known."""
        return self._seconds

    def _meter(self) -> ThreadWait:
        meter: ThreadWait | None = getattr(self._threads, "meter", None)
        if meter is None:
            meter = self._threads.meter = ThreadWait(self._path)
        return meter


def _second_field(text: bytes) -> int:
    return int(text.split()[1])


def _is_counted(text: bytes) -> bool:
    """Tell whether the kernel counts: a thread that runs was on a CPU at least once."""
    fields = text.split()
    return len(fields) == 3 and fields[2] != b"0"


_meters: weakref.WeakSet[ThreadWait] = weakref.WeakSet()


def _begin_in_child() -> None:
    for meter in _meters:
        meter.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
