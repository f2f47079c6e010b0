# SPDX-License-Identifier: MIT
"""Which files of some directories are written? The kernel's word, by inotify(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Self

IN_MODIFY, IN_CLOSE_WRITE = 0x2, 0x8
HEADER = struct.Struct("=iIII")


class Writes:
    """What is written, or only opened to be, while this is entered."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories = list(directories)

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for directory in self._directories:
            mask = IN_MODIFY | IN_CLOSE_WRITE
            watch = libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask)
            assert watch > 0, os.strerror(ctypes.get_errno())
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def seen(self) -> set[str]:
        """Return the names written to since the last call."""
        names = set()
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return names
        while data:
            *_, length = HEADER.unpack_from(data)
            names.add(data[HEADER.size : HEADER.size + length].rstrip(b"\0").decode())
            data = data[HEADER.size + length :]
        return names
