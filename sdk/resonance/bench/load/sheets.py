# SPDX-License-Identifier: MIT
"""Where do those who send write what happened, so that nothing is lost when one of them dies?

In memory that parent and children share: a column for each moment of a call, by its number, and a
line of counters for each process. Every process writes calls and a line of its own; nobody waits
for anybody.
"""

from __future__ import annotations

import mmap
from array import array
from contextlib import suppress
from enum import IntEnum
from typing import Final

__all__ = ["Counter", "Sheet", "Signal"]

_FILL_BYTES: Final = 1 << 20
_MOMENTS: Final = 3
_WORD_BYTES: Final = 8
_MADV_POPULATE_WRITE: Final = 23
"""include/uapi/asm-generic/mman-common.h"""


class Signal(IntEnum):
    """What the parent says to all, in the first line."""

    BEGIN_NS = 0
    """On CLOCK_MONOTONIC; 0 until every child is ready."""
    STOP_NS = 1
    """Nothing is sent from then on, counted from the beginning; 0 until that is wanted."""


class Counter(IntEnum):
    """What a process says of itself, in its line."""

    IS_READY = 0
    IS_DONE = 1
    WAITED = 2
    CONNECTIONS = 3
    """The most that were open at once."""
    STALLS = 4
    CPU_NS = 5
    WAIT_NS = 6
    TIME_NS = 7
    """Over which CPU and waiting were counted: the warm-up is not in them."""
    IS_REALTIME = 8
    IS_THROTTLED = 9
    HIGHEST_CPU_PERMILLE = 10
    """In one second."""


class Sheet:
    """Moments by number of call, and counters by process.

    Parameters
    ----------
    due_ns : array of int
        From the beginning.
    kinds : array of int or None
        Of the requests; ``None`` where there is one.
    processes : int

    Attributes
    ----------
    due_ns, reached_ns, sent_ns, ended_ns : memoryview of int
        -1 where it never happened.
    outcomes : memoryview of int
        0 until the call has ended; written last.
    kinds : array of int or None
    signals : memoryview of int
        By `Signal`.
    """

    def __init__(self, due_ns: array[int], kinds: array[int] | None, processes: int) -> None:
        calls = len(due_ns)
        line_bytes = len(Counter) * _WORD_BYTES
        column_bytes = calls * _WORD_BYTES
        head_bytes = (1 + processes) * line_bytes
        filled_bytes = head_bytes + (1 + _MOMENTS) * column_bytes
        self._memory = mmap.mmap(-1, filled_bytes + calls)
        whole = memoryview(self._memory)
        for place in range(head_bytes + column_bytes, filled_bytes, _FILL_BYTES):
            end = min(filled_bytes, place + _FILL_BYTES)
            whole[place:end] = b"\xff" * (end - place)
        self._head = whole[:head_bytes].cast("q")
        columns = [
            whole[head_bytes + place * column_bytes : head_bytes + (place + 1) * column_bytes]
            for place in range(1 + _MOMENTS)
        ]
        self.due_ns, self.reached_ns, self.sent_ns, self.ended_ns = (
            column.cast("q") for column in columns
        )
        self.outcomes = whole[filled_bytes:].cast("b")
        self.due_ns[:] = memoryview(due_ns)
        self.kinds = kinds
        self.signals = self._head[: len(Counter)]

    def populate(self) -> None:
        """Have every page there before it is written to, where the kernel can (Linux 5.14)."""
        with suppress(OSError):
            self._memory.madvise(_MADV_POPULATE_WRITE)

    def counters(self, process: int) -> memoryview[int]:
        """Return the line of a process.

        Parameters
        ----------
        process : int
            From 0 on.

        Returns
        -------
        memoryview of int
            By `Counter`.
        """
        first = (1 + process) * len(Counter)
        return self._head[first : first + len(Counter)]
