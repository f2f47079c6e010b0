# SPDX-License-Identifier: MIT
"""The kernel's side of a bench: attach and detach at will, and ask what a program cost.

Nothing here outlives the process: attachments are descriptors, the pins lie on a BPF file
system of a mount namespace of our own, and accounting of run time is switched on by a
descriptor too.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_bpf import syscalls

_PROG_GET_FD_BY_ID: Final = 13
_OBJ_GET_INFO_BY_FD: Final = 15
_RAW_TRACEPOINT_OPEN: Final = 17
_ENABLE_STATS: Final = 32
_RUN_TIME: Final = 0
_INFO_BYTES: Final = 232
_RUN_TIME_OFFSET: Final = 192
_STATS_SWITCH: Final = Path("/proc/sys/kernel/bpf_stats_enabled")


@dataclass(frozen=True, slots=True)
class Program:
    """A loaded program.

    Attributes
    ----------
    raw_tracepoint : str
        The tracepoint to attach to; empty where the program itself says (tp_btf).
    """

    descriptor: int
    raw_tracepoint: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What programs have run, since they were loaded or over a stretch of time."""

    run_ns: int
    runs: int

    def __sub__(self, before: Account) -> Account:
        return Account(self.run_ns - before.run_ns, self.runs - before.runs)


Variant = Callable[[], AbstractContextManager[Sequence[int]]]
"""Attaches something, and yields the descriptors of the programs that then run."""


def account(descriptor: int) -> Account:
    """Return what the kernel has accounted to a program (``struct bpf_prog_info``)."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    attributes = struct.pack("=IIQ", descriptor, _INFO_BYTES, ctypes.addressof(info))
    syscalls._bpf(_OBJ_GET_INFO_BY_FD, attributes, "BPF_OBJ_GET_INFO_BY_FD")
    return Account(*struct.unpack_from("=QQ", info.raw, _RUN_TIME_OFFSET))


def program_by_id(identifier: int) -> int:
    """Return a descriptor of any program in the kernel."""
    return syscalls._bpf(
        _PROG_GET_FD_BY_ID, struct.pack("=III", identifier, 0, 0), "BPF_PROG_GET_FD_BY_ID"
    )


@contextmanager
def attached(programs: Sequence[Program]) -> Iterator[Sequence[int]]:
    """Attach programs to their tracepoints."""
    with ExitStack() as stack:
        for program in programs:
            name = ctypes.create_string_buffer(program.raw_tracepoint.encode())
            address = ctypes.addressof(name) if program.raw_tracepoint else 0
            attributes = struct.pack("=QIIQ", address, program.descriptor, 0, 0)
            what = "BPF_RAW_TRACEPOINT_OPEN"
            stack.callback(os.close, syscalls._bpf(_RAW_TRACEPOINT_OPEN, attributes, what))
        yield [program.descriptor for program in programs]


def in_turn(variants: Sequence[Variant]) -> Variant:
    """Return a variant that is each of these in turn: the same, loaded more than once.

    Where the kernel happens to put a program's code moves its cost by a few nanoseconds for
    as long as it is loaded, so one load is one sample, however often it runs.
    """
    turn = itertools.cycle(variants)

    def attach() -> AbstractContextManager[Sequence[int]]:
        return next(turn)()

    return attach


@contextmanager
def run_time_accounted() -> Iterator[None]:
    """Have the kernel account run time, as long as this lasts."""
    attributes = struct.pack("=I", _RUN_TIME)
    descriptor = syscalls._bpf(_ENABLE_STATS, attributes, "BPF_ENABLE_STATS")
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def run_time_not_accounted() -> Iterator[None]:
    """Switch off what somebody else switched on for the whole host, as long as this lasts."""
    before = _STATS_SWITCH.read_text()
    _STATS_SWITCH.write_text("0")
    try:
        yield
    finally:
        _STATS_SWITCH.write_text(before)


@contextmanager
def private_bpffs() -> Iterator[Path]:
    """Mount a BPF file system that nobody else sees."""
    syscalls.unshare_mounts()
    with tempfile.TemporaryDirectory(prefix="resonance-bench-") as directory:
        syscalls.mount("bpf", directory)
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)
