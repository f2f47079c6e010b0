# SPDX-License-Identifier: MIT
"""Was the host left as it was found? What an experiment could change, before and after.

What lives its own life meanwhile, such as threads and cgroups of others, is left out: a difference
is to be one that we made.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Final

__all__ = ["differences", "take"]

_FILES: Final = (
    "proc/sys/kernel/sched_*",
    "proc/sys/net/core/*",
    "proc/sys/net/ipv4/*",
    "proc/irq/default_smp_affinity",
    "sys/class/net/*/queues/*/rps_cpus",
    "sys/devices/virtual/workqueue/cpumask",
)
_PLACES: Final = ("run/netns/*", "run/resonance*", "sys/fs/bpf/*", "sys/class/net/*")
_CGROUP_FILES: Final = re.compile(
    r"cpu\.(shares|weight|idle|max|cfs_quota_us|rt_runtime_us)|cpuset\.cpus(\.partition)?"
    r"|cgroup\.subtree_control"
)
_CGROUPS: Final = "/sys/fs/cgroup/"
_OURS: Final = re.compile(r"resonance")
_PATIENCE_SECONDS: Final = 3.0


def take(root: Path = Path("/")) -> dict[str, str]:
    """Return everything that an experiment could change, as text.

    Parameters
    ----------
    root : Path
        Another one in tests.

    Returns
    -------
    dict of str to str
        By path.
    """
    found: dict[str, str] = {}
    for pattern in _FILES:
        for path in root.glob(pattern):
            _note(found, path)
    for directory, _, names in os.walk(root / "sys/fs/cgroup"):
        if _OURS.search(directory):
            found[directory] = "exists"
        for name in filter(_CGROUP_FILES.fullmatch, names):
            _note(found, Path(directory, name))
    for pattern in _PLACES:
        for path in root.glob(pattern):
            found[str(path)] = "exists"
    mounts = (root / "proc/self/mounts").read_text(errors="replace").splitlines()
    found["mounts"] = " ".join(sorted(line.split()[1] for line in mounts))
    return found


def differences(before: dict[str, str], root: Path = Path("/")) -> list[str]:
    """Return one line for each thing that was changed, left behind or removed.

    Parameters
    ----------
    before : dict of str to str
        As `take` returned it.
    root : Path
        Another one in tests.

    Returns
    -------
    list of str
        Those that are still there after the kernel has had time to free what nobody holds.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while found := _compared(before, take(root)):
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []


def _compared(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Compare; cgroups that others made or removed meanwhile are none of our business."""
    return [
        f"{what}: {before.get(what, 'absent')} -> {after.get(what, 'absent')}"
        for what in sorted(before.keys() | after.keys())
        if before.get(what) != after.get(what) and not _is_theirs(what, before, after)
    ]


def _is_theirs(what: str, before: dict[str, str], after: dict[str, str]) -> bool:
    if _CGROUPS not in what or (what in before and what in after):
        return False
    return what in before or not _OURS.search(what)


def _note(found: dict[str, str], path: Path) -> None:
    try:
        found[str(path)] = path.read_text(errors="replace").strip()
    except OSError:
        return  # a directory, write-only, or of a cgroup that has just gone
