# SPDX-License-Identifier: MIT
"""Which BPF programs and links of the kinds that we make are in the kernel? By bpf(2) itself."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator

from capability import BPF_SYSCALL

KINDS = {5: "tracepoint", 13: "sockops", 17: "raw tracepoint", 26: "tracing"}
_NEXT_PROGRAM, _PROGRAM_BY_ID, _OBJECT_INFO = 11, 13, 15
_LINK_BY_ID, _NEXT_LINK = 30, 31
_CGROUP_LINK = 3
_NAME_OFFSET = 64
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = _libc.syscall(BPF_SYSCALL[os.uname().machine], command, buffer, len(attributes))
    return result, buffer.raw


def _each(next_id: int, by_id: int) -> Iterator[tuple[int, bytes]]:
    """Give number and info of each object of a kind; one that has just gone is left out."""
    number = 0
    while True:
        result, answer = _bpf(next_id, struct.pack("=III", number, 0, 0))
        if result < 0:
            return
        number = struct.unpack_from("=I", answer, 4)[0]
        descriptor, _ = _bpf(by_id, struct.pack("=III", number, 0, 0))
        if descriptor < 0:
            continue
        info = ctypes.create_string_buffer(256)
        try:
            where = struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info))
            _bpf(_OBJECT_INFO, where)
        finally:
            os.close(descriptor)
        yield number, info.raw


def programs() -> Iterator[tuple[str, str]]:
    """Give the programs of the kinds that we load, by number, with their name."""
    for number, info in _each(_NEXT_PROGRAM, _PROGRAM_BY_ID):
        kind = KINDS.get(int.from_bytes(info[:4], "little"))
        if kind:
            name = info[_NAME_OFFSET : _NAME_OFFSET + 16].partition(b"\0")[0].decode()
            yield f"BPF program {number}", f"{name} ({kind})"


def cgroup_links() -> Iterator[tuple[str, str]]:
    """Give the links of programs to cgroups, by number."""
    for number, info in _each(_NEXT_LINK, _LINK_BY_ID):
        kind, _, program, _, cgroup, attached_as = struct.unpack_from("=IIIIQI", info)
        if kind == _CGROUP_LINK:
            yield f"BPF link {number}", f"program {program}, cgroup {cgroup}, as {attached_as}"
