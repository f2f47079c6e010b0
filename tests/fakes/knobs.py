# SPDX-License-Identifier: MIT
"""Knobs on plain files that answer as the kernel does, and a host that holds them.

`FakeWeight` clamps, `FakeIdle` resets the weight as it is switched off, and `FakeHold` holds its
value in the process; `FakeHost` gives and removes groups, and says what they all hold.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from resonance_tuning.host import Host
from resonance_tuning.knob import FileKnob, Knob
from resonance_tuning.records import Role, Setting, State, Target, TargetKind

BOOT_ID = "6a1f-fake-boot"
_MIN_WEIGHT, _IDLE_WEIGHT, _DEFAULT_WEIGHT = "2", "3", "1024"


class FakeWeight(FileKnob):
    """``weight``: a number the kernel raises to 2, and takes from no idle group.

    Attributes
    ----------
    refusal : OSError or None
        What the kernel answers to the next writes.
    before_write : callable
        Called with the text before each write.
    """

    name: ClassVar[str] = "fake_weight"
    summary: ClassVar[str] = "A number that is clamped."
    scope: ClassVar[TargetKind] = "cgroup"
    rung: ClassVar[int] = 2

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.refusal: Exception | None = None
        self.before_write: Callable[[str], None] = lambda _: None

    def path(self, target: Target) -> Path:
        return self.host.path(f"/groups{target.name}/weight")

    def unavailable(self, target: Target) -> str:
        return "" if self.path(target).exists() else f"there is no group {target.name}"

    def parse(self, value: object) -> str:
        return str(value)

    def canonical(self, target: Target, value: str) -> str:
        return max(value, _MIN_WEIGHT, key=int)

    def write(self, target: Target, value: str) -> None:
        self.before_write(value)
        if self.refusal:
            raise self.refusal
        idle = self.path(target).with_name("idle")
        if self.name == "fake_weight" and idle.exists() and idle.read_text() == "1\n":
            raise OSError(errno.EINVAL, "Invalid argument")
        self.put(target, self.canonical(target, value))

    def put(self, target: Target, text: str) -> None:
        """Change the file as the kernel does, with one system call on a file that is there."""
        path = self.path(target)
        self.host.read(path)
        path.with_name(f".{path.name}").write_text(f"{text}\n")
        path.with_name(f".{path.name}").rename(path)


class FakeIdle(FakeWeight):
    """``idle``: while it is 1 the weight reads 3; back at 0 it is 1024, whatever it was."""

    name: ClassVar[str] = "fake_idle"
    summary: ClassVar[str] = "A switch that takes the weight with it."
    rung: ClassVar[int] = 1

    def __init__(self, host: Host, weight: FakeWeight) -> None:
        super().__init__(host)
        self.weight = weight

    def path(self, target: Target) -> Path:
        return self.host.path(f"/groups{target.name}/idle")

    def canonical(self, target: Target, value: str) -> str:
        return value

    def read(self, target: Target) -> State:
        return State(super().read(target).value, {"weight": self.weight.read(target).value})

    def write(self, target: Target, value: str) -> None:
        was = super().read(target).value
        super().write(target, value)
        if was != value:
            left = _IDLE_WEIGHT if value == "1" else _DEFAULT_WEIGHT
            self.weight.put(target, left)

    def restore(self, target: Target, prior: State) -> None:
        if super().read(target).value != prior.value:
            self.write(target, prior.value)
        elif self.weight.read(target).value != _DEFAULT_WEIGHT:
            return
        if prior.value == "0":
            self.weight.write(target, prior.coupled["weight"])


class FakeHold(Knob):
    """A value that this process holds and that ends with it."""

    name: ClassVar[str] = "fake_hold"
    summary: ClassVar[str] = "A descriptor that is held."
    scope: ClassVar[TargetKind] = "host"
    rung: ClassVar[int] = 3
    persistence: ClassVar[Literal["process", "boot"]] = "process"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.held = ""

    def unavailable(self, target: Target) -> str:
        return ""

    def parse(self, value: object) -> str:
        return str(value)

    def identity(self, target: Target) -> str:
        return "this host"

    def read(self, target: Target) -> State:
        return State(self.held)

    def write(self, target: Target, value: str) -> None:
        self.held = value

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        return ()


class FakeHost:
    """A tree of groups below a directory, and the knobs that turn them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journals = root / "journals"
        boot_id = root / "proc/sys/kernel/random/boot_id"
        boot_id.parent.mkdir(parents=True)
        boot_id.write_text(f"{BOOT_ID}\n")
        self.host = Host(root)
        self.weight = FakeWeight(self.host)
        self.idle = FakeIdle(self.host, self.weight)
        self.hold = FakeHold(self.host)
        self.knobs: dict[str, Knob] = {
            knob.name: knob for knob in (self.idle, self.weight, self.hold)
        }

    def make_group(self, name: str, weight: str = "1024", idle: str = "0") -> Target:
        directory = self.root / f"groups{name}"
        directory.mkdir(parents=True)
        (directory / "weight").write_text(f"{weight}\n")
        (directory / "idle").write_text(f"{idle}\n")
        return Target("cgroup", name)

    def remove_group(self, target: Target) -> None:
        shutil.rmtree(self.root / f"groups{target.name}")

    def make_anew(self, target: Target, weight: str = "1024") -> None:
        """Make another group under the name of one; both live a moment, so inodes differ."""
        old = self.root / f"groups{target.name}"
        old.rename(old.with_name(".old"))
        self.make_group(target.name, weight)
        shutil.rmtree(old.with_name(".old"))

    def put(self, target: Target, name: str, text: str) -> None:
        """Change a value as somebody else would."""
        knob = self.weight if name == "weight" else self.idle
        knob.put(target, text)

    def snapshot(self) -> dict[str, bytes]:
        """Return what every group holds."""
        groups = self.root / "groups"
        return {
            str(path.relative_to(groups)): path.read_bytes()
            for path in sorted(groups.rglob("*"))
            if path.is_file()
        }


def setting(knob: str, target: Target, value: str, role: Role = "batch") -> Setting:
    """Return a setting as a planner would."""
    return Setting(knob, target, value, role)
