# SPDX-License-Identifier: MIT
"""Does a group run only when nobody else wants the CPU? ``cpu.idle``, in v1 and v2."""

from __future__ import annotations

import shlex
from typing import ClassVar

from resonance_tuning.knob import CgroupFileKnob
from resonance_tuning.records import State, Target

__all__ = ["CpuIdle"]


class CpuIdle(CgroupFileKnob):
    """The idle class of a whole group, and with it the group's weight.

    The kernel keeps one number for both: on, the weight reads 3 (v2: 0) and cannot be written;
    off, it is 1024 (v2: 100), whatever it was before.
    """

    name: ClassVar[str] = "cpu_idle"
    summary: ClassVar[str] = (
        "The whole group runs in the idle class: it gives way to everybody at once, and still "
        "gets every cycle nobody else wants."
    )
    rung: ClassVar[int] = 1
    controller: ClassVar[str] = "cpu"
    v1_file: ClassVar[str] = "cpu.idle"
    v2_file: ClassVar[str] = "cpu.idle"

    def unavailable(self, target: Target) -> str:
        """Return why this group cannot be idle."""
        if reason := super().unavailable(target):
            return reason if target.name.strip("/") else _ROOT
        return "" if target.name.strip("/") else _ROOT

    def parse(self, value: object) -> str:
        """Return 0 or 1."""
        if not isinstance(value, int) or value not in {0, 1}:
            raise ValueError(f"idle is 1 or 0, not {value!r}")
        return str(int(value))

    def read(self, target: Target) -> State:
        """Return whether the group is idle, and the weight that would be lost."""
        return State(
            super().read(target).value, {self._weight: self.read_file(target, self._weight)}
        )

    def restore(self, target: Target, prior: State) -> None:
        """Put the class back, and the weight it had, unless that is somebody else's by now.

        A weight is ours to put back where the kernel has just reset it. Where the class is
        right already, a recovery may have been killed between the two writes: then the weight
        still is the kernel's default, and any other was written since.
        """
        weight = prior.coupled.get(self._weight, "")
        if super().read(target).value != prior.value:
            self.write(target, prior.value)
        elif self.read_file(target, self._weight) != self._default_weight:
            return
        if prior.value == "0" and weight and self.read_file(target, self._weight) != weight:
            self.write_file(target, self._weight, weight)

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the echoes, class first; an idle group's weight cannot be written."""
        first = super().commands(target, prior)
        if prior.value != "0":
            return first
        path = shlex.quote(str(self.directory(target) / self._weight))
        return (*first, *(f"echo {text} > {path}" for text in prior.coupled.values()))

    @property
    def _weight(self) -> str:
        return "cpu.shares" if self.version() == 1 else "cpu.weight"

    @property
    def _default_weight(self) -> str:
        return "1024" if self.version() == 1 else "100"


_ROOT = "the root group is never idle"
