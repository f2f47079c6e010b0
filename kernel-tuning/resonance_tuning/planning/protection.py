# SPDX-License-Identifier: MIT
"""Who is never tuned, and on which hosts nothing is?

Whatever a configuration names: the root group, our own group, the first process, remote access,
container runtimes and what they run. A mistake there locks the operator out, or is taken back
by somebody with more right to it.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from resonance_tuning import capabilities
from resonance_tuning.host import Host
from resonance_tuning.planning.matching import Inventory, is_within
from resonance_tuning.planning.processes import are_hidden
from resonance_tuning.records import Target

__all__ = ["Protection", "container_reason", "throttling"]

_NAMES: Final = (
    "sshd",
    "sshd-session",
    "containerd",
    "containerd-shim-runc-v2",
    "dockerd",
    "crio",
    "conmon",
    "runc",
    "crun",
    "podman",
    "kubelet",
)
_KEPT: Final = tuple(name[:15] for name in _NAMES)  # the kernel keeps 15 characters
_RUNTIME_GROUPS: Final = (
    "kubepods*",
    "*-kubepods*.slice",  # a kubelet with --cgroup-root
    "docker",
    "docker-*.scope",
    "crio-*",
    "cri-containerd-*",
    "libpod*",
)
_HIDDEN: Final = (
    "/proc hides the processes of others (hidepid), so who must not be tuned cannot be told: give "
    "the service CAP_SYS_PTRACE"
)
_INITIAL: Final = {"pid": "pid:[4026531836]", "cgroup": "cgroup:[4026531835]"}
"""The host's own namespaces: PROC_*_INIT_INO, include/linux/proc_ns.h."""


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A process that is never tuned, who it is for people, and its cgroups."""

    pid: int
    who: str
    cgroups: frozenset[str]


class Protection:
    """Tells of each target whether it may be tuned.

    Parameters
    ----------
    inventory : Inventory
    own_pid : int
        A process of the service; its group and its ancestors are the service's.
    """

    def __init__(self, inventory: Inventory, own_pid: int) -> None:
        self._processes = inventory.processes
        self._own_pid = own_pid

    def refusal(self, target: Target) -> str:
        """Return why a cgroup or process is never tuned, or nothing."""
        if target.kind == "cgroup":
            return self._refusal_of_cgroup(target.name)
        if target.kind == "process":
            return self._refusal_of_process(int(target.name))
        return ""

    def _refusal_of_cgroup(self, path: str) -> str:
        if path == "/":
            return "the root group holds everybody"
        if _is_of_a_runtime(path):
            return "it belongs to a container runtime, which would write over it"
        holder = next((one for one in self._guarded if _holds(path, one)), None)
        return f"it holds {holder.who}" if holder else ""

    def _refusal_of_process(self, pid: int) -> str:
        process = self._processes.all.get(pid)
        if process and process.is_kernel_thread:
            return "it is a thread of the kernel"
        who = next((one.who for one in self._guarded if one.pid == pid), "")
        if who:
            return f"it is {who}"
        if any(_is_of_a_runtime(path) for path in self._processes.cgroups(pid)):
            return "it runs in a container, which belongs to a container runtime"
        return ""

    @cached_property
    def _guarded(self) -> list[_Guarded]:
        return list(self._find_guarded())

    def _find_guarded(self) -> Iterator[_Guarded]:
        own = self._processes.ancestors(self._own_pid) | {self._own_pid}
        for pid in sorted(own - {1}):
            who = f"this process or one that started it (pid {pid})"
            yield _Guarded(pid, who, self._processes.cgroups(pid))
        yield _Guarded(1, "the first process (pid 1)", self._processes.cgroups(1))
        for process in self._processes.called("resonanced", *_NAMES, *_KEPT):
            who = f"{process.command or process.name} (pid {process.pid})"
            yield _Guarded(process.pid, who, self._processes.cgroups(process.pid))


def _holds(path: str, guarded: _Guarded) -> bool:
    return any(is_within(cgroup, path) for cgroup in guarded.cgroups)


def _is_of_a_runtime(path: str) -> bool:
    return any(
        fnmatch.fnmatchcase(part, pattern)
        for part in path.split("/")
        for pattern in _RUNTIME_GROUPS
    )


def container_reason(host: Host) -> str:
    """Return why nothing on this host may be tuned, or nothing.

    The namespaces decide, and not files as ``/.dockerenv``, which stay behind when an image is
    booted as a machine of its own.
    """
    for name, initial in _INITIAL.items():
        try:
            found = os.readlink(host.path(f"/proc/self/ns/{name}"))
        except OSError:
            continue
        if found != initial:
            return f"in a container: its {name} namespace is not the host's, so nothing is tuned"
    mounts = [mount for mount in host.cgroup_mounts if "cpu" in mount.controllers]
    for mount in mounts or [mount for mount in host.cgroup_mounts if mount.version == 2]:
        if os.statvfs(mount.directory).f_flag & os.ST_RDONLY:
            return f"{mount.directory} is mounted read-only, as in a container"
    return _HIDDEN if are_hidden(host) and not _may_trace(host) else ""


def _may_trace(host: Host) -> bool:
    status = host.path("/proc/self/status")
    return "CAP_SYS_PTRACE" in capabilities.current(status).get("CapEff", frozenset())


def throttling(host: Host, cgroup: str) -> str:
    """Return how a CPU quota on a cgroup, or on one above it, has held it back, or nothing."""
    mount = host.controller("cpu")
    if not mount:
        return ""
    path = PurePosixPath(cgroup)
    for above in (path, *path.parents[:-1]):
        directory = mount.directory / str(above).lstrip("/")
        quota, count = _quota(host, directory, mount.version), _throttled(host, directory)
        if quota and count:
            return (
                f"the CPU quota of {above} ({quota}) has held it back {count} times: "
                "raise or remove the quota first"
            )
    return ""


def _quota(host: Host, directory: Path, version: int) -> str:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version == 1 else ("cpu.max",)
    text = " ".join(_text(host, directory / name) for name in names)
    quota, _, period = text.partition(" ")
    return "" if quota in {"", "-1", "max"} else f"{quota} of {period} µs"


def _throttled(host: Host, directory: Path) -> int:
    lines = (line.split() for line in _text(host, directory / "cpu.stat").splitlines())
    return next((int(count) for name, count in lines if name == "nr_throttled"), 0)


def _text(host: Host, path: Path) -> str:
    try:
        return host.read(path)
    except OSError:
        return ""
