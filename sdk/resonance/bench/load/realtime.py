# SPDX-License-Identifier: MIT
"""Does the generator run when it wants to? The scheduler's class, and the kernel's own account.

A generator that waits for a CPU measures the scheduler and says it was the server. In a real-time
class it does not wait; where that is not permitted, at least its timers are made exact.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from typing import Final, NamedTuple

from resonance.bench.load.sheets import Counter

__all__ = ["Overseer", "become_realtime", "die_with_parent", "sharpen_timers"]

_PRIORITY: Final = 10
"""*Chosen*: above the server and its neighbours, below the kernel's own threads."""
_SECOND_NS: Final = 1_000_000_000
_THROTTLED_RATIO: Final = 0.9
_THROTTLED_NS: Final = 10_000_000
"""The kernel leaves a real-time class 95 % of each second: sched_rt_runtime_us, sched(7)."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_TIMERSLACK: Final = 29
"""include/uapi/linux/prctl.h"""


def become_realtime() -> bool:
    """Enter the first-in-first-out class; return whether that was permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
    except OSError:
        return False
    return True


def sharpen_timers() -> None:
    """Have timers of this thread fire when they are due, not up to 50 us later.

    References
    ----------
    PR_SET_TIMERSLACK(2const); real-time classes have no slack anyway.
    """
    _prctl(_PR_SET_TIMERSLACK, 1)


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


class Overseer:
    """What the kernel says of this thread, second by second, in the counters of its process.

    Parameters
    ----------
    counters : memoryview of int
        By `Counter`.
    warm_up_ns : int
        What was before that moment is not counted.

    Attributes
    ----------
    stalls : int
        To be counted up by who woke too late.
    """

    def __init__(self, counters: memoryview[int], warm_up_ns: int) -> None:
        path = f"/proc/{os.getpid()}/task/{threading.get_native_id()}/schedstat"
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without CONFIG_SCHED_INFO
            self._file = -1
        self.stalls = 0
        self._counters, self._warm_up_ns = counters, warm_up_ns
        self._first = self._last = _Look(0, 0, 0, 0)

    def begin(self) -> None:
        """Begin to count."""
        self._first = self._last = self._look(0)

    def look(self, now: int) -> None:
        """Write down what a second was like, once it is over.

        Parameters
        ----------
        now : int
            Nanoseconds from the beginning.
        """
        if now - self._last.now >= _SECOND_NS:
            self._write(now)

    def end(self, now: int) -> None:
        """Write down the whole.

        Parameters
        ----------
        now : int
            Nanoseconds from the beginning.
        """
        self._write(now)

    def _write(self, now: int) -> None:
        last, self._last = self._last, self._look(now)
        if last.now < self._warm_up_ns <= now:
            self._first = last
        if now < self._warm_up_ns:
            return
        first, this, counters = self._first, self._last, self._counters
        counters[Counter.STALLS] = this.stalls - first.stalls
        counters[Counter.CPU_NS] = this.cpu_ns - first.cpu_ns
        counters[Counter.WAIT_NS] = this.wait_ns - first.wait_ns
        counters[Counter.TIME_NS] = this.now - first.now
        if this.now - last.now < _SECOND_NS:
            return
        ratio = (this.cpu_ns - last.cpu_ns) / (this.now - last.now)
        counters[Counter.HIGHEST_CPU_PERMILLE] = max(
            counters[Counter.HIGHEST_CPU_PERMILLE], round(1_000 * ratio)
        )
        was_kept = this.stalls > last.stalls or this.wait_ns - last.wait_ns >= _THROTTLED_NS
        if counters[Counter.IS_REALTIME] and ratio >= _THROTTLED_RATIO and was_kept:
            counters[Counter.IS_THROTTLED] = 1

    def _look(self, now: int) -> _Look:
        """Ask the kernel.

        References
        ----------
        Documentation/scheduler/sched-stats.rst: the second field is the time on the run queue.
        """
        waited = int(os.pread(self._file, 128, 0).split()[1]) if self._file >= 0 else 0
        return _Look(now, time.thread_time_ns(), waited, self.stalls)


class _Look(NamedTuple):
    now: int
    cpu_ns: int
    wait_ns: int
    stalls: int
