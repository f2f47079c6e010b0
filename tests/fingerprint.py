# SPDX-License-Identifier: MIT
"""What did the privileged tests leave behind? Everything that we could change, before and after.

It asks the kernel itself and none of our own code, so a fault of ours cannot hide itself.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from capability import BPF_SYSCALL

Fingerprint = dict[str, str]

KNOBS = (
    "/proc/sys/kernel/sched_*",
    "/proc/sys/kernel/numa_*",
    "/proc/sys/kernel/perf_*",
    "/proc/sys/kernel/bpf_stats_enabled",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/net/core/*",
    "/proc/sys/net/ipv4/*",
    "/proc/sys/vm/*",
    "/sys/fs/cgroup/**/cpu.shares",
    "/sys/fs/cgroup/**/cpu.weight",
    "/sys/fs/cgroup/**/cpuset.cpus",
)
TRACING_PROGRAMS = {5: "tracepoint", 17: "raw tracepoint", 26: "tracing"}
PROGRAM_NEXT_ID, PROGRAM_FROM_ID, OBJECT_INFO = 11, 13, 15
NAME_OFFSET = 64
MOUNTS = {"bpf", "cgroup", "cgroup2", "debugfs", "tracefs"}
CGROUPS = "/sys/fs/cgroup/"
TRANSIENT = ("BPF program ", "process ", "cgroup ", CGROUPS)


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number = BPF_SYSCALL[os.uname().machine]
    result = ctypes.CDLL(None, use_errno=True).syscall(number, command, buffer, len(attributes))
    return result, buffer.raw


def _program(identifier: int) -> tuple[int, str] | None:
    """Return type and name of a loaded program, or nothing if it is gone."""
    fd, _ = _bpf(PROGRAM_FROM_ID, struct.pack("=III", identifier, 0, 0))
    if fd < 0:
        return None
    info = ctypes.create_string_buffer(256)
    try:
        _bpf(OBJECT_INFO, struct.pack("=IIQ", fd, len(info), ctypes.addressof(info)))
    finally:
        os.close(fd)
    name = info.raw[NAME_OFFSET : NAME_OFFSET + 16].partition(b"\0")[0]
    return int.from_bytes(info.raw[:4], "little"), name.decode()


def _programs() -> Iterator[tuple[str, str]]:
    identifier = 0
    while True:
        result, answer = _bpf(PROGRAM_NEXT_ID, struct.pack("=III", identifier, 0, 0))
        if result < 0:
            return
        identifier = struct.unpack_from("=I", answer, 4)[0]
        program = _program(identifier)
        if program and program[0] in TRACING_PROGRAMS:
            yield f"BPF program {identifier}", f"{program[1]} ({TRACING_PROGRAMS[program[0]]})"


def _knobs() -> Iterator[tuple[str, str]]:
    root = Path("/")
    for pattern in KNOBS:
        for path in root.glob(pattern[1:]):
            try:
                yield str(path), path.read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue  # a directory, write-only, or a cgroup that has just gone


def _processes() -> Iterator[tuple[str, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(b"/resonanced") for word in words[:2]):
            yield f"process {path.parent.name}", b" ".join(words).decode(errors="replace").strip()


def _objects() -> Iterator[tuple[str, str]]:
    for pattern in ("/sys/fs/bpf/*", "/run/resonance*", "/run/netns/*"):
        for path in Path("/").glob(pattern[1:]):
            yield str(path), "exists"
    for path in Path(CGROUPS).glob("**/*resonance*/"):
        yield f"cgroup {path}", "exists"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split()
        if kind in MOUNTS:
            yield f"mount {point}", kind


def take() -> Fingerprint:
    """Return every knob, tracing program, pin, mount, cgroup and process of ours, as text."""
    sources: Iterable[Iterator[tuple[str, str]]] = (
        _knobs(),
        _programs(),
        _processes(),
        _objects(),
    )
    return {what: value for source in sources for what, value in source}


def difference(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Return one line for each thing that was changed, left behind or removed.

    A host lives on meanwhile: programs, processes and cgroups that have gone were somebody
    else's, and of a new cgroup only its name can tell whether it is ours.
    """
    gone = {what for what in before.keys() - after.keys() if what.startswith(TRANSIENT)}
    theirs = {what for what in after.keys() - before.keys() if what.startswith(CGROUPS)}
    return [
        f"{what}: {before.get(what, 'absent')} -> {after.get(what, 'absent')}"
        for what in sorted((before.keys() | after.keys()) - gone - theirs)
        if before.get(what) != after.get(what)
    ]


def settled_difference(before: Fingerprint, patience_seconds: float = 5.0) -> list[str]:
    """Return the differences that remain once the kernel has freed what nobody holds."""
    deadline = time.monotonic() + patience_seconds
    while found := difference(before, take()):
        if time.monotonic() > deadline:
            return found
        time.sleep(0.1)
    return []
