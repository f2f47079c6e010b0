# SPDX-License-Identifier: MIT
"""What this kernel and host allow, and which tier that makes possible. Reads only."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from resonance_bpf import capabilities
from resonance_bpf.btf import Btf
from resonance_bpf.catalogue import PROGRAMS
from resonance_bpf.errors import ProbeError
from resonance_bpf.report import Tier

__all__ = ["Feature", "best_tier", "survey"]

_CORE: Final = frozenset[Tier]({"core"})
_BTF_TIERS: Final = frozenset[Tier]({"core", "bcc"})
_BCC_TIERS: Final = frozenset[Tier]({"bcc", "bcc-tracefs"})
_ALL_BPF: Final = _BTF_TIERS | _BCC_TIERS
_TIERS: Final[tuple[Tier, ...]] = ("core", "bcc", "bcc-tracefs")


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing a tier may need.

    Attributes
    ----------
    name : str
        In the kernel's or the package's own words.
    is_there : bool
    detail : str
        What was found; or what to do about it when it is missing.
    needed_by : frozenset of Tier
        Tiers that cannot do without; empty where it only adds something.
    """

    name: str
    is_there: bool
    detail: str
    needed_by: frozenset[Tier]


def survey(bpffs: Path = Path("/sys/fs/bpf")) -> list[Feature]:
    """Return what is there and what is not, in the order a person would ask."""
    return [
        _capabilities(),
        *_kernel_types(),
        _bpffs(bpffs),
        _tracefs(),
        _library(),
        _objects(),
        _bcc(),
        _file("/proc/self/schedstat", "run delays of tasks", "needs CONFIG_SCHED_INFO"),
        _file("/proc/pressure/cpu", "pressure of the node", "needs CONFIG_PSI"),
    ]


def best_tier(features: Iterable[Feature]) -> tuple[Tier, list[str]]:
    """Return the best tier that lacks nothing, and why each better one was passed over."""
    missing = [feature for feature in features if not feature.is_there]
    passed: list[str] = []
    for tier in _TIERS:
        lacks = [feature.name for feature in missing if tier in feature.needed_by]
        if not lacks:
            return tier, passed
        passed.append(f"{tier} lacks {', '.join(lacks)}")
    return "procfs", passed


def _capabilities() -> Feature:
    is_there = not capabilities.missing()
    detail = "effective" if is_there else "run as root, or grant both"
    return Feature("CAP_BPF and CAP_PERFMON", is_there, detail, _ALL_BPF)


def _kernel_types() -> list[Feature]:
    path = Path("/sys/kernel/btf/vmlinux")
    try:
        btf = Btf.from_file(path)
    except ProbeError as error:
        return [Feature("BTF", False, error.reason, _BTF_TIERS)]
    found = [Feature("BTF", True, str(path), _BTF_TIERS)]
    for program in PROGRAMS:
        is_there = btf.tracepoint(program.tracepoint) is not None
        needed = _BTF_TIERS if program.family == "runqueue" else frozenset[Tier]()
        detail = program.name if is_there else f"without {program.name}"
        found.append(Feature(f"tracepoint {program.tracepoint}", is_there, detail, needed))
    for member in ("task_struct.sched_info.last_queued", "cfs_rq.rq", "rq.clock"):
        is_there = btf.has_member(member)
        detail = "measured from" if is_there else "this kernel does not keep it"
        found.append(Feature(member, is_there, detail, _BTF_TIERS))
    return found


def _bpffs(directory: Path) -> Feature:
    mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    if any(line.split()[1:3] == [str(directory), "bpf"] for line in mounts):
        return Feature("bpffs", True, f"mounted at {directory}", frozenset())
    return Feature("bpffs", False, f"not at {directory}; a private one is mounted", frozenset())


def _tracefs() -> Feature:
    # Asked of the mounts: to look into it takes root.
    mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    is_there = any(line.split()[2] == "tracefs" for line in mounts)
    detail = "mounted" if is_there else "not mounted; a private one is, where needed"
    return Feature("tracefs", is_there, detail, frozenset())


def _library() -> Feature:
    # Loaded, not found: a cache may name a file that is gone. Debian's BCC stands on it too.
    try:
        ctypes.CDLL("libbpf.so.1")
    except OSError:
        return Feature("libbpf 1", False, "apt-get install libbpf1", _ALL_BPF)
    return Feature("libbpf 1", True, "libbpf.so.1", _ALL_BPF)


def _objects() -> Feature:
    directory = resources.files("resonance_bpf").joinpath("objects")
    names = ("runqueue", "socket", "socket_without_cast", "canary")
    is_there = all(directory.joinpath(f"{name}.bpf.o").is_file() for name in names)
    return Feature("CO-RE objects", is_there, "built" if is_there else "run: make bpf", _CORE)


def _bcc() -> Feature:
    # Found, not imported: importing the real one loads LLVM.
    found = importlib.util.find_spec("bcc")
    locations = list(found.submodule_search_locations or ()) if found else []
    is_real = any(Path(location, "libbcc.py").exists() for location in locations)
    if is_real:
        return Feature("bcc", True, locations[0], _BCC_TIERS)
    wrong = "another library of that name is installed; " if found else ""
    return Feature("bcc", False, f"{wrong}apt-get install python3-bpfcc", _BCC_TIERS)


def _file(path: str, gives: str, hint: str) -> Feature:
    is_there = os.access(path, os.R_OK)
    return Feature(path, is_there, gives if is_there else hint, frozenset())
