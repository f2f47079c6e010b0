# SPDX-License-Identifier: MIT
"""Can this machine boot systemd in a container, and if not, what is it that is missing?

Run as a script it prints that in one line and exits 1; it looks at the machine only, because
whatever a package could cure is told by the test that fails.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
}
FILE_SYSTEMS = {"overlay", "tmpfs", "cgroup2"}
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


def _effective() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("CapEff:"))[7:], 16)


def _unknown_file_systems() -> set[str]:
    lines = Path("/proc/filesystems").read_text(encoding="ascii").splitlines()
    known = {line.split()[-1] for line in lines}
    modules = Path("/lib/modules", os.uname().release, "kernel/fs/overlayfs")
    # One that is a module is loaded by the mount.
    return FILE_SYSTEMS - known - ({"overlay"} if modules.is_dir() else set())


def _writable_cgroups() -> bool:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return any(
        kind in {"cgroup", "cgroup2"} and "rw" in options.split(",")
        for _, _, kind, options, *_ in mounts
    )


def missing() -> str:
    """Return why no container can be booted here, or nothing when one can."""
    if os.geteuid() != 0:
        return "not root"
    lacking = [name for name, bit in CAPABILITIES.items() if not _effective() >> bit & 1]
    if lacking:
        return f"no {', '.join(lacking)}"
    unknown = _unknown_file_systems()
    if unknown:
        return f"the kernel has no file system {', '.join(sorted(unknown))}"
    unmade = [name for name in NAMESPACES if not Path("/proc/self/ns", name).exists()]
    if unmade:
        return f"the kernel has no namespaces of {', '.join(unmade)}"
    return "" if _writable_cgroups() else "no cgroup file system is writable"


if __name__ == "__main__":
    why = missing()
    print(why)
    sys.exit(1 if why else 0)
