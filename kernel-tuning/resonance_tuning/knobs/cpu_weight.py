# SPDX-License-Identifier: MIT
"""How much of a contended CPU does a group get? ``cpu.shares`` of v1, ``cpu.weight`` of v2."""

from __future__ import annotations

from typing import ClassVar, Final

from resonance_tuning.knob import CgroupFileKnob
from resonance_tuning.records import Target

__all__ = ["CpuWeight"]

_WEIGHTS: Final = range(1, 10_001)
_DEFAULT_WEIGHT: Final = 100
_DEFAULT_SHARES: Final = 1024
_MIN_SHARES, _MAX_SHARES = 2, 262_144


class CpuWeight(CgroupFileKnob):
    """The weight of a group against its siblings; a profile says it as v2 does.

    While a group is idle (`CpuIdle`) the kernel has no weight of it to give and takes none
    (``EINVAL``), so that no group can have both.
    """

    name: ClassVar[str] = "cpu_weight"
    summary: ClassVar[str] = (
        "The group's share of a contended CPU against its siblings, 1..10000, 100 for an "
        "untouched one: a heavier group waits less, and nothing is lost while others sleep."
    )
    rung: ClassVar[int] = 2
    controller: ClassVar[str] = "cpu"
    v1_file: ClassVar[str] = "cpu.shares"
    v2_file: ClassVar[str] = "cpu.weight"

    def unavailable(self, target: Target) -> str:
        """Return why this group has no weight to set."""
        if reason := super().unavailable(target):
            return reason
        if not target.name.strip("/"):
            return "the root group has no siblings to be weighed against"
        has_idle_class = (self.directory(target) / "cpu.idle").exists()  # since 5.15
        if has_idle_class and self.read_file(target, "cpu.idle") == "1":
            return (
                f"{target.name} is idle (cpu.idle 1); the kernel takes no weight of an idle group"
            )
        return ""

    def parse(self, value: object) -> str:
        """Return a weight as the mounted version writes it.

        The kernel's own conversion, ``sched_weight_from_cgroup`` (kernel/sched/sched.h): v2
        keeps shares too, and reads each weight back exactly. Container runtimes convert
        otherwise (1 + (shares - 2) * 9999 / 262142), which would turn an untouched group's
        100 into 2597 shares instead of 1024.
        """
        if type(value) is not int or value not in _WEIGHTS:
            raise ValueError(f"a weight is a whole number of 1..10000, not {value!r}")
        if self.version() != 1:
            return str(value)
        return str((value * _DEFAULT_SHARES + _DEFAULT_WEIGHT // 2) // _DEFAULT_WEIGHT)

    def canonical(self, target: Target, value: str) -> str:
        """Return the number as it will be read: v1 clamps without a word."""
        del target
        number = int(value)
        if self.version() == 1:
            number = min(max(number, _MIN_SHARES), _MAX_SHARES)
        return str(number)
