# SPDX-License-Identifier: MIT
"""Is a group starved of CPU? The kernel says so itself; nothing is read in between.

A trigger (Documentation/accounting/psi.rst) wakes us in each window in which all of the
group's tasks that could run had to wait for longer than allowed; closing it removes it. The
file is there in the cgroup v2 hierarchy even where version 1 holds the cpu controller, and
tells of a group there that has the same path.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host

__all__ = ["Lasting", "PressureTrigger", "pressure_file"]

_WINDOWS_US: Final = (1_000_000, 2_000_000)
"""Best first. Without CAP_SYS_RESOURCE a window must be a multiple of two seconds."""
_SILENT_WINDOWS: Final = 2.5
"""A trigger fires once in a window at most, and never exactly on time."""
_NAME: Final = "cpu.pressure"


def pressure_file(host: Host, cgroup: str) -> Path:
    """Return where the kernel tells of a cgroup's CPU pressure.

    Raises
    ------
    KnobUnavailableError
        It does not, and why.
    """
    if not host.unified:
        raise KnobUnavailableError(_NAME, "no cgroup v2 hierarchy is mounted")
    directory = host.unified.directory / cgroup.lstrip("/")
    if not directory.is_dir():
        raise KnobUnavailableError(_NAME, f"the cgroup v2 hierarchy has no group {cgroup}")
    if not (directory / _NAME).exists():
        raise KnobUnavailableError(_NAME, "this kernel counts no pressure: boot it with psi=1")
    return directory / _NAME


class PressureTrigger:
    """A trigger on the pressure of one cgroup.

    Parameters
    ----------
    path : Path
        As `pressure_file` gives it.
    ratio : float
        Share of a window, 0 to 1, in which all tasks may wait.

    Attributes
    ----------
    window_seconds : float
        The window the kernel took.

    Raises
    ------
    KnobUnavailableError
        The kernel takes no trigger here.
    """

    def __init__(self, path: Path, ratio: float) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self.window_seconds = self._set(ratio)
        except OSError as error:
            raise KnobUnavailableError(_NAME, f"{path}: {error.strerror}") from error

    def _set(self, ratio: float) -> float:
        for window_us in _WINDOWS_US:
            text = f"full {int(ratio * window_us)} {window_us}\0"
            try:
                os.write(self._descriptor, text.encode())
            except OSError as error:
                if error.errno == errno.EINVAL and window_us != _WINDOWS_US[-1]:
                    continue
                os.close(self._descriptor)
                raise
            return window_us / 1e6
        raise AssertionError  # the last window has returned or raised

    def fileno(self) -> int:
        """Return what becomes urgent (POLLPRI) when it fires; POLLERR says the group is gone."""
        return self._descriptor

    def close(self) -> None:
        """Remove it."""
        os.close(self._descriptor)


class Lasting:
    """Has it gone on for long enough? It is told each time a trigger fires.

    Parameters
    ----------
    seconds : float
        How long is long enough.
    window_seconds : float
        Of the trigger; no word for some windows means that it was over.
    """

    def __init__(self, seconds: float, window_seconds: float) -> None:
        self._seconds = seconds
        self._gap_seconds = _SILENT_WINDOWS * window_seconds
        self._since: float | None = None
        self._last = 0.0

    def fired(self, now: float) -> bool:
        """Take one firing; return whether it has lasted, and then begin anew."""
        if self._since is None or now - self._last > self._gap_seconds:
            self._since = now
        self._last = now
        if now - self._since < self._seconds:
            return False
        self._since = None
        return True
