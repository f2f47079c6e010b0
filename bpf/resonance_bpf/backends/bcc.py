# SPDX-License-Identifier: MIT
"""The same programs through BCC: raw tracepoints, or tracefs' tracepoints without BTF.

Runs in the short-lived loader, because the compiler costs a process 120 MB; what stays
behind is in the kernel, held by pins. This is the one file that imports bcc. BCC speaks in
bare exceptions and on standard error; both become one of our errors here, by stage.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from resonance_bpf import canary, capabilities, headers, pins, syscalls
from resonance_bpf.btf import KERNEL_BTF, Btf
from resonance_bpf.catalogue import MAPS, PROGRAMS, Program, bins_per_cpu, map_bytes
from resonance_bpf.errors import (
    ProbeError,
    ProbeRejectedError,
    ProbeUnsupportedError,
    ToolchainError,
)
from resonance_bpf.report import (
    CanaryResult,
    LoadReport,
    LoadRequest,
    ProgramReport,
    Rejection,
    Tier,
)
from resonance_bpf.tracefs import Tracefs, open_tracefs

__all__ = ["load"]

_PACKAGE_HINT: Final = (
    "install it with: apt-get install python3-bpfcc"
    " (the package named bcc on the Python index is an unrelated library)"
)
_CATEGORIES: Final[Mapping[str, str]] = {
    "runqueue_switch": "sched",
    "socket_srtt": "tcp",
    "socket_connect": "sock",
    "socket_ready": "sock",
    "socket_receive": "tcp",
    "socket_retransmit": "tcp",
}
"""tracefs files its events by category; raw tracepoints know none."""
_WAKEUP_HOOKS: Final[Mapping[str, str]] = {
    "runqueue_wakeup": "sched_wakeup",
    "runqueue_wakeup_new": "sched_wakeup_new",
}


def load(
    request: LoadRequest, *, btf_file: Path = KERNEL_BTF, header_directory: Path | None = None
) -> LoadReport:
    """Compile, ask the canary, attach, pin and freeze.

    Parameters
    ----------
    request : LoadRequest
        What to load, and where to pin it.
    btf_file : Path
        The kernel's types; where they cannot be had, tracefs' tracepoints are used.
    header_directory : Path, optional
        A header tree to compile against instead of one generated for this kernel.

    Returns
    -------
    LoadReport
        Where `LoadReport.loader_pid` is set, the caller must keep this process.

    Raises
    ------
    ToolchainError
        BCC is missing, is another library, or cannot compile the programs.
    ProbeUnsupportedError
        The kernel has neither BTF nor tracefs.
    ProbeRejectedError
        The kernel refused the run-queue program.
    CanaryError
        The programs load and read something untrue.
    """
    started = time.monotonic()
    bcc = _import_bcc()
    try:
        report = _load_raw(bcc, request, Btf.from_file(btf_file), header_directory)
    except ProbeUnsupportedError as error:
        rejection = Rejection(backend="bcc", reason=str(error))
        pins.clear(request.directory)
        report = _load_tracefs(bcc, request, rejection)
    return msgspec.structs.replace(report, load_seconds=time.monotonic() - started)


def _import_bcc() -> Any:
    try:
        import bcc  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ToolchainError("bcc", f"cannot be imported ({error})", _PACKAGE_HINT) from error
    except OSError as error:
        raise ToolchainError(
            "bcc", f"its library does not load ({error})", _PACKAGE_HINT
        ) from error
    if not (hasattr(bcc, "BPF") and hasattr(bcc, "lib")):
        raise ToolchainError(
            "bcc", f"{bcc.__file__ or 'a directory'} is another library of that name", _PACKAGE_HINT
        )
    return bcc


def _load_raw(bcc: Any, request: LoadRequest, btf: Btf, tree: Path | None) -> LoadReport:
    definitions = {"HAS_DATA_READY": btf.tracepoint("sk_data_ready") is not None}
    with tempfile.TemporaryDirectory(prefix="resonance-headers-") as own_tree:
        headers.write_tree(btf, request.hierarchy, Path(own_tree))
        main = ("bcc.h", "tables.bcc.c", "raw.bcc.c")
        module = _Module(bcc, request, tree or Path(own_tree), main, definitions)
    verdict = canary.check("bcc", module.canary, request.own_cgroup_id)
    module.pin_maps()
    programs = [
        _attempt(
            program,
            btf.tracepoint(program.tracepoint) is not None,
            partial(module.attach_raw, program.name, program.tracepoint),
        )
        for program in PROGRAMS
    ]
    return _report(request, "bcc", programs, verdict=verdict)


def _load_tracefs(bcc: Any, request: LoadRequest, rejection: Rejection) -> LoadReport:
    tracefs = open_tracefs()
    fields = {
        program.name: tracefs.fields(_CATEGORIES[program.name], program.tracepoint)
        for program in PROGRAMS
    }
    definitions = {f"HAS_{name.upper()}": bool(names) for name, names in fields.items()}
    definitions["HAS_PROBE_ADDRESS"] = "skaddr" in fields["socket_srtt"]
    with tempfile.TemporaryDirectory(prefix="resonance-headers-") as tree:
        headers.write_stubs(Path(tree))
        main = ("tracefs.h", "tables.bcc.c", "tracefs.bcc.c")
        module = _Module(bcc, request, Path(tree), main, definitions)
    module.pin_maps()
    attach = partial(module.attach_tracefs, tracefs)
    for name, event in _WAKEUP_HOOKS.items():
        attach(name, "sched", event)
    programs = [
        _attempt(
            program,
            bool(fields[program.name]),
            partial(attach, program.name, _CATEGORIES[program.name], program.tracepoint),
        )
        for program in PROGRAMS
    ]
    loader_pid = 0 if module.is_pinned else os.getpid()
    return _report(request, "bcc-tracefs", programs, rejected=(rejection,), loader_pid=loader_pid)


class _Module:
    """One compiled text: a prelude, the tables and a file of programs; and where it is pinned.

    Attributes
    ----------
    is_pinned : bool
        False once an attachment ends with this process.
    """

    def __init__(
        self,
        bcc: Any,
        request: LoadRequest,
        tree: Path,
        main: tuple[str, str, str],
        definitions: Mapping[str, bool],
    ) -> None:
        self.is_pinned = True
        self._bcc = bcc
        self._directory = request.directory
        sources = resources.files("resonance_bpf").joinpath("programs")
        prelude, *parts = main
        texts = [f'#include "{prelude}"', *(sources.joinpath(name).read_text() for name in parts)]
        settings = {
            "POSSIBLE_CPUS": request.possible_cpus,
            "BINS_PER_CPU": bins_per_cpu(request.possible_cpus),
            "IS_V1": int(request.hierarchy == "v1-cpu"),
            "ROOT_CGROUP_ID": f"{request.root_cgroup_id}ULL",
            **{name: int(value) for name, value in definitions.items()},
        }
        flags = [f"-I{sources}", *(f"-D{name}={value}" for name, value in settings.items())]
        # Where BCC looks for a kernel's headers; this process exists for this load alone.
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
        with _translated("compile", ToolchainError):
            self._compiled = bcc.BPF(text="\n".join(texts), cflags=flags)

    @contextmanager
    def canary(self, pid: int) -> Generator[Callable[[], bytes]]:
        """Attach the canary to one pid; see `canary.OpenCanary`."""
        self._compiled[b"canary_subject"][0] = ctypes.c_uint(pid)
        result: int = self._compiled[b"canary_result"].map_fd
        self._open_raw("canary_switch", "sched_switch")
        try:
            yield lambda: syscalls.map_lookup(result, bytes(4), canary.RESULT_BYTES)
        finally:
            self._compiled.detach_raw_tracepoint(tp=b"sched_switch")

    def attach_raw(self, name: str, tracepoint: str) -> None:
        """Attach a program to a raw tracepoint and pin both."""
        program = self._open_raw(name, tracepoint)
        self._pin(name, program, self._compiled.raw_tracepoint_fds[tracepoint.encode()])

    def attach_tracefs(self, tracefs: Tracefs, name: str, category: str, event: str) -> None:
        """Attach a program to a tracepoint and pin both; before Linux 5.15 nothing pins it."""
        program = self._load(name, self._bcc.BPF.TRACEPOINT)
        try:
            perf_event = syscalls.open_tracepoint(tracefs.event_id(category, event))
        except PermissionError as error:
            raise ProbeRejectedError(
                f"{category}:{event}",
                f"perf_event_open: {error.strerror}",
                "set kernel.perf_event_paranoid to 2 or less, or grant CAP_SYS_ADMIN",
            ) from error
        try:
            link = syscalls.link_perf_event(program, perf_event)
        except OSError:
            self.is_pinned = False
            with _translated("attach", ProbeRejectedError):
                tracepoint = f"{category}:{event}".encode()
                self._compiled.attach_tracepoint(tp=tracepoint, fn_name=name.encode())
        else:
            self._pin(name, program, link)
        finally:
            os.close(perf_event)

    def pin_maps(self) -> None:
        """Pin every map of the catalogue, and freeze those the daemon may only read."""
        for name, spec in MAPS.items():
            descriptor: int = self._compiled[name.encode()].map_fd
            syscalls.object_pin(descriptor, f"{self._directory}/map_{name}")
            if spec.is_output:
                syscalls.map_freeze(descriptor)

    def _open_raw(self, name: str, tracepoint: str) -> int:
        program = self._load(name, self._bcc.BPF.RAW_TRACEPOINT)
        with _translated("attach", ProbeRejectedError):
            self._compiled.attach_raw_tracepoint(tp=tracepoint.encode(), fn_name=name.encode())
        return program

    def _load(self, name: str, kind: int) -> int:
        with _translated("load", ProbeRejectedError):
            descriptor: int = self._compiled.load_func(name.encode(), kind).fd
        return descriptor

    def _pin(self, name: str, program: int, link: int) -> None:
        syscalls.object_pin(link, f"{self._directory}/link_{name}")
        syscalls.object_pin(program, f"{self._directory}/prog_{name}")


def _attempt(program: Program, exists: bool, attach: Callable[[], None]) -> ProgramReport:
    """Attach one program and say how it fared; only the run-queue program is worth failing for."""
    if not exists:
        reason = "the kernel has no such tracepoint"
        return ProgramReport(name=program.name, attached=False, reason=reason)
    try:
        attach()
    except ProbeRejectedError as error:
        if program.family == "runqueue":
            raise
        return ProgramReport(name=program.name, attached=False, reason=error.reason)
    return ProgramReport(name=program.name, attached=True)


def _report(
    request: LoadRequest,
    tier: Tier,
    programs: list[ProgramReport],
    *,
    verdict: CanaryResult | None = None,
    rejected: tuple[Rejection, ...] = (),
    loader_pid: int = 0,
) -> LoadReport:
    return LoadReport(
        backend="bcc",
        tier=tier,
        hierarchy=request.hierarchy,
        directory=request.directory,
        programs=tuple(programs),
        rejected=rejected,
        map_bytes={name: map_bytes(name, request.possible_cpus) for name in MAPS},
        canary=verdict,
        loader_pid=loader_pid,
    )


@contextmanager
def _translated(stage: str, error_type: type[ProbeError]) -> Generator[None]:
    """Turn BCC's bare exceptions, and what it prints, into one error."""
    with tempfile.TemporaryFile() as noise, _printing_to(noise.fileno()):
        try:
            yield
        except Exception as error:  # BCC raises Exception itself
            noise.seek(0)
            words = _telling(noise.read().decode(errors="replace")) or str(error)
            # Of the errno only its name is left, in what BCC printed.
            refusals = [each for each in capabilities.REFUSALS if os.strerror(each) in words]
            reason, hint = capabilities.explained(refusals[0] if refusals else None, words)
            raise error_type("bcc", f"{stage}: {reason}", hint) from error


@contextmanager
def _printing_to(descriptor: int) -> Generator[None]:
    """Send standard output and standard error elsewhere, also what C code prints."""
    saved = {stream: os.dup(stream) for stream in (1, 2)}
    _flush()
    for stream in saved:
        os.dup2(descriptor, stream)
    try:
        yield
    finally:
        _flush()
        for stream, original in saved.items():
            os.dup2(original, stream)
            os.close(original)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


def _telling(noise: str) -> str:
    """Return the first compiler errors, or the verifier's last words, in one line."""
    lines = [line.strip() for line in noise.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    last = [line for line in lines if not line.startswith("processed ")][-3:]
    return " | ".join(errors[:2] or last)
