# SPDX-License-Identifier: MIT
"""Print the running kernel's types as C, for compiling the CO-RE objects.

``python -m resonance_bpf.vmlinux > vmlinux.h``. What bpftool would print, without needing
the bpftool package of exactly this kernel that some distributions demand.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TextIO

from resonance_bpf.errors import ProbeError, ProbeUnsupportedError
from resonance_bpf.libbpf import DumpCallback, format_message, open_library

__all__ = ["dump", "main"]

_HEAD = """#ifndef __VMLINUX_H__
#define __VMLINUX_H__
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)

"""
_TAIL = """
#pragma clang attribute pop
#endif
"""


def dump(out: TextIO) -> None:
    """Write every type of the running kernel's BTF as C.

    Raises
    ------
    ProbeUnsupportedError
        The kernel has no BTF.
    """
    library = open_library()
    try:
        btf = library.call("btf__load_vmlinux_btf")
    except OSError as error:
        raise ProbeUnsupportedError(
            "/sys/kernel/btf/vmlinux",
            error.strerror or str(error),
            "this kernel was built without CONFIG_DEBUG_INFO_BTF; use --backend bcc",
        ) from error

    def write(_context: int, template: bytes, arguments: int) -> None:
        out.write(format_message(template, arguments))

    callback = DumpCallback(write)
    dumper = library.call("btf_dump__new", btf, ctypes.cast(callback, ctypes.c_void_p), None, None)
    out.write(_HEAD)
    for type_id in range(1, library.call("btf__type_cnt", btf)):
        library.call("btf_dump__dump_type", dumper, type_id)
    out.write(_TAIL)


def main() -> int:
    """Dump to standard output."""
    try:
        dump(sys.stdout)
    except ProbeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
