# SPDX-License-Identifier: MIT
"""Which CPUs run the kernel's deferred work that is bound to none?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from resonance_tuning.knob import FileKnob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces.cpumask import format_mask, possible_cpus, wanted_cpus

__all__ = ["WorkqueueAffinity"]


class WorkqueueAffinity(FileKnob):
    """The CPUs of unbound workqueues; work of one CPU stays there.

    What was asked for is read and put back, not what came of it: the kernel takes the CPUs of
    isolated partitions away from it, and gives them back by itself.
    """

    name: ClassVar[str] = "workqueue_affinity"
    summary: ClassVar[str] = (
        "The CPUs that run the kernel's own deferred work (write-back, device setup, ...), kept "
        "off those of latency-critical work."
    )
    scope: ClassVar[TargetKind] = "host"
    rung: ClassVar[int] = 3

    def unavailable(self, target: Target) -> str:
        """Return why this kernel has no such mask."""
        return "" if self.path(target).exists() else "this kernel has no mask of unbound work"

    def parse(self, value: object) -> str:
        """Return the CPUs as the kernel's mask."""
        return format_mask(wanted_cpus(self.host, value), possible_cpus(self.host))

    def path(self, target: Target) -> Path:
        """Return the file that is written."""
        del target
        return self.host.path("/sys/devices/virtual/workqueue/cpumask")

    def read(self, target: Target) -> State:
        """Return what was asked for; before Linux 6.7 there is only one mask."""
        requested = self.path(target).with_name("cpumask_requested")
        return State(self.host.read(requested)) if requested.exists() else super().read(target)
