# SPDX-License-Identifier: MIT
"""Is a group throttled though it is alone? ``cpu.cfs_quota_us`` of v1, ``cpu.max`` of v2.

A quota on a latency-critical group makes its tail whatever else is tuned, so it is looked for
and reported. It is never written: who set it had a reason, and money may hang on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.knob import CgroupFileKnob
from resonance_tuning.records import State, Target

__all__ = ["CpuBandwidth"]


class CpuBandwidth(CgroupFileKnob):
    """The quota of a group and of those above it, read and reported.

    A profile may ask for ``"max"``, no quota. A group that has none is as asked for, so that
    nothing is to be done; on one that has, or that stands below one, it is unavailable.
    """

    name: ClassVar[str] = "cpu_bandwidth"
    summary: ClassVar[str] = (
        "No quota on the group or above it; read only: a group that is throttled is reported, "
        "with how often, and the quota is left to who set it."
    )
    rung: ClassVar[int] = 1
    controller: ClassVar[str] = "cpu"
    v1_file: ClassVar[str] = "cpu.cfs_quota_us"
    v2_file: ClassVar[str] = "cpu.max"

    def unavailable(self, target: Target) -> str:
        """Return who limits this group, how much, and how often it was throttled."""
        if reason := super().unavailable(target):
            return reason
        reasons = [self._limit(directory) for directory in self._upwards(target)]
        return "; ".join(filter(None, reasons))

    def parse(self, value: object) -> str:
        """Return "max", the only value there is to ask for."""
        if value != "max":
            raise ValueError(f'a quota is never set; ask for "max", not {value!r}')
        return "max"

    def canonical(self, target: Target, value: str) -> str:
        """Return what a group without quota reads now, with whatever period it has."""
        found = self.read(target).value
        return found if self._is_unlimited(found) else value

    def write(self, target: Target, value: str) -> None:
        """Refuse: a quota is never written."""
        del value
        raise KnobUnavailableError(self.name, f"the quota of {target.name} is never written")

    def restore(self, target: Target, prior: State) -> None:
        """Do nothing: it was never written."""

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return nothing: there is nothing to undo."""
        del target, prior
        return ()

    def _upwards(self, target: Target) -> Iterator[Path]:
        directory = self.directory(target)
        mount = self.host.controller(self.controller)
        while mount and directory.is_relative_to(mount.directory):
            yield directory
            directory = directory.parent

    def _limit(self, directory: Path) -> str:
        path = directory / (self.v1_file if self.version() == 1 else self.v2_file)
        try:
            found = self.host.read(path)
        except FileNotFoundError:
            return ""  # v2's root has none
        if self._is_unlimited(found):
            return ""
        return (
            f"{directory} is limited by a quota ({path.name} {found}) and was throttled in "
            f"{self._throttled(directory)}: lift the quota, its tail is the quota's"
        )

    def _throttled(self, directory: Path) -> str:
        stat = dict(
            line.split(" ", 1) for line in self.host.read(directory / "cpu.stat").splitlines()
        )
        throttled, periods = stat.get("nr_throttled", "0"), stat.get("nr_periods", "0")
        return f"{throttled} of {periods} periods (nr_throttled)"

    def _is_unlimited(self, text: str) -> bool:
        return text.partition(" ")[0] in {"-1", "max"}
