# SPDX-License-Identifier: MIT
"""Which headers let BCC compile our programs for the running kernel without its source.

BCC wants a kernel source tree. Given another kernel's it compiles, loads, runs and reads
wrong offsets without a word; so we give it nine small files made from the running kernel's
own type information. Eight satisfy BCC's include list; the ninth, ``resonance/kernel.h``,
holds the structures our programs read, and of these only the members that they read.

A structure is a union of packed views, each "skip to the offset, then the member"; its size
is the kernel's. Members are spelt as in the kernel: ``task->sched_info.last_queued``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from resonance_bpf.btf import Btf, Member
from resonance_bpf.errors import ProbeUnsupportedError
from resonance_bpf.report import Hierarchy

__all__ = ["kernel_header", "members_read", "write_stubs", "write_tree"]

_MEMBERS: Final = (
    "task_struct.pid",
    "task_struct.prio",
    "task_struct.policy",
    "task_struct.sched_info.last_queued",
    "task_struct.sched_info.run_delay",
    "task_struct.se.cfs_rq",
    "cfs_rq.rq",
    "rq.clock",
    "cgroup.kn",
    "kernfs_node.id",
    "sock.__sk_common.skc_family",
    "sock.__sk_common.skc_state",
    "sock.__sk_common.skc_num",
    "sock.__sk_common.skc_net.net",
    "sock.sk_protocol",
    "net.ns.inum",
    "tcp_sock.srtt_us",
    "tcp_sock.tcp_mstamp",
)
_MEMBERS_OF: Final[Mapping[Hierarchy, tuple[str, ...]]] = {
    "v2": ("task_struct.cgroups", "css_set.dfl_cgrp", "sock.sk_cgrp_data.cgroup"),
    "v1-cpu": ("task_struct.sched_task_group", "task_group.css.cgroup"),
}

_TYPES: Final = """#ifndef RESONANCE_LINUX_TYPES_H
#define RESONANCE_LINUX_TYPES_H
typedef signed char __s8, s8;
typedef unsigned char __u8, u8;
typedef short __s16, s16;
typedef unsigned short __u16, u16, __le16, __be16, __sum16;
typedef int __s32, s32, pid_t;
typedef unsigned int __u32, u32, __le32, __be32, __wsum;
typedef long long __s64, s64;
typedef unsigned long long __u64, u64, __le64, __be64;
typedef __u64 __attribute__((aligned(8))) __aligned_u64;
typedef _Bool bool;
typedef unsigned long size_t, uintptr_t;
#define true 1
#define false 0
#define NULL ((void *)0)
#endif
"""
_EMPTY: Final = (
    "include/linux/bpf_common.h",
    "include/linux/log2.h",
    "include/uapi/linux/bpf.h",
    "include/uapi/linux/if_packet.h",
)

_Tree = dict[str, "_Tree"]
"""Members to be seen, by name; an empty one is a leaf."""
_INTEGERS: Final = {1: "char", 2: "short", 4: "int", 8: "long long"}


def members_read(hierarchy: Hierarchy) -> tuple[str, ...]:
    """Return the path of every kernel member that the BCC programs read."""
    return (*_MEMBERS, *_MEMBERS_OF[hierarchy])


def write_tree(btf: Btf, hierarchy: Hierarchy, directory: Path) -> None:
    """Write the header tree for one kernel, to be named by ``BCC_KERNEL_SOURCE``.

    Parameters
    ----------
    btf : Btf
        The running kernel's types.
    hierarchy : {"v2", "v1-cpu"}
        Decides which members must exist.
    directory : Path
        Empty, and writable by us alone.

    Raises
    ------
    ProbeUnsupportedError
        The kernel lacks a member that the programs read.
    """
    header = kernel_header(btf, members_read(hierarchy))
    write_stubs(directory)
    _write(directory, "include/resonance/kernel.h", header)


def write_stubs(directory: Path) -> None:
    """Write the eight files BCC cannot do without, which say nothing of the kernel's types."""
    release, page_bytes = os.uname().release, os.sysconf("SC_PAGESIZE")
    _write(directory, "include/linux/kconfig.h", "#define CONFIG_BPF_SYSCALL 1\n")
    _write(directory, "include/linux/types.h", _TYPES)
    _write(directory, "include/linux/version.h", _version_header(release))
    _write(directory, "include/asm/page.h", f"#define PAGE_SIZE {page_bytes}UL\n")
    for name in _EMPTY:
        _write(directory, name, "")


def _write(directory: Path, name: str, text: str) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def kernel_header(btf: Btf, paths: tuple[str, ...]) -> str:
    """Return C definitions of the structures named, with the members named and no others.

    Raises
    ------
    ProbeUnsupportedError
        A member does not exist, or is of a kind this cannot express.
    """
    tree: _Tree = {}
    for path in paths:
        node = tree
        for name in path.split("."):
            node = node.setdefault(name, {})
    parts = ["#ifndef RESONANCE_KERNEL_H", "#define RESONANCE_KERNEL_H"]
    for structure, members in tree.items():
        views = "\n\t".join(
            _view(btf, f"{structure}.{name}", nested, 0) for name, nested in members.items()
        )
        whole = f"char bytes[{btf.size_of(structure)}];"
        parts.append(f"struct {structure} {{ union {{\n\t{views}\n\t{whole}\n}}; }};")
    return "\n".join([*parts, "#endif", ""])


def _view(btf: Btf, path: str, nested: _Tree, base_bytes: int) -> str:
    """Return the packed view of one member, seen from an offset in the outermost structure."""
    member, name = btf.member(path), path.rpartition(".")[2]
    skip = f"char skip_{name}[{member.offset_bytes - base_bytes}];"
    inner = _declaration(btf, member, path)
    if nested:
        offset_bytes = member.offset_bytes
        views = [
            _view(btf, f"{path}.{name}", below, offset_bytes) for name, below in nested.items()
        ]
        inner = f"union {{ {' '.join(views)} }} {name}"
    return f"struct {{ {skip} {inner}; }} __attribute__((packed));"


def _declaration(btf: Btf, member: Member, path: str) -> str:
    if member.bitfield_bits:
        raise ProbeUnsupportedError(path, "is a bit-field, which no address leads to")
    name, spelling = path.rpartition(".")[2], btf.spelling(member.type_id)
    if spelling.endswith("*"):
        is_plain = spelling.startswith("struct ") and spelling.count("*") == 1
        return f"{spelling if is_plain else 'void *'}{name}"
    integer = btf.integer(member.type_id)
    if integer is None:
        return f"char {name}[{member.size_bytes}]"
    sign = "signed" if integer.is_signed else "unsigned"
    return f"{sign} {_INTEGERS[integer.size_bytes]} {name}"


def _version_header(release: str) -> str:
    """Return ``linux/version.h``; a sublevel above 255 is clamped, as the kernel itself does."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if numbers is None:
        raise ProbeUnsupportedError("uname", f"kernel release {release!r} has no version number")
    major, minor, sublevel = (int(number or 0) for number in numbers.groups())
    code = (major << 16) + (minor << 8) + min(sublevel, 255)
    macro = "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))"
    return f"{macro}\n#define LINUX_VERSION_CODE {code}\n"
