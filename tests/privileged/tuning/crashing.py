# SPDX-License-Identifier: MIT
"""Kill a process of ours at the n-th thing it does to a file, or halfway through a line.

A child is forked that runs real code on real files. Every system call that changes one is a
point: the child kills itself before it, and where it is a line of the journal also once half of
it is written. After a call is before the next one: between them nothing outside is changed.
"""

from __future__ import annotations

import os
import re
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

CALLS = ("write", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "mkdir")
_LINE = re.compile(rb"[0-9a-f]{8} \{")
_FAILED = 70


@dataclass(frozen=True)
class Point:
    """Where to die: before which call, or halfway through it."""

    number: int
    is_torn: bool

    def __str__(self) -> str:
        return f"{'halfway through' if self.is_torn else 'before'} call {self.number}"


def deaths(work: Callable[[], object]) -> Iterator[Point]:
    """Give each point at which the work was killed, right after it was.

    The caller brings the world back to where the work can be done again before it asks for the
    next; the last run, for which nothing is given, came to its end.
    """
    number = 1
    while call := _killed_at(Point(number, is_torn=False), work):
        yield Point(number, is_torn=False)
        if call == b"line":
            assert _killed_at(Point(number, is_torn=True), work) == call
            yield Point(number, is_torn=True)
        number += 1


def _killed_at(point: Point, work: Callable[[], object]) -> bytes:
    """Run work in a child that kills itself at a point; return what it was about to do there.

    Nothing is returned when it came to its end before that.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _arm(point, writing)
            work()
        except BaseException:  # noqa: BLE001 a forked test must not go on as pytest
            traceback.print_exc()
            os._exit(_FAILED)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        call = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return call
    assert os.waitstatus_to_exitcode(status) == 0, f"the child failed on its way to {point}"
    return b""


def _arm(point: Point, writing: int) -> None:
    calls, write = [0], os.write

    def die(arguments: tuple[Any, ...]) -> None:
        data = arguments[-1] if arguments else None
        is_line = isinstance(data, bytes) and _LINE.match(data)
        write(writing, b"line" if is_line else b"call")
        if point.is_torn:
            write(arguments[0], data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == point.number:
                die(arguments)
            return real(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
