# SPDX-License-Identifier: MIT
"""CO-RE objects through libbpf: load, ask the canary, attach, pin, freeze.

Runs in the short-lived loader. What stays behind is in the kernel, held by pins.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Final

from resonance_bpf import canary, capabilities, syscalls
from resonance_bpf.catalogue import MAPS, PROGRAMS, bins_per_cpu, map_bytes, map_entries
from resonance_bpf.errors import ProbeRejectedError, ProbeUnsupportedError, ToolchainError
from resonance_bpf.libbpf import Library, open_library
from resonance_bpf.report import LoadReport, LoadRequest, ProgramReport

__all__ = ["load", "pack_settings"]

_BTF: Final = Path("/sys/kernel/btf/vmlinux")


def load(request: LoadRequest) -> LoadReport:
    """Load both families and pin them; a family the kernel refuses is reported, not hidden.

    Raises
    ------
    ProbeUnsupportedError
        The kernel has no BTF.
    ToolchainError
        libbpf or the compiled objects are missing.
    ProbeRejectedError
        The kernel refused the run-queue family.
    CanaryError
        The programs load and read something untrue.
    """
    started = time.monotonic()
    if not _BTF.exists():
        raise ProbeUnsupportedError(str(_BTF), "this kernel has no BTF", "use --backend bcc")
    library = open_library()
    btf = library.call("btf__load_vmlinux_btf")
    has_data_ready = library.has_type(btf, "btf_trace_sk_data_ready")
    left_out = {} if has_data_ready else {"socket_ready": "the kernel has no such tracepoint"}
    has_cast = library.has_type(btf, "bpf_rdonly_cast")
    socket_object = "socket" if has_cast else "socket_without_cast"
    settings = pack_settings(request, has_data_ready=has_data_ready)
    verdict = canary.check(
        "core", lambda pid: _canary(library, request, pid), request.own_cgroup_id
    )
    directory = Path(request.directory)
    programs = _load_family(library, "runqueue", request, settings, {})
    try:
        programs += _load_family(library, socket_object, request, settings, left_out)
    except ProbeRejectedError as error:
        programs += [
            ProgramReport(name=program.name, attached=False, reason=error.reason)
            for program in PROGRAMS
            if program.family == "socket"
        ]
    _freeze_outputs(directory)
    return LoadReport(
        backend="core",
        tier="core",
        hierarchy=request.hierarchy,
        directory=request.directory,
        programs=tuple(programs),
        map_bytes={
            name: map_bytes(name, request.possible_cpus)
            for name in MAPS
            if (directory / f"map_{name}").exists()
        },
        canary=verdict,
        load_seconds=time.monotonic() - started,
    )


def pack_settings(request: LoadRequest, *, has_data_ready: bool, canary_pid: int = 0) -> bytes:
    """Return ``struct rs_settings``, the read-only data of every object."""
    return struct.pack(
        "=IIIIQII",
        request.possible_cpus,
        bins_per_cpu(request.possible_cpus) - 1,
        request.hierarchy == "v1-cpu",
        has_data_ready,
        request.root_cgroup_id,
        canary_pid,
        0,
    )


def _open_object(library: Library, name: str, settings: bytes) -> int:
    path = resources.files("resonance_bpf").joinpath("objects", f"{name}.bpf.o")
    if not path.is_file():
        raise ToolchainError(
            f"{name}.bpf.o", "not built", "run: make bpf (needs clang and libbpf-dev)"
        )
    try:
        handle: int = library.call("bpf_object__open_file", str(path).encode(), None)
    except OSError as error:
        raise ToolchainError(
            str(path), f"libbpf cannot read it: {library.words()}", "build it anew: make -B bpf"
        ) from error
    for map_name, bpf_map in library.children(handle, "map"):
        if map_name.endswith(".rodata"):
            library.call("bpf_map__set_initial_value", bpf_map, settings, len(settings))
    return handle


def _load_object(library: Library, handle: int, name: str) -> None:
    library.last_messages.clear()
    try:
        library.call("bpf_object__load", handle)
    except OSError as error:
        words = f"{error.strerror}: {library.words()}"
        reason, hint = capabilities.explained(error.errno, words)
        raise ProbeRejectedError(f"{name}.bpf.o", reason, hint) from error


def _load_family(
    library: Library,
    object_name: str,
    request: LoadRequest,
    settings: bytes,
    left_out: dict[str, str],
) -> list[ProgramReport]:
    directory = Path(request.directory)
    handle = _open_object(library, object_name, settings)
    for name, bpf_map in library.children(handle, "map"):
        if name not in MAPS:
            continue
        pinned = directory / f"map_{name}"
        if pinned.exists():
            library.call("bpf_map__reuse_fd", bpf_map, syscalls.object_get(str(pinned)))
        else:
            entries = map_entries(name, request.possible_cpus)
            library.call("bpf_map__set_max_entries", bpf_map, entries)
    for name, program in library.children(handle, "program"):
        if name in left_out:
            library.call("bpf_program__set_autoload", program, False)
    _load_object(library, handle, object_name)
    for name, bpf_map in library.children(handle, "map"):
        if name in MAPS and not (directory / f"map_{name}").exists():
            syscalls.object_pin(
                library.call("bpf_map__fd", bpf_map), str(directory / f"map_{name}")
            )
    return [
        ProgramReport(name=name, attached=False, reason=left_out[name])
        if name in left_out
        else _attach(library, name, program, directory)
        for name, program in library.children(handle, "program")
    ]


def _attach(library: Library, name: str, program: int, directory: Path) -> ProgramReport:
    try:
        link = library.call("bpf_program__attach", program)
    except OSError as error:
        return ProgramReport(name=name, attached=False, reason=error.strerror or str(error))
    syscalls.object_pin(library.call("bpf_link__fd", link), str(directory / f"link_{name}"))
    syscalls.object_pin(library.call("bpf_program__fd", program), str(directory / f"prog_{name}"))
    return ProgramReport(name=name, attached=True)


def _freeze_outputs(directory: Path) -> None:
    for name, spec in MAPS.items():
        path = directory / f"map_{name}"
        if spec.is_output and path.exists():
            descriptor = syscalls.object_get(str(path))
            syscalls.map_freeze(descriptor)
            os.close(descriptor)


@contextmanager
def _canary(library: Library, request: LoadRequest, pid: int) -> Generator[Callable[[], bytes]]:
    settings = pack_settings(request, has_data_ready=False, canary_pid=pid)
    handle = _open_object(library, "canary", settings)
    try:
        _load_object(library, handle, "canary")
        maps = dict(library.children(handle, "map"))
        result = library.call("bpf_map__fd", maps["canary_result"])
        _, program = next(library.children(handle, "program"))
        link = library.call("bpf_program__attach", program)
        try:
            yield lambda: syscalls.map_lookup(result, struct.pack("=I", 0), canary.RESULT_BYTES)
        finally:
            library.call("bpf_link__destroy", link)
    finally:
        library.call("bpf_object__close", handle)
