# SPDX-License-Identifier: MIT
"""How long do my tasks wait for a CPU, answered from memory.

A read is three loads from a mapped file and a look at the clock: no system call, no lock,
less than a microsecond. What is slower happens at the first read of a cgroup, when the
daemon has gone, and once a second in a thread that lives only while somebody reads. There
every cgroup is looked up anew, because it may have got another slot, or this process another
cgroup; and when reads stop the read lock is given back, so that the daemon writes less often.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from math import isnan, nan
from pathlib import Path
from time import monotonic_ns
from typing import Final

from resonance.hints._cgroup import cgroup_id
from resonance.hints._layout import Page, PolicyCeiling, UnreadableError, read_pressure

__all__ = ["OTHER", "Cgroup", "PageReader"]

OTHER: Final = "other"
"""The name of slot 0: all cgroups without a slot of their own."""

Cgroup = str | int | None
"""A path below the root of the hierarchy, the number of a cgroup, or this process's own."""

_LOOK_AGAIN_NS: Final = 100_000_000
_MOST_ABSENT: Final = 1_024
"""Cgroups without a slot that are remembered, whatever a program asks for."""
_SECOND_NS: Final = 1_000_000_000

_Cursor = tuple[mmap.mmap, int, int, int]
"""Memory, offset of the record, cgroup id it must show, validity in ns."""


