# SPDX-License-Identifier: MIT
"""On which machine was it measured? What a reader must know, and what must not differ.

It also says how busy the machine was: the time that its CPUs were not idle.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

__all__ = ["Machine", "busy_seconds", "this_machine"]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, as far as latencies depend on it.

    Attributes
    ----------
    processor : str
        The CPU's model name, or the architecture where the kernel does not tell.
    cpus : int
        CPUs that are online.
    is_virtual : bool
    kernel : str
        Name, release and architecture.
    """

    processor: str
    cpus: int
    is_virtual: bool
    kernel: str

    def __str__(self) -> str:
        kind = "virtual" if self.is_virtual else "bare metal"
        return f"{self.processor}, {self.cpus} CPUs, {kind}, {self.kernel}"


def this_machine(root: Path = Path("/")) -> Machine:
    """Return the machine this runs on.

    Parameters
    ----------
    root : Path
        The directory that holds ``proc``; another one in tests.

    Returns
    -------
    Machine
    """
    lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    system = os.uname()
    return Machine(
        processor=fields.get("model name", system.machine),
        cpus=os.cpu_count() or 1,
        is_virtual="hypervisor" in fields.get("flags", "").split(),
        kernel=f"{system.sysname} {system.release} {system.machine}",
    )


def busy_seconds(root: Path = Path("/")) -> float:
    """Return the time that the CPUs of this host were not idle, all together.

    Parameters
    ----------
    root : Path
        The directory that holds ``proc``; another one in tests.

    Returns
    -------
    float
        Seconds; only a difference means something.

    Notes
    -----
    All time less the idle time, which the kernel knows to the microsecond. The times of being
    busy are counted in ticks, and work that comes at a constant rate may always miss them.

    References
    ----------
    proc(5), ``/proc/stat``; ``get_idle_time`` in ``fs/proc/stat.c`` of Linux 6.12.
    """
    lines = (root / "proc/stat").read_text().splitlines()
    _, _, _, _, idle, iowait, *_ = lines[0].split()
    cpus = sum(line.startswith("cpu") for line in lines) - 1
    idle_seconds = (int(idle) + int(iowait)) / os.sysconf("SC_CLK_TCK")
    return cpus * time.clock_gettime(time.CLOCK_BOOTTIME) - idle_seconds
