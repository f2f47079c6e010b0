# SPDX-License-Identifier: MIT
"""How does a process that sends begin and end? A child of ours, in memory that both share.

It is a fork, so that nothing is written down and read again, and it runs no line of its parent's:
it closes the parent's files, ends by itself, and dies with its parent. What it has to say in words
comes through a pipe.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from typing import Final

from resonance.bench.load import realtime
from resonance.bench.load.connections import Share
from resonance.bench.load.senders import Sender
from resonance.bench.load.sheets import Counter, Signal
from resonance.bench.plan import Load

__all__ = ["Child"]

_USUAL_SECONDS: Final = 0.01
"""*Chosen*: so long an answer may take for the connections that are open before the start."""
_MOST_LINES: Final = 8
_OTHER_FILES: Final = 64
_FIRST_FILE: Final = 3
_PATIENCE_SECONDS: Final = 0.001


class Child:
    """One process that sends its share of the calls.

    Parameters
    ----------
    share : Share

    Attributes
    ----------
    pid : int
    counters : memoryview of int
        By `Counter`.
    """

    def __init__(self, share: Share) -> None:
        self.counters = share.counters
        self._status: int | None = None
        self._words, theirs = os.pipe()
        parent = os.getpid()
        with warnings.catch_warnings():
            # Other threads do not matter to a child that takes no lock of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            try:
                _run(share, theirs, parent)
            finally:
                os._exit(1)
        os.close(theirs)

    @property
    def is_ready(self) -> bool:
        """Whether its first connections are open."""
        return bool(self.counters[Counter.IS_READY])

    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # the whole process does not want to know of children
                pid, status = self.pid, 0
            if pid:
                self._status = status
        return self._status is None

    def how_it_died(self) -> str | None:
        """Return what ended it too early, or ``None``."""
        if self._status is None or self.counters[Counter.IS_DONE]:
            return None
        code = os.waitstatus_to_exitcode(self._status)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"status {code}"

    def end(self) -> list[str]:
        """End it if it has not ended by itself; return what it said."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                _, self._status = os.waitpid(self.pid, 0)
        with open(self._words, encoding="utf-8", errors="replace") as words:
            return words.read().splitlines()


def _run(share: Share, words: int, parent: int) -> None:
    """Be the child; never return."""
    load, counters, signals = share.load, share.counters, share.sheet.signals
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops us, by a word
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    realtime.die_with_parent()
    if os.getppid() != parent:
        return
    os.dup2(words, _FIRST_FILE)
    os.closerange(_FIRST_FILE + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    say = _speaker(_FIRST_FILE)
    try:
        _allow_files(load.connections + _OTHER_FILES)
        counters[Counter.IS_REALTIME] = realtime.become_realtime()
        realtime.sharpen_timers()
        sender = Sender(share, say)
        sender.open(_first_connections(load))
        share.sheet.populate()
        gc.collect()
        gc.freeze()
        gc.disable()
        counters[Counter.IS_READY] = 1
        while not (begin_ns := signals[Signal.BEGIN_NS]):
            time.sleep(_PATIENCE_SECONDS)
        sender.run(begin_ns)
        counters[Counter.IS_DONE] = 1
    except BaseException as error:  # noqa: BLE001 - told to the parent, which raises no more
        say("a generator failed: " + traceback.format_exception_only(error)[-1].strip())
        os._exit(1)
    os._exit(0)


def _first_connections(load: Load) -> int:
    """Return with how many connections answers of the usual length would do.

    References
    ----------
    Little, A proof for the queuing formula L = λW, Operations Research 9(3), 1961.
    """
    highest = max(max(each.rate_per_second, each.end_rate_per_second) for each in load.stages)
    return max(1, ceil(highest / load.processes * _USUAL_SECONDS))


def _allow_files(files: int) -> None:
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now < files:
        with suppress(ValueError, OSError):  # then connections fail, and say so
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, most), most))


def _speaker(file: int) -> Callable[[str], None]:
    """Return what tells the parent a line, each once and not too many."""
    os.set_blocking(file, False)
    said: set[str] = set()

    def say(line: str) -> None:
        if line not in said and len(said) < _MOST_LINES:
            said.add(line)
            with suppress(OSError):
                os.write(file, f"{line}\n".encode())

    return say
