# SPDX-License-Identifier: MIT
"""How the kernel answers writes to the files of cpu and cpuset, for trees of plain files.

`tests/privileged/tuning/test_cgroup_model.py` asks the real kernel the same questions.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from resonance_tuning.host import Host, format_cpus, parse_cpus

DEFAULTS_V1: dict[str, dict[str, str]] = {
    "cpu": {
        "cpu.shares": "1024\n",
        "cpu.idle": "0\n",
        "cpu.cfs_quota_us": "-1\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
        "tasks": "",
    },
    "cpuset": {
        "cpuset.cpus": "\n",
        "cpuset.mems": "\n",
        "cpuset.effective_cpus": "\n",
        "cpuset.cpu_exclusive": "0\n",
        "cpuset.sched_load_balance": "1\n",
        "tasks": "",
    },
    "systemd": {"tasks": ""},
}
DEFAULTS_V2: dict[str, str] = {
    "cgroup.threads": "",
    "cgroup.subtree_control": "cpuset cpu io memory pids\n",
    "cgroup.type": "domain\n",
    "cpu.weight": "100\n",
    "cpu.idle": "0\n",
    "cpu.max": "max 100000\n",
    "cpu.stat": "usage_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "cpuset.cpus": "\n",
    "cpuset.mems": "\n",
    "cpuset.cpus.effective": "\n",
    "cpuset.cpus.partition": "member\n",
}


class Group:
    """One cgroup's directory in one hierarchy."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.directory = directory

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def get(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8").strip()

    def put(self, name: str, text: str) -> None:
        (self.directory / name).write_text(f"{text}\n", encoding="utf-8")

    def cpus(self, name: str) -> frozenset[int]:
        return parse_cpus(self.get(name))

    @property
    def parent(self) -> Group | None:
        above = Group(self.host, self.directory.parent)
        return above if above.has("cgroup.procs") else None

    @property
    def children(self) -> Iterator[Group]:
        for path in sorted(self.directory.iterdir()):
            if path.is_dir():
                yield Group(self.host, path)


def _refuse(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _refuse(errno.EINVAL) from None


def _list(group: Group, text: str) -> frozenset[int]:
    possible = parse_cpus(group.host.read(group.host.path("/sys/devices/system/cpu/possible")))
    try:
        cpus = parse_cpus(text)
    except ValueError:
        raise _refuse(errno.EINVAL) from None
    if not cpus <= possible:
        raise _refuse(errno.ERANGE)
    return cpus


def _shares(group: Group, text: str) -> None:
    number = _number(text)
    if not group.parent or group.get("cpu.idle") == "1":
        raise _refuse(errno.EINVAL)
    group.put("cpu.shares", str(min(max(number, 2), 262144)))


def _weight(group: Group, text: str) -> None:
    number = _number(text)
    if not 1 <= number <= 10000:
        raise _refuse(errno.ERANGE)
    if group.get("cpu.idle") == "1":
        raise _refuse(errno.EINVAL)
    group.put("cpu.weight", str(number))


def _idle(group: Group, text: str) -> None:
    if not group.parent or _number(text) not in {0, 1}:
        raise _refuse(errno.EINVAL)
    if group.get("cpu.idle") == text:
        return
    group.put("cpu.idle", text)
    name, idle, default = (
        ("cpu.shares", "3", "1024") if group.has("cpu.shares") else ("cpu.weight", "0", "100")
    )
    group.put(name, idle if text == "1" else default)


def _cpus(group: Group, text: str) -> None:
    cpus = _list(group, text)
    if not group.has("cpuset.cpus.partition"):
        _cpus_v1(group, cpus)
    elif not cpus and group.get("cpuset.cpus") and _is_populated(group):
        raise _refuse(errno.ENOSPC)
    group.put("cpuset.cpus", format_cpus(cpus))
    if group.has("cpuset.cpus.partition"):
        _recompute(group)
    else:
        group.put("cpuset.effective_cpus", format_cpus(cpus))


def _is_populated(group: Group) -> bool:
    return bool(group.get("cgroup.procs")) or any(map(_is_populated, group.children))


def _cpus_v1(group: Group, cpus: frozenset[int]) -> None:
    if not cpus <= group.host.online_cpus():
        raise _refuse(errno.EINVAL)
    if not cpus and group.get("tasks"):
        raise _refuse(errno.ENOSPC)
    if any(not child.cpus("cpuset.cpus") <= cpus for child in group.children):
        raise _refuse(errno.EBUSY)
    if not group.parent or not cpus <= group.parent.cpus("cpuset.cpus"):
        raise _refuse(errno.EACCES)
    for sibling in group.parent.children:
        flags = {sibling.get("cpuset.cpu_exclusive"), group.get("cpuset.cpu_exclusive")}
        is_shared = sibling.directory != group.directory and sibling.cpus("cpuset.cpus") & cpus
        if is_shared and "1" in flags:
            raise _refuse(errno.EINVAL)


def _mems(group: Group, text: str) -> None:
    if text not in {"", "0"}:
        raise _refuse(errno.EINVAL)
    if group.has("tasks") and not text and group.get("tasks"):
        raise _refuse(errno.ENOSPC)
    group.put("cpuset.mems", text)


def _recompute(group: Group) -> None:
    """Bring the effective CPUs of a v2 cgroup and of all below it up to date."""
    above = group.parent
    offered = above.cpus("cpuset.cpus.effective") if above else group.host.online_cpus()
    asked = group.cpus("cpuset.cpus")
    group.put("cpuset.cpus.effective", format_cpus(asked & offered or offered))
    for child in group.children:
        _recompute(child)


def _partition(group: Group, text: str) -> None:
    if text not in {"member", "root", "isolated"} or not group.parent:
        raise _refuse(errno.EINVAL)
    reason = "" if text == "member" else _why_invalid(group, group.parent)
    group.put("cpuset.cpus.partition", f"{text} invalid ({reason})" if reason else text)


def _why_invalid(group: Group, parent: Group) -> str:
    if parent.parent and parent.get("cpuset.cpus.partition") == "member":
        return "Parent is not a partition root"
    cpus = group.cpus("cpuset.cpus")
    if not cpus:
        return "cpuset.cpus and cpuset.cpus.exclusive are empty"
    for sibling in parent.children:
        if sibling.directory != group.directory and sibling.cpus("cpuset.cpus") & cpus:
            return "Cpu list in cpuset.cpus not exclusive"
    return ""


def _cpu_exclusive(group: Group, text: str) -> None:
    if text not in {"0", "1"}:
        raise _refuse(errno.EINVAL)
    if text == "1" and group.parent and group.parent.get("cpuset.cpu_exclusive") == "0":
        raise _refuse(errno.EACCES)
    group.put("cpuset.cpu_exclusive", text)


RULES: dict[str, Callable[[Group, str], None]] = {
    "cpu.shares": _shares,
    "cpu.weight": _weight,
    "cpu.idle": _idle,
    "cpuset.cpus": _cpus,
    "cpuset.mems": _mems,
    "cpuset.cpus.partition": _partition,
    "cpuset.cpu_exclusive": _cpu_exclusive,
}
