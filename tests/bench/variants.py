# SPDX-License-Identifier: MIT
"""What is compared at a tracepoint: nothing, an empty program, ours, and the classic tool."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import kernel
from kernel import Program
from resonance_bpf import loader, syscalls
from resonance_bpf.catalogue import MAPS, PROGRAMS
from resonance_bpf.errors import ProbeError
from resonance_bpf.hierarchy import find_hierarchy, path_of_task
from resonance_bpf.libbpf import open_library
from resonance_bpf.report import LoadReport, LoadRequest
from resonance_bpf.slot_table import SlotTable
from resonanced.keeper import possible_cpus

_EMPTY: Final = Path(__file__).with_name("programs") / "empty.bpf.c"
_RUNQLAT_PROGRAMS: Final = 3
_RUNQLAT_START_SECONDS: Final = 20.0
_SLOT: Final = 1


@contextmanager
def nothing() -> Iterator[Sequence[int]]:
    """Attach nothing."""
    yield []


def load_empty() -> dict[str, Program]:
    """Compile and load the empty programs; return them by name."""
    library = open_library()
    with tempfile.TemporaryDirectory(prefix="resonance-bench-") as directory:
        path = f"{directory}/empty.bpf.o"
        include = f"-I/usr/include/{platform.machine()}-linux-gnu"
        command = ["clang", "-g", "-O2", "-target", "bpf", include, "-c", str(_EMPTY), "-o", path]
        subprocess.run(command, check=True)
        handle = library.call("bpf_object__open_file", path.encode(), None)
    library.call("bpf_object__load", handle)
    return {
        name: Program(library.call("bpf_program__fd", program))
        for name, program in library.children(handle, "program")
    }


@dataclass(frozen=True, slots=True)
class Backend:
    """One of our backends, loaded as the service loads it, then detached.

    Attributes
    ----------
    programs : dict of str to Program
        By name of the catalogue.
    maps : dict of str to int
        Descriptors by name of the catalogue.
    """

    report: LoadReport
    programs: dict[str, Program]
    maps: dict[str, int]
    table: SlotTable
    own_cgroup_id: int

    @contextmanager
    def attached(self, family: str, *, has_slot: bool = True) -> Iterator[Sequence[int]]:
        """Attach a family; the cgroup of this bench has a slot of its own, or has none."""
        if has_slot:
            self.table.assign(_SLOT, self.own_cgroup_id)
        else:
            self.table.release(self.own_cgroup_id)
        names = [each.name for each in PROGRAMS if each.family == family]
        chosen = [self.programs[name] for name in names if name in self.programs]
        with kernel.attached(chosen) as descriptors:
            yield descriptors


def load_backends(
    name: Literal["core", "bcc"], bpffs: Path, count: int
) -> tuple[list[Backend], str]:
    """Load a backend some times through the shipped loader; say why not, where it cannot be."""
    loaded: list[Backend] = []
    for number in range(count):
        backend = _load_backend(name, bpffs / f"{name}-{number}")
        if isinstance(backend, str):
            return [], backend
        loaded.append(backend)
    return loaded, ""


def _load_backend(name: Literal["core", "bcc"], directory: Path) -> Backend | str:
    directory.mkdir()
    request = _request(directory)
    try:
        report = loader.choose(name, request)
    except ProbeError as error:
        return str(error)
    for link in directory.glob("link_*"):
        link.unlink()
    if report.loader_pid:
        return f"tier {report.tier} cannot be attached and detached at will"
    programs = {
        program.name: Program(
            syscalls.object_get(str(directory / f"prog_{program.name}")),
            program.tracepoint if name == "bcc" else "",
        )
        for program in PROGRAMS
        if (directory / f"prog_{program.name}").exists()
    }
    maps = {each: syscalls.object_get(str(directory / f"map_{each}")) for each in MAPS}
    table = SlotTable(maps["cgroup_slots"])
    return Backend(report, programs, maps, table, request.own_cgroup_id)


def _request(directory: Path) -> LoadRequest:
    hierarchy = find_hierarchy()
    path = path_of_task(Path("/proc/self"), hierarchy)
    own = hierarchy.directory(path).stat().st_ino if path else hierarchy.root_cgroup_id
    return LoadRequest(
        directory=str(directory),
        possible_cpus=possible_cpus(),
        hierarchy=hierarchy.name,
        root_cgroup_id=hierarchy.root_cgroup_id,
        own_cgroup_id=own,
    )


@contextmanager
def runqlat() -> Iterator[Sequence[int]]:
    """Run the distribution's libbpf-tools runqlat; its program of sched_switch comes first."""
    tool = subprocess.Popen(["runqlat", "3600", "1"], stdout=subprocess.DEVNULL)
    descriptors: list[int] = []
    try:
        descriptors = _attached_by(tool)
        yield descriptors
    finally:
        tool.kill()
        tool.wait()
        for descriptor in descriptors:
            os.close(descriptor)


def _attached_by(tool: subprocess.Popen[bytes]) -> list[int]:
    """Wait until runqlat has attached its programs, and open them, last loaded first."""
    deadline = time.monotonic() + _RUNQLAT_START_SECONDS
    while time.monotonic() < deadline and tool.poll() is None:
        linked = _linked_programs(tool.pid)
        if len(linked) == _RUNQLAT_PROGRAMS:
            return [kernel.program_by_id(identifier) for identifier in linked]
        time.sleep(0.02)
    raise RuntimeError("runqlat did not start; install libbpf-tools, and run as root")


def _linked_programs(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = path.read_text()
        except OSError:
            continue  # closed between the two calls
        match = re.search(r"^prog_id:\s*(\d+)", text, re.MULTILINE)
        if "link_type:" in text and match:
            found.append(int(match[1]))
    return sorted(found, reverse=True)
