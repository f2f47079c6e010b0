# SPDX-License-Identifier: MIT
"""Where our maps and links are pinned, whose they are, and how dead ones are removed.

One run of the service is one *generation*: a directory named after the process that made
it, ``<bpffs>/resonance/<pid>-<start time>``. A generation whose process is gone is stale:
its links still run programs, so it is removed before another is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_bpf import syscalls
from resonance_bpf.errors import PinError

__all__ = ["Generation", "clear", "create", "ensure_bpffs", "generations", "remove", "rollback"]

_BPF_FS_MAGIC: Final = "bpf"
_HOUSE: Final = "resonance"


@dataclass(frozen=True, slots=True)
class Generation:
    """One directory of pins.

    Attributes
    ----------
    path : Path
        The directory.
    pid, start_ticks : int
        The process that made it; both, because pids are used again.
    """

    path: Path
    pid: int
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether the process that made it still runs."""
        return _start_ticks(self.pid) == self.start_ticks


def _start_ticks(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot (proc_pid_stat(5), field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _is_bpffs(directory: Path) -> bool:
    mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    return any(
        line.split()[1] == str(directory) and line.split()[2] == _BPF_FS_MAGIC for line in mounts
    )


def ensure_bpffs(directory: Path) -> bool:
    """Make sure a BPF file system is mounted, in a mount namespace of our own if need be.

    Returns
    -------
    bool
        True if it was mounted privately: its pins then die with the last of our processes.

    Raises
    ------
    PinError
        Nothing is mounted there and we may not mount.
    """
    if _is_bpffs(directory):
        return False
    try:
        syscalls.unshare_mounts()
        syscalls.mount("bpf", str(directory))
    except OSError as error:
        raise PinError(
            str(directory),
            f"no BPF file system is mounted here, and mounting one failed ({error.strerror})",
            f"run: mount -t bpf bpf {directory}",
        ) from error
    return True


def generations(bpffs: Path) -> list[Generation]:
    """Return every generation pinned there, alive or stale."""
    try:
        names = sorted(os.listdir(bpffs / _HOUSE))
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise PinError(str(bpffs), "only root can look here", "run as root") from error
    found: list[Generation] = []
    for name in names:
        pid, _, start = name.partition("-")
        if pid.isdigit() and start.isdigit():
            found.append(Generation(bpffs / _HOUSE / name, int(pid), int(start)))
    return found


def create(bpffs: Path) -> Generation:
    """Make the directory of this process's generation, readable by root alone."""
    pid = os.getpid()
    start = _start_ticks(pid)
    if start is None:
        raise PinError("/proc", "not mounted", "run: mount -t proc proc /proc")
    generation = Generation(bpffs / _HOUSE / f"{pid}-{start}", pid, start)
    try:
        generation.path.parent.mkdir(mode=0o700, exist_ok=True)
        generation.path.mkdir(mode=0o700)
    except OSError as error:
        raise PinError(str(generation.path), error.strerror or str(error), "run as root") from error
    return generation


def clear(directory: str) -> int:
    """Unpin all that a directory holds; programs without another holder stop.

    Returns
    -------
    int
        Pins removed.
    """
    # Links first: no event may find a program whose maps are already unnamed.
    names = sorted(os.listdir(directory), key=lambda name: not name.startswith("link_"))
    for name in names:
        os.unlink(os.path.join(directory, name))
    return len(names)


def remove(generation: Generation) -> int:
    """Remove a generation, pins and directory; return how many pins it had."""
    removed = clear(str(generation.path))
    generation.path.rmdir()
    if not any(generation.path.parent.iterdir()):
        generation.path.parent.rmdir()
    return removed


def rollback(bpffs: Path) -> tuple[list[Generation], list[Generation]]:
    """Remove every generation whose process is gone.

    Returns
    -------
    removed, alive : list of Generation
        What was removed, and what a running process still holds.
    """
    found = generations(bpffs)
    alive = [generation for generation in found if generation.is_alive]
    removed = [generation for generation in found if not generation.is_alive]
    for generation in removed:
        remove(generation)
    return removed, alive