class PageReader:
    """Reads pressure, for any number of threads.

    Parameters
    ----------
    path : pathlib.Path
        The page; it need not exist yet.

    Attributes
    ----------
    reason : str
        Why the last read gave ``None``; empty when it did not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ceiling: PolicyCeiling | None = None
        self._begin()
        _readers.add(self)

    def _begin(self) -> None:
        self.reason = "not read yet"
        self._guard = threading.RLock()
        self._closed = threading.Event()
        self._cursors: dict[Cgroup, _Cursor] = {}
        self._absent: dict[Cgroup, tuple[int, int]] = {}
        self._page: Page | None = None
        self._locked: Page | None = None
        self._thread: threading.Thread | None = None
        self._last_read_ns = 0
        self._look_again_ns = 0

    def pressure(self, cgroup: Cgroup = None) -> float | None:
        """Return the share of time that tasks of a cgroup wait for a CPU, 0 to 1."""
        cursor = self._cursors.get(cgroup)
        if cursor is None:
            return self._pressure_slowly(cgroup)
        memory, offset, number, valid_for_ns = cursor
        reading = read_pressure(memory, offset)
        if reading is None:
            return None
        read_ns, owner, pressure = reading
        now_ns = monotonic_ns()
        if owner != number or not 0 <= now_ns - read_ns <= valid_for_ns:
            return self._pressure_slowly(cgroup)
        self._last_read_ns = now_ns
        return None if isnan(pressure) else pressure

    def reading(self, cgroup: Cgroup = None) -> tuple[float, int] | None:
        """Return the same, with CLOCK_MONOTONIC of its measurement in ns."""
        if self.pressure(cgroup) is None:
            return None
        cursor = self._cursors.get(cgroup)  # none, if another thread closes us now
        found = read_pressure(cursor[0], cursor[1]) if cursor else None
        if cursor is None or found is None or found[1] != cursor[2] or isnan(found[2]):
            return None
        return found[2], found[0]

    def policy_ceiling(self) -> PolicyCeiling | None:
        """Return how far policies may go, as it was said last; ``None``: nobody said.

        It holds no lock, so the daemon writes no more often because of it, and it does not
        grow old: an operator's word outlives a daemon that crashes.
        """
        with self._guard:
            if self._closed.is_set():
                return None
            self._fresh_page(monotonic_ns())
            said = self._page.policy_ceiling() if self._page else None
            self._ceiling = said or self._ceiling
            return self._ceiling

    def _pressure_slowly(self, cgroup: Cgroup) -> float | None:
        _check(cgroup)
        with self._guard:
            self._last_read_ns = monotonic_ns()
            self._cursors.pop(cgroup, None)
            page = self._fresh_page(self._last_read_ns)
            cursor = self._look_up(page, cgroup) if page else None
            if page is None or cursor is None:
                return None
            self._cursors[cgroup] = cursor
            self._stay_awake(page)
            _, _, pressure = read_pressure(cursor[0], cursor[1]) or (0, 0, nan)
            self.reason = "not measured yet" if isnan(pressure) else ""
            return None if isnan(pressure) else pressure

    def _fresh_page(self, now_ns: int) -> Page | None:
        """Return a page with a fresh reading; the daemon may have begun a new one."""
        if self._closed.is_set():
            self.reason = "closed"
            return None
        if self._page is not None and self._page.is_fresh():
            return self._page
        if now_ns < self._look_again_ns:
            return None
        self._look_again_ns = now_ns + _LOOK_AGAIN_NS
        try:
            self._open()
        except UnreadableError as error:
            self.reason = f"{self._path}: {error}"
        except FileNotFoundError:
            self.reason = f"{self._path}: no daemon here; start `resonanced run`"
        except PermissionError:
            self.reason = (
                f"{self._path}: permission denied; join the group that owns it (resonance)"
            )
        except OSError as error:
            self.reason = f"{self._path}: {error.strerror}"
        else:
            if self._page is not None and self._page.is_fresh():
                return self._page
            self.reason = f"{self._path}: the daemon has stopped writing"
        return None

    def _open(self) -> None:
        if self._page is not None and self._path.stat().st_ino == self._page.inode:
            return
        self._drop_page()
        self._page = Page.open(self._path)

    def _drop_page(self) -> None:
        self._cursors.clear()
        self._absent.clear()
        if self._page is not None:
            self._page.close()
        self._page = self._locked = None

    def _look_up(self, page: Page, cgroup: Cgroup) -> _Cursor | None:
        """Find a cgroup's record; remember for a second that there is none."""
        generation = page.slots_generation()
        absent = self._absent.get(cgroup)
        if absent and absent[0] == generation and self._last_read_ns < absent[1]:
            return None
        number = _number(page, cgroup)
        offset = None if number is None else page.find(number)
        if number is None or offset is None:
            if len(self._absent) >= _MOST_ABSENT:
                self._absent.clear()
            self._absent[cgroup] = generation, self._last_read_ns + _SECOND_NS
            name = "this process's cgroup" if cgroup is None else str(cgroup)
            self.reason = f"{name}: " + ("not seen here" if number is None else "has no slot")
            return None
        return page.memory, offset, number, page.valid_for_ns

    def _stay_awake(self, page: Page) -> None:
        """Hold the read lock for as long as reads come."""
        if self._locked is not page:
            page.lock()
            self._locked = page
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._look_after, name="resonance-page", daemon=True
            )
            self._thread.start()

    def _look_after(self) -> None:
        while not self._closed.wait(_SECOND_NS / 1e9):
            with self._guard:
                if monotonic_ns() - self._last_read_ns > _SECOND_NS:
                    self._rest()
                    return
                self._refresh()

    def _refresh(self) -> None:
        """Look every cgroup up anew; readers go on with the old answers meanwhile."""
        page = self._page
        if page is None or not page.is_fresh():
            self._cursors.clear()
            return
        found = {cgroup: self._look_up(page, cgroup) for cgroup in tuple(self._cursors)}
        self._cursors = {cgroup: cursor for cgroup, cursor in found.items() if cursor}

    def _rest(self) -> None:
        self._cursors.clear()
        self._thread = None
        if self._locked is not None:
            self._locked.unlock()
            self._locked = None

    def close(self) -> None:
        """Give everything back; what is read afterwards is unknown."""
        with self._guard:
            self._closed.set()
            self._rest()
            self._drop_page()

    def begin_in_child(self) -> None:
        """Begin again in a forked child, which shares the parent's lock but must not keep it."""
        was_closed = self._closed.is_set()
        if self._page is not None:
            self._page.close()
        self._begin()
        if was_closed:
            self._closed.set()


def _number(page: Page, cgroup: Cgroup) -> int | None:
    if isinstance(cgroup, int):
        return cgroup
    return 0 if cgroup == OTHER else cgroup_id(page.hierarchy, cgroup)


def _check(cgroup: object) -> None:
    is_number = isinstance(cgroup, int) and not isinstance(cgroup, bool)
    if not (cgroup is None or is_number or isinstance(cgroup, str)):
        raise TypeError(f"cgroup must be a path, a number or None, not {type(cgroup).__name__}")


_readers: weakref.WeakSet[PageReader] = weakref.WeakSet()


def _begin_in_child() -> None:
    for reader in _readers:
        reader.begin_in_child()


os.register_at_fork(after_in_child=_begin_in_child)
