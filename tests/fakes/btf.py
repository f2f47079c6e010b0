# SPDX-License-Identifier: MIT
"""Kernel types written by hand, in the binary form the kernel hands them out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

Member = tuple[str, int, int] | tuple[str, int, int, int]
"""Name, type, offset in bits, and for a bit-field its width."""
Tree = dict[str, "Tree"]


class BtfBuilder:
    """Types get their number in the order they are added, from 1; 0 is void."""

    def __init__(self) -> None:
        self._strings = b"\0"
        self._types: list[bytes] = []

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        return self._add(name, 1, 0, size, struct.pack("=I", signed << 24 | size * 8))

    def pointer(self, target: int) -> int:
        return self._add("", 2, 0, target)

    def array(self, element: int, length: int) -> int:
        return self._add("", 3, 0, 0, struct.pack("=III", element, 0, length))

    def structure(
        self, name: str, size: int, members: Sequence[Member], *, union: bool = False
    ) -> int:
        has_bitfields = any(len(member) == 4 for member in members)
        body = b"".join(
            struct.pack("=III", self._name(name), type_id, (width[0] << 24 if width else 0) | bits)
            for name, type_id, bits, *width in members
        )
        return self._add(name, 5 if union else 4, len(members), size, body, flag=has_bitfields)

    def enumeration(self, name: str, values: dict[str, int]) -> int:
        signed = any(value < 0 for value in values.values())
        body = b"".join(struct.pack("=Ii", self._name(key), value) for key, value in values.items())
        return self._add(name, 6, len(values), 4, body, flag=signed)

    def wide_enumeration(self, name: str, values: dict[str, int]) -> int:
        signed = any(value < 0 for value in values.values())
        body = b"".join(
            struct.pack("=III", self._name(key), value & 0xFFFF_FFFF, value >> 32 & 0xFFFF_FFFF)
            for key, value in values.items()
        )
        return self._add(name, 19, len(values), 8, body, flag=signed)

    def typedef(self, name: str, target: int) -> int:
        return self._add(name, 8, 0, target)

    def const(self, target: int) -> int:
        return self._add("", 10, 0, target)

    def prototype(self, arguments: Sequence[int]) -> int:
        body = b"".join(struct.pack("=II", 0, argument) for argument in arguments)
        return self._add("", 13, len(arguments), 0, body)

    def data(self) -> bytes:
        types = b"".join(self._types)
        lengths = (0, len(types), len(types), len(self._strings))
        return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, *lengths) + types + self._strings

    def _name(self, name: str) -> int:
        if not name:
            return 0
        offset = len(self._strings)
        self._strings += name.encode() + b"\0"
        return offset

    def _add(
        self, name: str, kind: int, listed: int, size: int, body: bytes = b"", *, flag: bool = False
    ) -> int:
        info = flag << 31 | kind << 24 | listed
        self._types.append(struct.pack("=III", self._name(name), info, size) + body)
        return len(self._types)


def scheduler_types() -> BtfBuilder:
    """Return a small kernel: a task with nested, anonymous, pointed-to and bit-field members."""
    kernel = BtfBuilder()
    u32 = kernel.integer("unsigned int", 4)
    s32 = kernel.integer("int", 4, signed=True)
    u64 = kernel.typedef("u64", kernel.integer("long long unsigned int", 8))
    text = kernel.array(kernel.integer("char", 1, signed=True), 16)
    rq = kernel.structure("rq", 64, [("clock", u64, 256)])
    info = kernel.structure("sched_info", 16, [("run_delay", u64, 0), ("last_queued", u64, 64)])
    either = kernel.structure("", 8, [("whole", u64, 0), ("half", u32, 0)], union=True)
    task_struct = kernel.structure(
        "task_struct",
        128,
        [
            ("pid", kernel.typedef("pid_t", s32), 32),
            ("sched_info", info, 256),
            ("", either, 448),
            ("rq", kernel.pointer(rq), 512),
            ("comm", text, 576),
        ],
    )
    kernel.structure("flags", 4, [("low", u32, 0, 3), ("high", u32, 3, 5)])
    kernel.enumeration("state", {"SLEEPING": -1, "RUNNING": 0})
    kernel.wide_enumeration("wide", {"HUGE": 1 << 40})
    task = kernel.pointer(kernel.const(task_struct))
    arguments = [kernel.pointer(0), kernel.integer("_Bool", 1), task]
    kernel.typedef("btf_trace_sched_switch", kernel.pointer(kernel.prototype(arguments)))
    return kernel


def kernel_with(paths: Iterable[str], tracepoints: Iterable[str] = ()) -> BtfBuilder:
    """Return a kernel in which every path leads to a number and every tracepoint exists."""
    tree: Tree = {}
    for path in paths:
        node = tree
        for name in path.split("."):
            node = node.setdefault(name, {})
    kernel = BtfBuilder()
    number = kernel.integer("long long unsigned int", 8)
    for structure, members in tree.items():
        _place(kernel, number, structure, members)
    hook = kernel.pointer(kernel.prototype([number]))
    for name in tracepoints:
        kernel.typedef(f"btf_trace_{name}", hook)
    return kernel


def _place(kernel: BtfBuilder, number: int, name: str, members: Tree) -> int:
    if not members:
        return number
    placed = [
        (member, _place(kernel, number, member, nested), position * 512)
        for position, (member, nested) in enumerate(members.items())
    ]
    return kernel.structure(name, 64 * len(placed), placed)
