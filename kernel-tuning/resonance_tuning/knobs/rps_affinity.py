# SPDX-License-Identifier: MIT
"""Which CPUs process what a network device receives? ``rps_cpus`` of each receive queue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from resonance_tuning.host import parse_cpus
from resonance_tuning.knob import FileKnob
from resonance_tuning.records import Target, TargetKind
from resonance_tuning.surfaces.cpumask import format_mask, parse_mask, possible_cpus, wanted_cpus

__all__ = ["RpsAffinity"]


class RpsAffinity(FileKnob):
    """The CPUs a receive queue spreads its packets over; none means where its interrupt was.

    A target is one queue, as ``eth0/rx-0``: each is put back for itself.
    """

    name: ClassVar[str] = "rps_affinity"
    summary: ClassVar[str] = (
        "The CPUs that process the packets of a receive queue after its interrupt, kept off "
        "those of latency-critical work; an empty list switches spreading off."
    )
    scope: ClassVar[TargetKind] = "device"
    rung: ClassVar[int] = 3
    capabilities: ClassVar[frozenset[str]] = frozenset({"CAP_NET_ADMIN"})

    def targets(self, matched: Iterable[Target]) -> list[Target]:
        """Return the receive queues of the devices."""
        return [
            Target("device", f"{device.name}/{queue.name}")
            for device in super().targets(matched)
            for queue in sorted(self._queues(device.name).glob("rx-*"))
        ]

    def unavailable(self, target: Target) -> str:
        """Return why the queue has no such file."""
        return "" if self.path(target).exists() else "this kernel spreads no packets (CONFIG_RPS)"

    def parse(self, value: object) -> str:
        """Return the CPUs as the kernel's mask; an empty list is a mask too."""
        cpus = wanted_cpus(self.host, value) if value != "" else frozenset[int]()
        return format_mask(cpus, possible_cpus(self.host))

    def canonical(self, target: Target, value: str) -> str:
        """Return the mask without the CPUs that were isolated at boot: the kernel omits them."""
        del target
        isolated = self.host.path("/sys/devices/system/cpu/isolated")
        omitted = parse_cpus(self.host.read(isolated)) if isolated.exists() else frozenset[int]()
        return format_mask(parse_mask(value) - omitted, possible_cpus(self.host))

    def path(self, target: Target) -> Path:
        """Return the queue's file."""
        device, _, queue = target.name.partition("/")
        return self._queues(device) / queue / "rps_cpus"

    def _queues(self, device: str) -> Path:
        return self.host.path(f"/sys/class/net/{device}/queues")
