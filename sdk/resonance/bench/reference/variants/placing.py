# SPDX-License-Identifier: MIT
"""Where does a server run? This takes the place, and then becomes the server.

::

    python -IS placing.py PARENT CPU [CGROUP_DIRECTORY...] -- COMMAND [ARGUMENT...]

So all of its threads are in their cgroups and on their CPU (-1 for any) from the first on, and
what its parent started ends with its parent. Only the standard library: it is run as a file.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1
"""include/uapi/linux/prctl.h; it survives execve of a program without privileges of its own."""


def main(arguments: Sequence[str]) -> None:
    """Take the place, and become the command.

    Parameters
    ----------
    arguments : sequence of str
        As in the synopsis.
    """
    separator = arguments.index("--")
    parent, cpu, *directories = arguments[:separator]
    command = arguments[separator + 1 :]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("whoever started this has gone")
    for directory in directories:
        _enter(f"{directory}/cgroup.procs")
    if int(cpu) >= 0:
        os.sched_setaffinity(0, {int(cpu)})
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    os.execv(command[0], list(command))  # noqa: S606 - it is the command of who started this


def _enter(path: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("0")
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
