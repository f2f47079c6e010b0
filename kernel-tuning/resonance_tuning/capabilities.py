# SPDX-License-Identifier: MIT
"""What this process may do, and how it gives up all but that (capabilities(7)).

Nothing here gains a privilege. Who keeps uid 0 and no capability may still write files that
are root's own: most knobs need no more.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["ALL", "current", "drop_all_but", "end_with_parent", "restrict"]

ALL: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""In the order of their bits, ``include/uapi/linux/capability.h`` of Linux 5.9 and later."""
_VERSION_3: Final = 0x2008_0522
_SETS: Final = struct.Struct("=6I")
"""Effective, permitted, inheritable; low words, then high words."""
_WORD: Final = 0xFFFF_FFFF
_PR_SET_PDEATHSIG: Final = 1
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38


def current(status: Path = Path("/proc/self/status")) -> dict[str, frozenset[str]]:
    """Return a process's sets by the kernel's names of them: ``CapEff``, ``CapPrm``, ..."""
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    pairs = (line.partition(":\t") for line in lines if line.startswith("Cap"))
    return {name: _names(int(text, 16)) for name, _, text in pairs}


def restrict(permitted: Iterable[str], effective: Iterable[str] | None = None) -> None:
    """Keep these in the permitted set, and in the effective one these or all of them.

    Those that were not there to begin with are not asked for. Nothing stays inheritable,
    which empties the ambient set too.

    Raises
    ------
    OSError
        The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", _VERSION_3, 0)
    now = ctypes.create_string_buffer(_SETS.size)
    if libc.capget(header, now):
        raise _failed("capget")
    _, low, _, _, high, _ = _SETS.unpack(now.raw)
    kept = _mask(permitted) & (high << 32 | low)
    active = kept if effective is None else kept & _mask(effective)
    wanted = _SETS.pack(active & _WORD, kept & _WORD, 0, active >> 32, kept >> 32, 0)
    if libc.capset(header, wanted):
        raise _failed("capset")


def drop_all_but(names: Iterable[str]) -> frozenset[str]:
    """Give up every other capability for good, those of programs we might start too.

    Returns
    -------
    frozenset of str
        What is left: of the names, those that were there.

    Raises
    ------
    OSError
        The kernel refused.
    """
    kept = frozenset(names)
    # First the bounding set: to drop from it needs a capability that goes next. Without that
    # one there is nothing to gain from a program either, once no_new_privs is set.
    if "CAP_SETPCAP" in current()["CapEff"]:
        _empty_bounding_set_but(kept)
    restrict(kept)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return current()["CapEff"]


def end_with_parent() -> None:
    """Be sent SIGTERM when the process that started us ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _empty_bounding_set_but(kept: frozenset[str]) -> None:
    wanted, bit = _mask(kept), 0
    libc = ctypes.CDLL(None, use_errno=True)
    # A newer kernel knows more capabilities than `ALL`: ask it where they end.
    while (is_there := libc.prctl(_PR_CAPBSET_READ, bit, 0, 0, 0)) >= 0:
        if is_there and not wanted >> bit & 1:
            _prctl(_PR_CAPBSET_DROP, bit)
        bit += 1


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise _failed(f"prctl {option}")


def _failed(what: str) -> OSError:
    return OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


def _mask(names: Iterable[str]) -> int:
    return sum(1 << ALL.index(name) for name in set(names))


def _names(mask: int) -> frozenset[str]:
    return frozenset(name for bit, name in enumerate(ALL) if mask >> bit & 1)
