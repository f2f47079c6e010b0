# SPDX-License-Identifier: MIT
"""Which tracepoints does tracefs describe, and how is a program hung on one so that it stays?

What a kernel without BTF still tells about its events. It reads formats only; the events
themselves go to BPF programs and never through the trace buffer.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_bpf import syscalls
from resonance_bpf.errors import ProbeUnsupportedError

__all__ = ["Tracefs", "open_tracefs"]

_DIRECTORY: Final = Path("/sys/kernel/tracing")


@dataclass(frozen=True, slots=True)
class Tracefs:
    """A mounted tracefs.

    Attributes
    ----------
    directory : Path
        Where it is mounted.
    """

    directory: Path

    def fields(self, category: str, event: str) -> frozenset[str]:
        """Return the names of an event's own fields; empty if there is no such event."""
        try:
            text = (self.directory / "events" / category / event / "format").read_text()
        except FileNotFoundError:
            return frozenset()
        return frozenset(re.findall(r"field:[^;]*?(\w+)(?:\[\d*\])?;", text))

    def event_id(self, category: str, event: str) -> int:
        """Return the number perf_event_open(2) knows the event by."""
        return int((self.directory / "events" / category / event / "id").read_text())


def open_tracefs(directory: Path = _DIRECTORY) -> Tracefs:
    """Find tracefs; mount it in a mount namespace of this process's own where it is not mounted.

    Raises
    ------
    ProbeUnsupportedError
        It is not mounted and cannot be.
    """
    if (directory / "events").is_dir():
        return Tracefs(directory)
    try:
        syscalls.unshare_mounts()
        syscalls.mount("tracefs", os.fspath(directory))
    except OSError as error:
        raise ProbeUnsupportedError(
            os.fspath(directory),
            f"tracefs is not mounted, and mounting it failed ({error.strerror})",
            f"run: mount -t tracefs tracefs {directory}",
        ) from error
    return Tracefs(directory)
