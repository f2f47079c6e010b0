# SPDX-License-Identifier: MIT
"""Who takes in what was recorded, when nobody asks for it?

Recording is an append to a list, the one thing that is cheap enough and safe from any thread.
So that the list stays short, a thread empties those of all histograms ten times a second. It
begins when something is first recorded and ends when nothing that is recorded into is left.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import Final, Protocol

__all__ = ["Foldable", "fold_now_and_then", "lock"]

_INTERVAL_SECONDS: Final = 0.1
"""*Chosen*: a million values a second make a list of 4 MB by then, and an idle process is woken
no more often than by the rest of the SDK."""

lock: Final = threading.RLock()
"""Of all counts of all histograms. One lock, so that merging two needs no order, and a fork
waits for one thing only. Recording does not take it."""


class Foldable(Protocol):
    """What has a list to be emptied."""

    def fold(self) -> None:
        """Take in what was recorded."""
        ...


_live: weakref.WeakSet[Foldable] = weakref.WeakSet()
_thread: threading.Thread | None = None


def fold_now_and_then(histogram: Foldable) -> None:
    """Take in what is recorded into a histogram every tenth of a second, while it lives.

    Parameters
    ----------
    histogram : Foldable
        Only weakly referred to.
    """
    with lock:
        _live.add(histogram)
        _begin()


def _begin() -> None:
    global _thread  # noqa: PLW0603 - there is one thread in a process
    if _thread is None:
        thread = threading.Thread(target=_run, name="resonance-histogram", daemon=True)
        # No thread may be had, or none any more while the interpreter ends: then values wait
        # until they are asked for, and the next histogram tries again.
        with contextlib.suppress(RuntimeError):
            thread.start()
            _thread = thread


def _run() -> None:
    """Fold all that live, until there are none."""
    global _thread  # noqa: PLW0603 - as in _begin
    while True:
        time.sleep(_INTERVAL_SECONDS)
        with lock:
            histograms = list(_live)
            if not histograms:
                _thread = None
                return
        while histograms:  # so that none is still referred to while this sleeps
            histograms.pop().fold()


def _begin_in_child() -> None:
    """Let go of the lock in a forked child, and begin there anew: threads are not copied."""
    global _thread  # noqa: PLW0603 - as in _begin
    _thread = None
    if _live:
        _begin()
    lock.release()


os.register_at_fork(
    before=lock.acquire, after_in_parent=lock.release, after_in_child=_begin_in_child
)
