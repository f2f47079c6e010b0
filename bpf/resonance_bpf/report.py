# SPDX-License-Identifier: MIT
"""What a loader was asked, and what it answers: the records that cross its process border."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "BackendName",
    "CanaryResult",
    "Hierarchy",
    "LoadReport",
    "LoadRequest",
    "ProgramReport",
    "Rejection",
    "Tier",
]

BackendName = Literal["core", "bcc", "none"]
Tier = Literal["core", "bcc", "bcc-tracefs", "procfs"]
"""core: CO-RE tp_btf; bcc: raw tracepoints; bcc-tracefs: tracepoint probes; procfs: no BPF."""
Hierarchy = Literal["v2", "v1-cpu"]


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to load one backend.

    Attributes
    ----------
    directory : str
        Directory on a BPF file system where this generation is pinned; exists, empty.
    possible_cpus : int
        Possible CPUs; sizes every per-CPU map.
    hierarchy : {"v2", "v1-cpu"}
        The cgroup hierarchy that attributes work.
    root_cgroup_id : int
        Inode of that hierarchy's root; what a task in no group is counted as.
    own_cgroup_id : int
        Inode of the loader's own cgroup there, which the canary must read; 0 if not known.
    """

    directory: str
    possible_cpus: int
    hierarchy: Hierarchy
    root_cgroup_id: int
    own_cgroup_id: int = 0


class ProgramReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one program of the catalogue is attached, and if not, why."""

    name: str
    attached: bool
    reason: str = ""


class CanaryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the canary compared: our reading of one known task against the kernel's own account."""

    switches_seen: int
    switches_expected: int
    wait_seen_ns: int
    wait_expected_ns: int


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that was tried and not taken."""

    backend: str
    reason: str


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The backend in force, said aloud: printed, logged and exported as metrics."""

    backend: BackendName
    tier: Tier
    hierarchy: Hierarchy
    directory: str = ""
    programs: tuple[ProgramReport, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    map_bytes: dict[str, int] = {}
    canary: CanaryResult | None = None
    loader_pid: int = 0
    """Set when the loader must stay (tracepoint probes of bcc cannot be pinned)."""
    load_seconds: float = 0.0
