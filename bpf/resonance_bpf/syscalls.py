# SPDX-License-Identifier: MIT
"""The few bpf(2) and mount calls that need no library: open and pin by path, freeze, look up.

The privileged parent and the unprivileged daemon use these instead of libbpf, which stays
in the loader that exits. Constants are those of ``include/uapi/linux/bpf.h``.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

__all__ = [
    "cgroup_of_link",
    "link_perf_event",
    "link_sock_ops",
    "map_freeze",
    "map_lookup",
    "mount",
    "object_get",
    "object_pin",
    "open_tracepoint",
    "program_recursion_misses",
    "unshare_mounts",
]

_SYSCALL_NUMBERS: Final = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "s390x": 351,
    "ppc64le": 361,
}
_MAP_LOOKUP: Final = 1
_PERF_EVENT_OPEN: Final = {
    "x86_64": 298,
    "aarch64": 241,
    "riscv64": 241,
    "s390x": 331,
    "ppc64le": 319,
}
_TYPE_TRACEPOINT: Final = 2
_EVENT_BYTES: Final = 64
"""``PERF_ATTR_SIZE_VER0``, all that is needed here."""
_EVENT_CLOSE_ON_EXEC: Final = 8
_OBJECT_PIN: Final = 6
_OBJECT_GET: Final = 7
_OBJECT_GET_INFO_BY_FD: Final = 15
_MAP_FREEZE: Final = 22
_LINK_CREATE: Final = 28
_PERF_EVENT: Final = 41
"""``BPF_PERF_EVENT``, an attach type."""
_CGROUP_SOCK_OPS: Final = 3
"""``BPF_CGROUP_SOCK_OPS``, an attach type."""
_LINK_INFO_BYTES: Final = 32
_LINK_CGROUP_OFFSET: Final = 16
_PROGRAM_INFO_BYTES: Final = 232
_RECURSION_MISSES_OFFSET: Final = 208
_CLONE_NEWNS: Final = 0x0002_0000
_MS_PRIVATE_RECURSIVE: Final = (1 << 18) | (1 << 14)

_libc = ctypes.CDLL(None, use_errno=True)


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)


def _bpf(command: int, attributes: bytes, what: str) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number = _SYSCALL_NUMBERS[platform.machine()]
    result: int = _libc.syscall(number, command, buffer, len(attributes))
    if result < 0:
        raise _failed(what)
    return result


def object_get(path: str) -> int:
    """Open a pinned map, program or link.

    Returns
    -------
    int
        A file descriptor, close-on-exec.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(_OBJECT_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0), path)


def object_pin(descriptor: int, path: str) -> None:
    """Pin a map, program or link under a path on a BPF file system."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(_OBJECT_PIN, struct.pack("=QII", ctypes.addressof(name), descriptor, 0), path)


def map_freeze(descriptor: int) -> None:
    """Make a map read-only for every user of the system calls; programs go on writing."""
    _bpf(_MAP_FREEZE, struct.pack("=I", descriptor), "BPF_MAP_FREEZE")


def map_lookup(descriptor: int, key: bytes, value_bytes: int) -> bytes:
    """Return one value of a map."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_bytes)
    addresses = (ctypes.addressof(key_buffer), ctypes.addressof(value))
    _bpf(_MAP_LOOKUP, struct.pack("=IIQQQ", descriptor, 0, *addresses, 0), "BPF_MAP_LOOKUP_ELEM")
    return value.raw


def open_tracepoint(number: int) -> int:
    """Open a tracepoint by its number in tracefs, as an event programs can be attached to.

    Returns
    -------
    int
        A file descriptor, close-on-exec. One on CPU 0 is enough: programs run on every CPU.
    """
    attributes = struct.pack("=IIQ", _TYPE_TRACEPOINT, _EVENT_BYTES, number)
    buffer = ctypes.create_string_buffer(attributes, _EVENT_BYTES)
    call = _PERF_EVENT_OPEN[platform.machine()]
    descriptor: int = _libc.syscall(call, buffer, -1, 0, -1, _EVENT_CLOSE_ON_EXEC)
    if descriptor < 0:
        raise _failed("perf_event_open")
    return descriptor


def link_perf_event(program: int, perf_event: int) -> int:
    """Attach a program to an open perf event by a link, which can be pinned (Linux 5.15).

    Returns
    -------
    int
        A file descriptor of the link, close-on-exec.
    """
    attributes = struct.pack("=IIIIQ", program, perf_event, _PERF_EVENT, 0, 0)
    return _bpf(_LINK_CREATE, attributes, "BPF_LINK_CREATE")


def link_sock_ops(program: int, cgroup: int) -> int:
    """Attach a socket-operations program to a cgroup of version 2 by a link (Linux 5.7).

    Returns
    -------
    int
        A file descriptor of the link, close-on-exec.
    """
    attributes = struct.pack("=IIII", program, cgroup, _CGROUP_SOCK_OPS, 0)
    return _bpf(_LINK_CREATE, attributes, "BPF_LINK_CREATE")


def cgroup_of_link(descriptor: int) -> int:
    """Return the id of the cgroup a link is attached to; 0 once it is attached to none."""
    return _object_info_u64(descriptor, _LINK_INFO_BYTES, _LINK_CGROUP_OFFSET)


def program_recursion_misses(descriptor: int) -> int:
    """Return how often the kernel skipped a program because it was running on that CPU."""
    return _object_info_u64(descriptor, _PROGRAM_INFO_BYTES, _RECURSION_MISSES_OFFSET)


def _object_info_u64(descriptor: int, info_bytes: int, offset: int) -> int:
    info = ctypes.create_string_buffer(info_bytes)
    attributes = struct.pack("=IIQ", descriptor, info_bytes, ctypes.addressof(info))
    _bpf(_OBJECT_GET_INFO_BY_FD, attributes, "BPF_OBJ_GET_INFO_BY_FD")
    value: int = struct.unpack_from("=Q", info.raw, offset)[0]
    return value


def unshare_mounts() -> None:
    """Give this process a mount namespace of its own, from which nothing reaches the host."""
    if _libc.unshare(_CLONE_NEWNS) or _libc.mount(b"none", b"/", None, _MS_PRIVATE_RECURSIVE, None):
        raise _failed("unshare(CLONE_NEWNS)")


def mount(kind: str, path: str) -> None:
    """Mount a kernel file system (``bpf``, ``tracefs``) at a path."""
    if _libc.mount(kind.encode(), os.fsencode(path), kind.encode(), 0, None):
        raise _failed(path)
