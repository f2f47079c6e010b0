# SPDX-License-Identifier: MIT
"""How is the CPU list of a v2 group made empty again?

The kernel clears none while a task is in the group or below it (``validate_change`` in
kernel/cgroup/cpuset.c: ENOSPC; seen on 6.1), which may be why systemd leaves one behind (systemd
issue 43846). A list of every CPU there may ever be has the same effect: a group gets those of it
that its parent has, as one without a list does.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from resonance_tuning.host import Host

__all__ = ["CPUS", "clear", "cleared"]

CPUS: Final = "cpuset.cpus"


def clear(host: Host, directory: Path) -> None:
    """Make the list of a group empty, or, where the kernel does not, one of all CPUs.

    Parameters
    ----------
    host : Host
    directory : Path
        Of the group.

    Raises
    ------
    OSError
        The kernel takes neither.
    """
    try:
        host.write(directory / CPUS, "")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        host.write(directory / CPUS, _all(host))


def cleared(host: Host, directory: Path) -> str:
    """Return what an emptied list reads: nothing, or all CPUs where that is what is there.

    Parameters
    ----------
    host : Host
    directory : Path
        Of the group.

    Returns
    -------
    str
    """
    every = _all(host)
    return every if host.read(directory / CPUS) == every else ""


def _all(host: Host) -> str:
    return host.read(host.path("/sys/devices/system/cpu/possible"))
