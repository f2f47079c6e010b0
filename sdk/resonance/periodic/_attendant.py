# SPDX-License-Identifier: MIT
"""Who speaks with the daemon for all timers of this process?

One thread, which lives only while there are timers and a daemon. Without a daemon the timers
themselves look once a second whether its socket is there, and that is all: no thread, and gRPC
is not imported.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resonance.hints._link import FailedCallError, Link, socket_path
from resonance.periodic._source import Source

if TYPE_CHECKING:
    from resonance.periodic._wire import Stream

__all__ = ["Attendant", "attendant_here"]

_LOOK_NS: Final = 1_000_000_000
_NO_DAEMON: Final = "no daemon here; start `resonanced run`"


class Attendant:
    """The way from the timers of this process to one daemon.

    Parameters
    ----------
    path : pathlib.Path
        The daemon's socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        # Changed by whole additions and removals only, which no thread and no collection of
        # garbage can see the half of; so nothing here takes a lock that a timer might wait for.
        self._sources: set[Source] = set()
        self._link = Link(self._path)
        self._starting = threading.Lock()
        self._is_running = False
        self._stream: Stream | None = None
        self._look_at_ns: float = 0

    @property
    def reason(self) -> str:
        """Why there is no daemon."""
        return self._link.reason if self._is_there() else f"{self._path}: {_NO_DAEMON}"

    def sources(self) -> list[Source]:
        """Return those that are there now."""
        return list(self._sources)

    def attend(self, source: Source) -> None:
        """Look after a source, until `depart`."""
        self._sources.add(source)
        self._ring()

    def depart(self, source: Source) -> None:
        """Let it go; may be called by the garbage collector, at any point of any thread."""
        self._sources.discard(source)
        self._ring()

    def look(self, now_ns: int) -> None:
        """Begin to speak with the daemon if it has come; cheap, and called at each tick."""
        if self._is_running or now_ns < self._look_at_ns:
            return
        self._look_at_ns = now_ns + _LOOK_NS
        if self._is_there():
            self._start()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child, which must not speak on its parent's connection."""
        for source in self._sources:
            source.begin_in_child()
        self._begin()

    def _is_there(self) -> bool:
        # Not `Path.exists`, which raises where a directory may not be searched.
        return os.path.exists(self._path)

    def _ring(self) -> None:
        stream = self._stream
        if stream is not None:
            stream.ring()

    def _start(self) -> None:
        with self._starting:
            if self._is_running:
                return
            self._is_running = True
            thread = threading.Thread(target=self._run, name="resonance-periodic", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread starts any more while the interpreter ends
                self._look_at_ns = math.inf
                self._is_running = False

    def _run(self) -> None:
        try:
            while self._sources and self._is_there():
                time.sleep(self._attend())
        finally:
            self._is_running = False

    def _attend(self) -> float:
        """Speak with the daemon until it goes; return the seconds to leave it alone."""
        try:
            with contextlib.closing(_reach(self._path)) as stream:
                self._stream = stream
                stream.run(self.sources, self._link.succeeded)
        except FailedCallError as error:
            return self._link.failed(error)
        finally:
            self._stream = None
        return 0.0


def attendant_here() -> Attendant:
    """Return the attendant of this process for the daemon of the environment."""
    path = socket_path(None)
    with _finding:
        if path not in _attendants:
            _attendants[path] = Attendant(path)
        return _attendants[path]


def _reach(path: Path) -> Stream:
    from resonance.periodic._wire import Stream

    return Stream(path)


_attendants: dict[Path, Attendant] = {}
_finding = threading.Lock()


def _begin_in_child() -> None:
    global _finding  # noqa: PLW0603 - its owner did not come along
    _finding = threading.Lock()
    for each in _attendants.values():
        each.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
