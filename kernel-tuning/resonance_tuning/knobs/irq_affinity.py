# SPDX-License-Identifier: MIT
"""Which CPUs handle an interrupt? ``smp_affinity_list``, and the mask that new ones get."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final

from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host, format_cpus, parse_cpus
from resonance_tuning.knob import FileKnob
from resonance_tuning.records import State, Target, TargetKind
from resonance_tuning.surfaces.cpumask import format_mask, parse_mask, possible_cpus, wanted_cpus

__all__ = ["IrqAffinity"]

_DEFAULT: Final = Target("interrupt", "default")
"""``default_smp_affinity``: what an interrupt gets that appears later."""
_UNMOVABLE: Final = "unmovable: its driver or its controller decides where it is handled"


class IrqAffinity(FileKnob):
    """The CPUs an interrupt may be handled on.

    Some cannot be moved: those the kernel manages itself, one per queue, and those of one
    CPU. A recent kernel shows that by a file without write permission, an older one by EPERM
    or EIO at the first write; either way it is left out, and is no failure.
    """

    name: ClassVar[str] = "irq_affinity"
    summary: ClassVar[str] = (
        "The CPUs that handle device interrupts: kept off those of latency-critical work, they "
        "cannot delay it."
    )
    scope: ClassVar[TargetKind] = "interrupt"
    rung: ClassVar[int] = 3

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._unmovable: set[Target] = set()
        self._fired: dict[Target, int] = {}

    def targets(self, matched: Iterable[Target]) -> list[Target]:
        """Return every interrupt there is, and the default for those to come."""
        del matched
        try:
            names = os.listdir(self.host.path("/proc/irq"))
        except FileNotFoundError:
            return []  # as in some containers
        numbers = sorted(int(name) for name in names if name.isdecimal())
        return [_DEFAULT, *(Target("interrupt", str(number)) for number in numbers)]

    def unavailable(self, target: Target) -> str:
        """Return why this interrupt cannot be moved."""
        try:
            mode = os.stat(self.path(target)).st_mode
        except FileNotFoundError:
            return "there is no such interrupt"
        return "" if mode & 0o222 and target not in self._unmovable else _UNMOVABLE

    def parse(self, value: object) -> str:
        """Return the CPUs as the kernel lists them."""
        return format_cpus(wanted_cpus(self.host, value))

    def path(self, target: Target) -> Path:
        """Return its file."""
        if target == _DEFAULT:
            return self.host.path("/proc/irq/default_smp_affinity")
        return self.host.path(f"/proc/irq/{target.name}/smp_affinity_list")

    def identity(self, target: Target) -> str:
        """Return its controller and line too: the number of one that is gone is given out again."""
        if target == _DEFAULT:
            return target.name
        names = ("chip_name", "hwirq")
        return " ".join((super().identity(target), *(self._fact(target, name) for name in names)))

    def read(self, target: Target) -> State:
        """Return the CPUs as a list, of the default too, which the kernel has as a mask."""
        state = super().read(target)
        return State(format_cpus(parse_mask(state.value))) if target == _DEFAULT else state

    def write(self, target: Target, value: str) -> None:
        """Move it; one that turns out to be unmovable is not asked again.

        Raises
        ------
        KnobUnavailableError
            It cannot be moved.
        """
        self._fired[target] = self._count(target)
        try:
            super().write(target, self._text(target, value))
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EIO}:
                raise
            self._unmovable.add(target)
            raise KnobUnavailableError(self.name, f"{target} is {_UNMOVABLE}") from error

    def canonical(self, target: Target, value: str) -> str:
        """Return the list as the kernel writes it."""
        del target
        return format_cpus(parse_cpus(value))

    def contradiction(self, target: Target, value: str) -> str:
        """Return where it is handled instead; it only moves when it fires the next time."""
        effective = self.host.path(f"/proc/irq/{target.name}/effective_affinity_list")
        if target not in self._fired or not effective.exists():
            return ""
        found = parse_cpus(self.host.read(effective))
        has_moved = self._count(target) > self._fired[target] + 1
        if has_moved and not found <= parse_cpus(value):
            return f"it is still handled on CPUs {format_cpus(found)}"
        return ""

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the echo that puts it back."""
        return super().commands(target, State(self._text(target, prior.value)))

    def _text(self, target: Target, value: str) -> str:
        if target == _DEFAULT:
            return format_mask(parse_cpus(value), possible_cpus(self.host))
        return value

    def _count(self, target: Target) -> int:
        return sum(int(count) for count in self._fact(target, "per_cpu_count").split(",") if count)

    def _fact(self, target: Target, name: str) -> str:
        """Return what sysfs says of it; nothing where the kernel has no such directory."""
        try:
            return self.host.read(self.host.path(f"/sys/kernel/irq/{target.name}/{name}"))
        except OSError:
            return ""
