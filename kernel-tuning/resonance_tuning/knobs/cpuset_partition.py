# SPDX-License-Identifier: MIT
"""Are a group's CPUs its own? ``cpuset.cpus.partition`` of v2, two flags in v1."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar, Final

from resonance_tuning.host import format_cpus, parse_cpus
from resonance_tuning.knob import CgroupFileKnob
from resonance_tuning.records import State, Target

__all__ = ["CpusetPartition"]

_EXCLUSIVE: Final = "cpuset.cpu_exclusive"
_BALANCE: Final = "cpuset.sched_load_balance"
# What v1 has for each state of v2, in the order it is written.
_FLAGS: Final = {
    "member": {_BALANCE: "1", _EXCLUSIVE: "0"},
    "root": {_EXCLUSIVE: "1", _BALANCE: "1"},
    "isolated": {_EXCLUSIVE: "1", _BALANCE: "0"},
}


class CpusetPartition(CgroupFileKnob):
    """The partition of a group: nobody else on its CPUs, and its own domain of balancing.

    v2 takes almost any write and answers in what is read: "isolated invalid (reason)". v1 has
    two flags with an effect only where no group above balances, the root group included, and
    that one is never changed.
    """

    name: ClassVar[str] = "cpuset_partition"
    summary: ClassVar[str] = (
        "Takes the group's CPUs away from everybody else: 'root' still balances among them, "
        "'isolated' leaves each thread where it was pinned."
    )
    rung: ClassVar[int] = 4
    controller: ClassVar[str] = "cpuset"
    v1_file: ClassVar[str] = _EXCLUSIVE
    v2_file: ClassVar[str] = "cpuset.cpus.partition"

    def unavailable(self, target: Target) -> str:
        """Return why this group cannot be a partition."""
        if reason := super().unavailable(target):
            return reason
        if not target.name.strip("/"):
            return "the root group is everybody's"
        if len(self.host.online_cpus()) < 2:
            return "there is one CPU online; nothing can be kept apart"
        return self._without_effect(target) if self.version() == 1 else self._parent(target)

    def parse(self, value: object) -> str:
        """Return member, root or isolated."""
        if value not in tuple(_FLAGS):
            raise ValueError(f"a partition is one of {', '.join(_FLAGS)}, not {value!r}")
        return str(value)

    def read(self, target: Target) -> State:
        """Return the state; in v1 the one its flags amount to, and the flags."""
        state = super().read(target)
        if self.version() != 1:
            return state
        flags = {name: self.read_file(target, name) for name in _FLAGS["member"]}
        if flags[_EXCLUSIVE] == "0":
            return State("member", flags)
        return State("root" if flags[_BALANCE] == "1" else "isolated", flags)

    def write(self, target: Target, value: str) -> None:
        """Write the state; in v1 its flags, those that differ."""
        if self.version() != 1:
            super().write(target, value)
            return
        self._put_flags(target, _FLAGS[value])

    def is_ours(self, target: Target, found: str, written: Collection[str]) -> bool:
        """Tell whether it is what was written, be it valid or made invalid by the kernel."""
        del target
        return found.partition(" ")[0] in written

    def restore(self, target: Target, prior: State) -> None:
        """Put the state back; one that was invalid is asked for again."""
        if self.version() != 1:
            super().write(target, prior.value.partition(" ")[0])
            return
        self._put_flags(target, prior.coupled)

    def contradiction(self, target: Target, value: str) -> str:
        """Return how the CPUs show that this is no such partition."""
        if self.version() == 1 or value == "member":
            return ""
        effective = self.read_file(target, "cpuset.cpus.effective")
        if not effective:
            return "the partition has no CPU"
        mount = self.host.controller(self.controller)
        isolated = mount.directory / "cpuset.cpus.isolated" if mount else None
        if value != "isolated" or not isolated or not isolated.exists():
            return ""  # kernels before 6.7 do not list them
        missing = parse_cpus(effective) - parse_cpus(self.host.read(isolated))
        return f"CPUs {format_cpus(missing)} are not isolated" if missing else ""

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the echoes."""
        directory = self.directory(target)
        files = prior.coupled or {self.v2_file: prior.value.partition(" ")[0]}
        return tuple(
            f"echo {text} > {shlex.quote(str(directory / name))}" for name, text in files.items()
        )

    def _put_flags(self, target: Target, flags: dict[str, str]) -> None:
        for name, text in flags.items():
            if self.read_file(target, name) != text:
                self.write_file(target, name, text)

    def _above(self, target: Target) -> Iterator[Path]:
        mount = self.host.controller(self.controller)
        directory = self.directory(target)
        while mount and directory != mount.directory:
            directory = directory.parent
            yield directory

    def _without_effect(self, target: Target) -> str:
        """Return which v1 group above makes the flags void."""
        for directory in self._above(target):
            if self.host.read(directory / _BALANCE) == "1":
                return (
                    f"cgroup v1, and {directory} balances over all its CPUs ({_BALANCE} 1): "
                    "a partition below it would have no effect"
                )
        if self.host.read(self.directory(target).parent / _EXCLUSIVE) == "0":
            return f"the group above {target.name} is not exclusive itself ({_EXCLUSIVE} 0)"
        return ""

    def _parent(self, target: Target) -> str:
        """Return why the v2 group above can give no CPUs away."""
        above = self.directory(target).parent / self.v2_file
        if not above.exists():
            return ""  # the root group has no such file, and is one
        state = self.host.read(above)
        if state in {"root", "isolated"}:
            return ""
        return f"the group above {target.name} is no partition itself, but {state}"
