# SPDX-License-Identifier: MIT
"""How does one wait for the next moment and for the next bytes, to the microsecond?

The timeout of Python's own `epoll.poll` is in milliseconds, rounded up. Linux 5.11 has a call with
nanoseconds, in glibc from 2.35 on; where it is missing, `select` waits for the epoll's own file,
and a second call asks what came.

References
----------
epoll_wait(2), ``epoll_pwait2``.
"""

from __future__ import annotations

import ctypes
import platform
import select
from collections.abc import Callable
from typing import Final

__all__ = ["waiter"]

_EVENTS: Final = 64
"""*Chosen*: at once; those that are left are there the next time."""
_SECOND_NS: Final = 1_000_000_000

Wait = Callable[[int], list[tuple[int, int]]]


def waiter(epoll: select.epoll) -> Wait:
    """Return what waits for so many nanoseconds at most, and returns files and what they have.

    Parameters
    ----------
    epoll : select.epoll

    Returns
    -------
    callable
    """
    return _exact(epoll) or _selecting(epoll)


def _selecting(epoll: select.epoll) -> Wait:
    files = [epoll.fileno()]

    def wait(timeout_ns: int) -> list[tuple[int, int]]:
        if timeout_ns > 0 and not select.select(files, (), (), timeout_ns / _SECOND_NS)[0]:
            return []
        return epoll.poll(0, _EVENTS)

    return wait


def _exact(epoll: select.epoll) -> Wait | None:
    # struct epoll_event is packed on x86-64 and nowhere else: include/uapi/linux/eventpoll.h.
    words, place = (3, 1) if platform.machine() == "x86_64" else (4, 2)
    room, timeout = (ctypes.c_uint32 * (words * _EVENTS))(), (ctypes.c_int64 * 2)()
    events, moment = memoryview(room).cast("B").cast("I"), memoryview(timeout).cast("B").cast("q")
    try:
        call = ctypes.CDLL(None).epoll_pwait2
    except AttributeError:
        return None
    arguments = (
        ctypes.c_int(epoll.fileno()),
        ctypes.byref(room),
        ctypes.c_int(_EVENTS),
        ctypes.byref(timeout),
        None,
    )
    if call(*arguments) < 0:  # a kernel that does not know it
        return None

    def wait(timeout_ns: int) -> list[tuple[int, int]]:
        moment[0], moment[1] = divmod(timeout_ns, _SECOND_NS) if timeout_ns > 0 else (0, 0)
        came = call(*arguments)
        if came == 1:
            return [(events[place], events[0])]
        if came <= 0:  # the time is over, or a signal came
            return []
        flat = events[: words * came].tolist()
        return list(zip(flat[place::words], flat[::words], strict=True))

    return wait
