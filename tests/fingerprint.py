# SPDX-License-Identifier: MIT
"""What did the privileged tests leave behind? Everything that we could change, before and after.

It asks the kernel itself and none of our own code, so a fault of ours cannot hide itself.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import bpf_objects
import netlink_dump

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
    "/proc/irq/default_smp_affinity",
    "/proc/irq/*/smp_affinity_list",
    "/sys/class/net/*/queues/rx-*/rps_*",
    "/sys/class/net/*/queues/tx-*/xps_*",
    "/sys/devices/system/cpu/online",
    "/sys/devices/virtual/workqueue/cpumask*",
    "/sys/devices/virtual/workqueue/*/cpumask",
    "/sys/devices/virtual/workqueue/*/nice",
    "/sys/kernel/sched_ext/state",
)
CGROUP_FILES = re.compile(
    r"cpu\.(shares|weight|weight\.nice|idle|cfs_.*|max|max\.burst|rt_.*|uclamp\..*)"
    r"|cpuset\.(?!memory_pressure).*|cgroup\.subtree_control"
)
MOUNTS = {"bpf", "cgroup", "cgroup2", "debugfs", "tracefs"}
CGROUPS = "/sys/fs/cgroup/"
TRANSIENT = ("BPF program ", "BPF link ", "process ", "thread ", "cgroup ", "/proc/irq/", CGROUPS)
"""What is somebody else's when it has gone meanwhile."""
BORN = ("thread ", "/proc/irq/", CGROUPS)
"""What is somebody else's when it has come meanwhile."""


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None  # a directory, write-only, or of a cgroup or process that has just gone


def _knobs() -> Iterator[tuple[str, str]]:
    for pattern in KNOBS:
        for path in Path("/").glob(pattern[1:]):
            if (text := _read(path)) is not None:
                yield str(path), text


def _cgroups() -> Iterator[tuple[str, str]]:
    for directory, _, names in os.walk(CGROUPS):
        for name in filter(CGROUP_FILES.fullmatch, names):
            path = Path(directory, name)
            if (text := _read(path)) is not None:
                yield str(path), text


def _threads() -> Iterator[tuple[str, str]]:
    """Give how each thread is scheduled and where it belongs, by number and start.

    A thread of a pool of the kernel's is moved and reniced by it: its pool, not it, has knobs.
    """
    for directory in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        stat, groups = _read(directory / "stat"), _read(directory / "cgroup")
        if not stat or groups is None or "(kworker/" in stat:
            continue
        # proc_pid_stat(5), from field 3 on: 19 nice, 22 start, 40 real-time priority, 41 policy.
        field = ["", "", "", *stat.rpartition(")")[2].split()]
        tid = int(directory.name)
        try:
            cpus = sorted(os.sched_getaffinity(tid))
        except OSError:
            continue
        session = _read(directory.parents[1] / "autogroup")
        state = {"nice": field[19], "priority": field[40], "policy": field[41], "cpus": cpus}
        yield f"thread {tid} since {field[22]}", f"{state} {session} {' '.join(groups.split())}"


def _services() -> Iterator[tuple[str, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = (_read(path) or "").split("\0")
        if any(word.endswith("/resonanced") or word == "resonance_tuning" for word in words[:4]):
            yield f"process {path.parent.name}", " ".join(words).strip()


def _objects() -> Iterator[tuple[str, str]]:
    for pattern in ("/sys/fs/bpf/*", "/run/resonance*", "/run/netns/*", "/sys/class/net/*"):
        for path in Path("/").glob(pattern[1:]):
            yield str(path), "exists"
    for path in Path(CGROUPS).glob("**/*resonance*/"):
        yield f"cgroup {path}", "exists"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split()
        if kind in MOUNTS:
            yield f"mount {point}", kind


def _latency_limit() -> Iterator[tuple[str, str]]:
    """Give what wakeup latency all requests together allow, in microseconds."""
    try:
        with Path("/dev/cpu_dma_latency").open("rb") as device:
            yield "/dev/cpu_dma_latency", str(int.from_bytes(device.read(4), "little"))
    except OSError:
        return


SOURCES: Iterable[Callable[[], Iterator[tuple[str, str]]]] = (
    _knobs,
    _cgroups,
    _threads,
    _services,
    _objects,
    _latency_limit,
    bpf_objects.programs,
    bpf_objects.cgroup_links,
    netlink_dump.routes,
    netlink_dump.queueing_disciplines,
)


def take() -> Fingerprint:
    """Return everything that we could change, as text."""
    return {what: value for source in SOURCES for what, value in source()}


def difference(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Return one line for each thing that was changed, left behind or removed.

    A host lives on meanwhile: programs, threads and cgroups that have gone were somebody else's,
    and of a new cgroup only its name can tell whether it is ours.
    """
    gone = {what for what in before.keys() - after.keys() if what.startswith(TRANSIENT)}
    theirs = {what for what in after.keys() - before.keys() if what.startswith(BORN)}
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
