# SPDX-License-Identifier: MIT
"""Can this machine run the privileged tests, and if not, what is it that is missing?

Run as a script it prints that in one line and exits 1; it looks at the kernel and the container
only, because whatever a package could cure is not a reason to leave tests out.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

BTF = Path("/sys/kernel/btf/vmlinux")
CAPABILITIES = {
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
CGROUPS = {"cgroup", "cgroup2"}
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
ARRAY_OF_ONE = struct.pack("IIII", 2, 4, 4, 1).ljust(128, b"\0")


def _effective() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("CapEff:"))[7:], 16)


def _bpf_refusal() -> str:
    """Make one small map, and return the kernel's words if it will not."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        return f"bpf(2) is not known on {platform.machine()}"
    fd = libc.syscall(number, 0, ctypes.create_string_buffer(ARRAY_OF_ONE, 128), 128)
    if fd < 0:
        return f"bpf(2): {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return ""


def _has_writable_cgroups() -> bool:
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    writable = {kind for _, _, kind, options, *_ in mounts if "rw" in options.split(",")}
    return not CGROUPS.isdisjoint(writable)


def missing() -> str:
    """Return why probes cannot be loaded or groups made here, or nothing when they can."""
    if os.geteuid() != 0:
        return "not root"
    lacking = [name for name, bit in CAPABILITIES.items() if not _effective() >> bit & 1]
    if lacking:
        return f"no {', '.join(lacking)}"
    if not _has_writable_cgroups():
        return "no cgroup file system is writable"
    return _bpf_refusal() or ("" if BTF.exists() else f"no BTF: {BTF} does not exist")


if __name__ == "__main__":
    why = missing()
    print(why)
    sys.exit(1 if why else 0)
