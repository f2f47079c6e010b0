# SPDX-License-Identifier: MIT
"""Who else turns the same knobs on this host?

Two hands on one knob undo each other for ever, and the machine's owner chose the other one
first: what it turns is left to it, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance_tuning.host import Host
from resonance_tuning.planning.processes import ProcessTable

__all__ = ["OtherTuner", "detect", "extensible_scheduler", "likely_writer"]

_SYSCTLS: Final = "namespace"
"""Stands for all knobs whose scope is a network namespace: sysctls."""

_KNOWN: Final = (
    (
        "tuned",
        "TuneD",
        {"cpu_dma_latency", "irq_affinity", "nice", "realtime", "workqueue_affinity", _SYSCTLS},
        "stop it, or switch it off with `tuned-adm off`",
    ),
    (
        "bpftune",
        "bpftune",
        {"congestion_control", "route_congestion", _SYSCTLS},
        "stop it, or leave congestion control to it",
    ),
    (
        "irqbalance",
        "irqbalance",
        {"irq_affinity"},
        "keep it off the CPUs that are set apart with IRQBALANCE_BANNED_CPULIST",
    ),
    (
        "kubelet",
        "kubelet",
        {"cpuset", "cpuset_partition", "unit_allowed_cpus"},
        "its CPU manager gives out CPUs: ask for them with a Guaranteed pod",
    ),
)
_EXTENSIBLE: Final = frozenset(
    {
        "autogroup",
        "cpu_idle",
        "cpu_weight",
        "cpuset",
        "cpuset_partition",
        "nice",
        "realtime",
        "task_idle",
        "unit_allowed_cpus",
        "unit_cpu_weight",
    }
)


@dataclass(frozen=True, slots=True)
class OtherTuner:
    """Somebody else who turns knobs.

    Attributes
    ----------
    name : str
    pid : int or None
        None for what runs in the kernel.
    knobs : frozenset of str
        What is left to it.
    advice : str
        What the operator can do.
    """

    name: str
    pid: int | None
    knobs: frozenset[str]
    advice: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else self.name


def detect(
    host: Host, processes: ProcessTable, sysctl_knobs: Collection[str]
) -> tuple[OtherTuner, ...]:
    """Return who else tunes this host; only looks.

    Parameters
    ----------
    sysctl_knobs : collection of str
        Names of the knobs that are sysctls.
    """
    found = [
        OtherTuner(name, process.pid, _expand(knobs, sysctl_knobs), advice)
        for command, name, knobs, advice in _KNOWN
        for process in processes.called(command)[:1]
    ]
    scheduler = extensible_scheduler(host)
    if scheduler:
        advice = "a scheduler of its own may ignore weights and classes; stop it to tune the CPU"
        found.append(OtherTuner(f"sched_ext ({scheduler})", None, _EXTENSIBLE, advice))
    return tuple(found)


def likely_writer(host: Host, knob: str, sysctl_knobs: Collection[str]) -> str:
    """Return who of those that run now turns this knob, or nothing.

    The kernel does not say who wrote a file; this is who is known to.
    """
    others = detect(host, ProcessTable(host), sysctl_knobs)
    return next((str(other) for other in others if knob in other.knobs), "")


def _expand(knobs: set[str], sysctl_knobs: Collection[str]) -> frozenset[str]:
    return frozenset((knobs - {_SYSCTLS}) | (set(sysctl_knobs) if _SYSCTLS in knobs else set()))


def extensible_scheduler(host: Host) -> str:
    """Return the scheduler loaded from user space, or nothing."""
    directory = host.path("/sys/kernel/sched_ext")
    if _text(host, directory / "state") != "enabled":
        return ""
    return _text(host, directory / "root" / "ops") or "unnamed"


def _text(host: Host, path: Path) -> str:
    try:
        return host.read(path).strip()
    except FileNotFoundError:
        return ""
