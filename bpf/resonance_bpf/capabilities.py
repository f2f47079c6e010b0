# SPDX-License-Identifier: MIT
"""Was a program refused because this process lacks a capability, and which?

libbpf only guesses: without CAP_BPF it blames RLIMIT_MEMLOCK, which counts for nothing since
Linux 5.11. So what was refused is held against what this process has (capabilities(7)).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["FOR_PROBES", "REFUSALS", "explained", "missing"]

FOR_PROBES: Final = ("CAP_BPF", "CAP_PERFMON")
"""To load programs, and programs that read the kernel's memory."""
_BITS: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
"""``include/uapi/linux/capability.h``."""
REFUSALS: Final = (errno.EPERM, errno.EACCES)
"""What the kernel answers for want of a capability; the second the verifier too, to any program."""
_WHO_ELSE: Final = "a user namespace, a filter of system calls or a security module may forbid it"


def missing(
    names: Iterable[str] = FOR_PROBES, status: Path = Path("/proc/self/status")
) -> tuple[str, ...]:
    """Return those that are not effective; to bpf(2) CAP_SYS_ADMIN stands for each of them."""
    text = status.read_text(errors="surrogateescape")
    effective = int(text.partition("CapEff:")[2].split()[0], 16)
    if effective >> _BITS["CAP_SYS_ADMIN"] & 1:
        return ()
    return tuple(name for name in names if not effective >> _BITS[name] & 1)


def explained(
    number: int | None, words: str, needed: Iterable[str] = FOR_PROBES
) -> tuple[str, str]:
    """Return why the kernel refused a program, and what to do about it.

    Parameters
    ----------
    number : int or None
        The kernel's errno.
    words : str
        What a library made of it; passed on unless a capability is missing.
    needed : iterable of str
        What the program takes.
    """
    if number not in REFUSALS:
        return words, ""
    lacking = " and ".join(missing(needed))
    if not lacking:
        return words, _WHO_ELSE if number == errno.EPERM else ""
    reason = f"{os.strerror(number)}: missing {lacking}"
    if os.geteuid():
        return reason, "run as root"
    return reason, f"grant {lacking}: CapabilityBoundingSet= of a unit, --cap-add of a container"
