# SPDX-License-Identifier: MIT
"""Who takes real-time threads back when they take too much?

A small process of its own, one step above them in priority: the one that turned them may be
dead or waiting for a CPU they hold. It looks four times a second and puts them back, once
and for all, when on any CPU they took more than seven tenths of two seconds, when the
kernel's own throttle is switched off, or when the process that turned them dies. So no CPU is
theirs for longer than a window and a look; within that the kernel's throttle holds.

It ends with its threads. A process that ends well and leaves them in force says so; then the
guard stays without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from resonance_tuning.host import Host
from resonance_tuning.surfaces.threads import Thread

__all__ = ["GUARD_NAME", "CpuLoad", "Guard", "Watched", "start", "throttle_reason"]

_LOOK_SECONDS: Final = 0.25
_WINDOW_SECONDS: Final = 2.0
_MAX_SHARE: Final = 0.7
"""All three *chosen*: a thread that is latency-critical sleeps more than it runs."""
_END_SECONDS: Final = 5.0
GUARD_NAME: Final = "resonance-guard"
_STAY: Final = b"s"
_READY: Final = b"r"


@dataclass(frozen=True, slots=True)
class Watched:
    """What a guard watches.

    Attributes
    ----------
    priority : int
        Of the threads; the guard takes the next one.
    turned : callable
        Returns the threads that are in real time now and by us.
    take_back : callable
        Puts them back.
    """

    host: Host
    priority: int
    turned: Callable[[], list[Thread]]
    take_back: Callable[[], None]


class Guard:
    """The guard, as the process that started it sees it."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def stay(self) -> None:
        """Let it go on without us."""
        with contextlib.suppress(OSError):  # it has taken the threads back already
            self._link.send(_STAY)
        self._link.close()

    def end(self) -> None:
        """End it; return when it is gone, so that it takes back nothing that comes after."""
        self._link.settimeout(_END_SECONDS)
        with self._link, contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)
            while self._link.recv(1):
                continue


def throttle_reason(host: Host) -> str:
    """Return why the kernel would not hold back a real-time thread that never sleeps."""
    path = host.path("/proc/sys/kernel/sched_rt_runtime_us")
    try:
        runtime = int(host.read(path))
    except OSError:
        return "this kernel has no throttle for real-time threads"
    if runtime < 0:
        return "the kernel's throttle is switched off (kernel.sched_rt_runtime_us is -1)"
    return ""


def start(watched: Watched) -> Guard:
    """Start a guard and wait until it watches.

    Raises
    ------
    OSError
        It could not be started.
    """
    ours, its = socket.socketpair()
    with its:
        first = os.fork()
        if first == 0:
            _become_guard(watched, its)
        os.waitpid(first, 0)
    guard = Guard(ours)
    ours.settimeout(_END_SECONDS)
    answer = b""
    with contextlib.suppress(TimeoutError):
        answer = ours.recv(1)
    if answer != _READY:
        guard.end()
        raise ChildProcessError(errno.ECHILD, "the guard of the real-time threads did not start")
    return guard


def _become_guard(watched: Watched, link: socket.socket) -> NoReturn:
    """Watch, take back, and end here, whatever happens: the way back is our starter's."""
    try:
        if os.fork():  # a second time, so that it is nobody's child to wait for
            os._exit(0)
        _leave_family(link.fileno())
        # Where its own group has no real-time budget, the throttle leaves it enough to run.
        with contextlib.suppress(OSError):
            policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, policy, os.sched_param(watched.priority + 1))
        link.send(_READY)
        _watch(watched, link)
    finally:
        with contextlib.suppress(BaseException):
            watched.take_back()
        os._exit(0)


def _leave_family(link: int) -> None:
    """Keep no terminal, no signal handler and no file of the process that started it."""
    os.setsid()
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as name:
        name.write(GUARD_NAME)  # for who looks at ps
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, link)
    os.closerange(link + 1, os.sysconf("SC_OPEN_MAX"))


def _stop(_number: int, _frame: object) -> NoReturn:
    raise SystemExit


def _watch(watched: Watched, link: socket.socket) -> None:
    """Return when the threads are to be taken back, or there are none and nobody waits."""
    load, has_owner = CpuLoad(), True
    with selectors.DefaultSelector() as selector:
        selector.register(link, selectors.EVENT_READ)
        while True:
            if selector.select(_LOOK_SECONDS if has_owner else 0):
                if link.recv(1) != _STAY:
                    return
                has_owner = False
                selector.unregister(link)
            if not has_owner:
                time.sleep(_LOOK_SECONDS)
            turned = watched.turned()
            if not (turned or has_owner) or throttle_reason(watched.host):
                return
            if load.busiest(turned, time.monotonic()) > _MAX_SHARE:
                return


class CpuLoad:
    """How much of each CPU the threads took in the last window."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._looks: deque[tuple[float, Counter[int]]] = deque()
        self._tick_seconds = 1 / os.sysconf("SC_CLK_TCK")

    def busiest(self, turned: list[Thread], now: float) -> float:
        """Return the largest share of a CPU; 0 until a window is full."""
        taken = Counter[int]()
        for thread in turned:
            task = thread.task
            taken[task.last_cpu] += task.cpu_ticks - self._before.get(task.key, task.cpu_ticks)
        self._before = {thread.task.key: thread.task.cpu_ticks for thread in turned}
        self._looks.append((now, taken))
        since, _ = self._looks[0]
        if now - since < _WINDOW_SECONDS:
            return 0.0
        self._looks.popleft()
        sums = sum((each for _, each in self._looks), Counter[int]())
        return max(sums.values(), default=0) * self._tick_seconds / (now - since)
